#include "apps/ropewalk/top_table.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>
#include <utility>

namespace ropewalk {

namespace {

using json = nlohmann::json;
using cell = std::variant<double, std::string>; // what rows are ordered by

// How a number is shown.
using number_text = std::string (*)(double);

struct column {
  std::string_view title;
  std::size_t width;   // at least, of a text; its title may be longer
  unsigned expendable; // 0: never left out; of the others the highest goes first
  cell (*value)(const json& row, const std::string& window);
  number_text shown; // null: a text
  bool wide = false; // gets what is left of the width
};

constexpr std::size_t max_name_width = 48;

template <const char* Name>
cell text_of(const json& row, const std::string&) {
  return row.value(Name, "");
}

template <const char* Name>
cell number_of(const json& row, const std::string&) {
  return row.value(Name, 0.0);
}

// Of what there is none yet (the first of two reports) nothing is shown.
template <const char* Name>
cell rate_of(const json& row, const std::string&) {
  return row.value(Name, -1.0);
}

template <const char* Name>
cell service_rate_of(const json& row, const std::string& window) {
  const auto rates = row.find("rates");
  if (rates == row.end() || !rates->contains(window)) return -1.0;
  return (*rates)[window].value(Name, -1.0);
}

template <const char* Name>
cell quantile_of(const json& row, const std::string&) {
  const auto times = row.find("time_in_all");
  return times == row.end() ? 0.0 : times->value(Name, 0.0);
}

cell busy_of(const json& row, const std::string&) {
  if (row.value("paused", false)) return std::string{"paused"};
  return std::to_string(row.value("slots_busy", 0u)) + "/" + std::to_string(row.value("slots", 0u));
}

cell services_of(const json& row, const std::string&) {
  std::string result = row.value("drained", false) ? "(drained) " : "";
  const auto* separator = "";
  for (const auto& name : row.value("services", json::array())) {
    result += std::exchange(separator, ",") + name.get<std::string>();
  }
  return result;
}

cell state_of(const json& row, const std::string&) {
  return row.value("paused", false) ? std::string{"paused"} : row.value("state", "");
}

std::string rate_text(double a_second) {
  return a_second < 0 ? "-" : short_number(a_second);
}

std::string byte_rate_text(double a_second) {
  return a_second < 0 ? "-" : short_bytes(a_second);
}

constexpr char name[] = "name";
constexpr char label[] = "label";
constexpr char id[] = "id";
constexpr char address[] = "address";
constexpr char who[] = "who";
constexpr char protocol[] = "protocol";
constexpr char pid[] = "pid";
constexpr char waiting[] = "waiting";
constexpr char oldest[] = "oldest_waiting_seconds";
constexpr char in_flight[] = "in_flight";
constexpr char failing[] = "slots_failing";
constexpr char submitted[] = "submitted";
constexpr char answered[] = "answered";
constexpr char errors[] = "errors";
constexpr char nodes[] = "nodes";
constexpr char slots[] = "slots";
constexpr char p50[] = "p50_seconds";
constexpr char p99[] = "p99_seconds";
constexpr char answered_rate[] = "answered_per_second";
constexpr char request_rate[] = "requests_per_second";
constexpr char in_rate[] = "bytes_in_per_second";
constexpr char out_rate[] = "bytes_out_per_second";
constexpr char requests[] = "requests";
constexpr char unread[] = "unread_bytes";
constexpr char age[] = "age_seconds";
constexpr char idle[] = "idle_seconds";

std::string pid_text(double number) {
  return std::to_string(static_cast<long long>(number));
}

constexpr std::array service_columns{
    column{"SERVICE", 10, 0, text_of<name>, nullptr, true},
    column{"WAITING", 7, 0, number_of<waiting>, short_number},
    column{"OLDEST", 6, 3, number_of<oldest>, short_time},
    column{"FLIGHT", 6, 6, number_of<in_flight>, short_number},
    column{"BUSY", 7, 4, busy_of, nullptr},
    column{"FAILING", 7, 5, number_of<failing>, short_number},
    column{"IN/S", 6, 2, service_rate_of<submitted>, rate_text},
    column{"OUT/S", 6, 0, service_rate_of<answered>, rate_text},
    column{"ERR/S", 6, 0, service_rate_of<errors>, rate_text},
    column{"P50", 6, 8, quantile_of<p50>, short_time},
    column{"P99", 6, 7, quantile_of<p99>, short_time},
    column{"ANSWERED", 8, 9, number_of<answered>, short_number},
    column{"NODES", 5, 10, number_of<nodes>, short_number},
};

constexpr std::array node_columns{
    column{"NODE", 10, 0, text_of<label>, nullptr, true},
    column{"PID", 7, 4, number_of<pid>, pid_text},
    column{"HOST", 15, 5, text_of<address>, nullptr},
    column{"SLOTS", 5, 2, number_of<slots>, short_number},
    column{"FLIGHT", 6, 0, number_of<in_flight>, short_number},
    column{"OUT/S", 6, 0, rate_of<answered_rate>, rate_text},
    column{"ANSWERED", 8, 3, number_of<answered>, short_number},
    column{"SERVICES", 16, 6, services_of, nullptr},
};

constexpr std::array client_columns{
    column{"CLIENT", 15, 0, text_of<address>, nullptr, true},
    column{"ID", 6, 6, text_of<id>, nullptr},
    column{"WHO", 10, 4, text_of<who>, nullptr},
    column{"SPEAKS", 6, 9, text_of<protocol>, nullptr},
    column{"STATE", 11, 5, state_of, nullptr},
    column{"FLIGHT", 6, 0, number_of<in_flight>, short_number},
    column{"REQ/S", 6, 0, rate_of<request_rate>, rate_text},
    column{"REQUESTS", 8, 8, number_of<requests>, short_number},
    column{"IN B/S", 6, 3, rate_of<in_rate>, byte_rate_text},
    column{"OUT B/S", 7, 2, rate_of<out_rate>, byte_rate_text},
    column{"UNREAD", 6, 1, number_of<unread>, short_bytes},
    column{"AGE", 6, 7, number_of<age>, short_age},
    column{"IDLE", 6, 10, number_of<idle>, short_age},
};

std::span<const column> columns_of(top_tab tab) {
  switch (tab) {
  case top_tab::services:
    return service_columns;
  case top_tab::nodes:
    return node_columns;
  case top_tab::clients:
    break;
  }
  return client_columns;
}

std::string lower(std::string_view text) {
  std::string result{text};
  for (auto& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::string shown(const column& c, const json& row, const std::string& window) {
  const auto value = c.value(row, window);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return c.shown(std::get<double>(value));
}

bool matches(const json& row, const top_selection& what) {
  const auto wanted = lower(what.filter);
  for (const auto& c : columns_of(what.tab))
    if (!c.shown && lower(shown(c, row, what.window)).find(wanted) != std::string::npos)
      return true;
  return false;
}

std::size_t width_of(const column& c) {
  return std::max(c.width, c.title.size());
}

} // namespace

std::string_view name_of(top_tab tab) {
  switch (tab) {
  case top_tab::services:
    return "services";
  case top_tab::nodes:
    return "nodes";
  case top_tab::clients:
    break;
  }
  return "clients";
}

std::vector<std::string> titles_of(top_tab tab) {
  std::vector<std::string> result;
  for (const auto& c : columns_of(tab)) result.push_back(lower(c.title));
  return result;
}

// As the broker lists clients: who leaves most unread first.
top_order usual_order(top_tab tab) {
  const auto titles = titles_of(tab);
  const auto by = [&](std::string_view title) {
    const auto at = std::find(titles.begin(), titles.end(), title) - titles.begin();
    return order_by(tab, static_cast<std::size_t>(at));
  };
  switch (tab) {
  case top_tab::services:
    return by("oldest");
  case top_tab::nodes:
    return by("node");
  case top_tab::clients:
    break;
  }
  return by("unread");
}

top_order order_by(top_tab tab, std::size_t column) {
  return {column, columns_of(tab)[column].shown != nullptr};
}

std::vector<json> selected_rows(const json& report, const top_selection& what) {
  std::vector<std::pair<cell, const json*>> found;
  const auto& by = columns_of(what.tab)[what.order.column];
  const auto all = report.find(std::string{name_of(what.tab)});
  if (all != report.end())
    for (const auto& row : *all)
      if (what.filter.empty() || matches(row, what))
        found.emplace_back(by.value(row, what.window), &row);
  std::stable_sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
    return what.order.descending ? b.first < a.first : a.first < b.first;
  });
  std::vector<json> result;
  result.reserve(found.size());
  for (const auto& [value, row] : found) result.push_back(*row);
  return result;
}

top_layout::top_layout(top_tab tab, std::optional<std::size_t> width, const std::vector<json>& rows)
    : tab_(tab) {
  const auto columns = columns_of(tab);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    auto needed = width_of(columns[i]);
    if (!width)
      for (const auto& row : rows)
        needed = std::max(needed, display_width(shown(columns[i], row, {})));
    places_.push_back({i, needed});
  }
  if (!width) return;
  const auto taken = [&] {
    std::size_t result = places_.size() - 1; // a blank between each and the next
    for (const auto& p : places_) result += p.width;
    return result;
  };
  while (taken() > *width) {
    const auto last = std::max_element(places_.begin(), places_.end(), [&](auto& a, auto& b) {
      return columns[a.column].expendable < columns[b.column].expendable;
    });
    if (columns[last->column].expendable == 0) break;
    places_.erase(last);
  }
  for (auto& p : places_)
    if (columns[p.column].wide && taken() < *width)
      p.width += std::min(*width - taken(), max_name_width - p.width);
}

std::string top_layout::heading() const {
  std::string result;
  for (const auto& p : places_) {
    const auto& c = columns_of(tab_)[p.column];
    if (!result.empty()) result += ' ';
    result += fit(c.title, p.width, c.shown ? align::right : align::left);
  }
  return result;
}

std::string top_layout::line(const json& row, const top_selection& what) const {
  std::string result;
  for (const auto& p : places_) {
    const auto& c = columns_of(tab_)[p.column];
    if (!result.empty()) result += ' ';
    result += fit(shown(c, row, what.window), p.width, c.shown ? align::right : align::left);
  }
  return result;
}

bool is_alarming(top_tab tab, const json& row, const std::string& window) {
  switch (tab) {
  case top_tab::services:
    return row.value("slots_failing", 0.0) > 0 ||
           std::get<double>(service_rate_of<errors>(row, window)) > 0;
  case top_tab::nodes:
    return false;
  case top_tab::clients:
    break;
  }
  return row.value("paused", false);
}

} // namespace ropewalk
