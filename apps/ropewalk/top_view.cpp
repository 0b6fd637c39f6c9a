#include "apps/ropewalk/top_view.hpp"

#include "actors/settings/units.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace ropewalk {

namespace {

using json = nlohmann::json;
using style = top_line::style;

constexpr std::array<std::string_view, 3> windows{"1s", "10s", "60s"};
constexpr std::array tabs{top_tab::services, top_tab::nodes, top_tab::clients};
constexpr std::size_t max_typed = 60;

// Of a narrow screen the beginnings are read.
constexpr std::array<std::string_view, 15> help_text{
    "1 2 3     services, nodes, clients",
    "Tab       the next of them (also left, right)",
    "up down   scroll; PageUp, PageDown, Home, End",
    "s S       sort by the next column, the one before",
    "o         the other way round",
    "/         only rows with this text; Escape: all",
    "w         rates of services over 1, 10 or 60 s",
    "d         how often the numbers are asked for",
    "blank     now",
    "h ?       this, and back",
    "q         the end",
    "",
    "Rates of services are the broker's, of nodes and",
    "clients of two reports. Yellow, or bold: look here.",
    "net/STATUS.md says what each number is."};

bool is(const top_key& key, top_key::named name) {
  return key.character == 0 && key.name == name;
}

double number(const json& of, const char* name) {
  return of.value(name, 0.0);
}

json part(const json& of, const char* name) {
  return of.value(name, json::object());
}

std::size_t count(const json& report, top_tab tab) {
  const auto found = report.find(std::string{name_of(tab)});
  return found == report.end() ? 0 : found->size();
}

} // namespace

void top_view::show(json report, instant now) {
  rates_.add_to(report, now);
  report_ = std::move(report);
  reported_ = now;
  trouble_.clear();
}

void top_view::lose_broker(std::string why, instant now) {
  if (reported_ == instant{}) reported_ = now;
  trouble_ = std::move(why);
}

top_selection top_view::selection(top_tab tab) const {
  return {tab, order_[index(tab)], filter_, std::string{windows[window_]}};
}

// -- keys -------------------------------------------------------------------------------------------

bool top_view::press(const top_key& key) {
  complaint_.clear();
  switch (mode_) {
  case mode::table:
    return press_in_table(key);
  case mode::help:
    mode_ = mode::table;
    return key.character != 'q';
  case mode::filter:
  case mode::delay:
    press_in_line(key);
    break;
  }
  return true;
}

bool top_view::press_in_table(const top_key& key) {
  switch (key.character) {
  case 0:
    move(key);
    break;
  case 'q':
    return false;
  case 'h':
  case '?':
    mode_ = mode::help;
    break;
  case '1':
  case '2':
  case '3':
    tab_ = tabs[static_cast<std::size_t>(key.character - '1')];
    break;
  case '\t':
    turn_tab(1);
    break;
  case 's':
    sort_by_next(1);
    break;
  case 'S':
    sort_by_next(-1);
    break;
  case 'o':
    order_[index(tab_)].descending = !order_[index(tab_)].descending;
    break;
  case 'w':
    window_ = (window_ + 1) % windows.size();
    break;
  case '/':
    mode_ = mode::filter;
    typed_ = filter_;
    break;
  case 'd':
    mode_ = mode::delay;
    typed_.clear();
    break;
  case ' ':
    wants_report_ = true;
    break;
  default:
    break;
  }
  return true;
}

void top_view::move(const top_key& key) {
  auto& first = first_row_[index(tab_)]; // the screen holds it to what there is
  const auto back = [&](std::size_t rows) { first -= std::min(first, rows); };
  switch (key.name) {
  case top_key::named::up:
    return back(1);
  case top_key::named::down:
    ++first;
    break;
  case top_key::named::page_up:
    return back(page_rows_);
  case top_key::named::page_down:
    first += page_rows_;
    break;
  case top_key::named::home:
    first = 0;
    break;
  case top_key::named::end:
    first = count(report_, tab_);
    break;
  case top_key::named::left:
    return turn_tab(-1);
  case top_key::named::right:
    return turn_tab(1);
  case top_key::named::escape:
    filter_.clear();
    break;
  default:
    break;
  }
}

void top_view::turn_tab(int by) {
  tab_ = tabs[(index(tab_) + (by > 0 ? 1 : tabs.size() - 1)) % tabs.size()];
}

void top_view::sort_by_next(int by) {
  const auto columns = titles_of(tab_).size();
  auto& order = order_[index(tab_)];
  order = order_by(tab_,
                   by > 0 ? (order.column + 1) % columns : (order.column + columns - 1) % columns);
}

// What is typed in the line at the bottom.
void top_view::press_in_line(const top_key& key) {
  if (is(key, top_key::named::escape)) {
    if (mode_ == mode::filter) filter_.clear();
    mode_ = mode::table;
  } else if (is(key, top_key::named::enter)) {
    finish_line();
  } else if (is(key, top_key::named::backspace)) {
    // A whole character of UTF-8.
    while (!typed_.empty() && (static_cast<unsigned char>(typed_.back()) & 0xC0) == 0x80)
      typed_.pop_back();
    if (!typed_.empty()) typed_.pop_back();
  } else if (static_cast<unsigned char>(key.character) >= ' ' && typed_.size() < max_typed) {
    typed_ += key.character;
  }
  if (mode_ == mode::filter) filter_ = typed_; // as it is typed
}

void top_view::finish_line() {
  const auto was = std::exchange(mode_, mode::table);
  if (was != mode::delay || typed_.empty()) return;
  const auto wanted = parse_wait(typed_);
  if (!wanted)
    complaint_ = wanted.why().text();
  else
    delay_ = std::max(*wanted, min_delay);
}

// -- what is above the table --------------------------------------------------------------------------

top_line top_view::first_line(std::size_t width, instant now, std::string_view time) const {
  if (!trouble_.empty()) {
    const auto seconds = std::chrono::duration<double>(now - reported_).count();
    return {"no broker for " + short_age(seconds) + ", trying again: " + trouble_, style::alarm};
  }
  auto text = "ropewalk top  " + broker_;
  if (report_.contains("uptime_seconds"))
    text += "  up " + short_age(number(report_, "uptime_seconds"));
  if (const auto version = report_.value("version", ""); !version.empty())
    text += "  version " + version;
  if (report_.value("draining", false)) return {text + "  draining", style::alarm};
  const auto used = display_width(text);
  if (used + 2 + time.size() <= width) {
    text.append(width - used - time.size(), ' ');
    text += time;
  }
  return {std::move(text), style::bold};
}

std::string top_view::rates_line() const {
  const auto rates = part(part(report_, "rates"), std::string{windows[window_]}.c_str());
  return "in " + short_number(number(rates, "submitted")) + "/s  out " +
         short_number(number(rates, "answered")) + "/s  errors " +
         short_number(number(rates, "errors")) + "/s  (" + std::string{windows[window_]} +
         ")  waiting " + short_number(number(report_, "queued")) + "  in flight " +
         short_number(number(report_, "in_flight"));
}

std::string top_view::work_line() const {
  const auto lag = part(report_, "loop_lag");
  return "clients " + short_number(number(report_, "connections")) + "  nodes " +
         std::to_string(count(report_, top_tab::nodes)) + "  restarts " +
         short_number(number(report_, "restarts")) + "  redispatched " +
         short_number(number(report_, "redispatched")) + "  lag p99 " +
         short_time(number(lag, "p99_seconds")) + " max " + short_time(number(lag, "max_seconds"));
}

std::string top_view::memory_line() const {
  const auto memory = part(report_, "memory");
  const auto budget = [&](const char* name) {
    const auto one = part(memory, name);
    return short_bytes(number(one, "used_bytes")) + " of " + short_bytes(number(one, "max_bytes"));
  };
  const auto process = part(report_, "process");
  auto text = "requests " + budget("requests") + "  answers " + budget("answers") + "  process " +
              short_bytes(number(process, "resident_memory_bytes"));
  if (process.contains("cpu_percent"))
    text += "  cpu " + short_number(number(process, "cpu_percent")) + "%";
  text += "  fds " +
          (number(process, "open_fds") > 0 ? short_number(number(process, "open_fds"))
                                           : std::string{"many"}) +
          " of " + short_number(number(process, "max_fds"));
  return text;
}

std::string top_view::tabs_line(std::size_t width) const {
  std::string text;
  for (const auto tab : tabs) {
    auto name = std::string{name_of(tab)};
    if (tab == tab_)
      for (auto& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    text += std::to_string(index(tab) + 1) + " " + name + "  ";
  }
  const auto& order = order_[index(tab_)];
  const auto by = "by " + titles_of(tab_)[order.column] + (order.descending ? ", most first" : "");
  if (text.size() + by.size() <= width) text += by;
  if (!filter_.empty()) text += "  only '" + filter_ + "'";
  return text;
}

std::vector<top_line> top_view::summary(std::size_t width, instant now,
                                        std::string_view time) const {
  std::vector<top_line> result{first_line(width, now, time)};
  if (!report_.empty() && report_.value("version", "").empty())
    result.push_back(
        {"this token may see little: @status among its services, or *, shows all", style::plain});
  else
    for (auto text : {rates_line(), work_line(), memory_line()})
      result.push_back({std::move(text), style::plain});
  for (const auto& c : report_.value("certificates", json::array()))
    if (c.value("state", "good") != "good")
      result.push_back({"certificate of the " + c.value("port", "") + " port (" +
                            c.value("name", "") + "): " + c.value("state", "") + ", until " +
                            c.value("not_after", ""),
                        style::alarm});
  return result;
}

// -- the whole --------------------------------------------------------------------------------------

std::string top_view::last_line(std::size_t shown, std::size_t all) const {
  switch (mode_) {
  case mode::filter:
    return "only rows with: " + typed_ + "_";
  case mode::delay:
    return "numbers every (now " + duration_text(delay_) + "): " + typed_ + "_";
  case mode::help:
    return "any key: back";
  case mode::table:
    break;
  }
  if (!complaint_.empty()) return complaint_;
  std::string text = "h help  q end";
  const auto first = first_row_[index(tab_)];
  if (shown < all)
    text = "rows " + std::to_string(first + 1) + " to " + std::to_string(first + shown) + " of " +
           std::to_string(all) + "  " + text;
  if (const auto more = number(report_, "more_clients"); tab_ == top_tab::clients && more > 0)
    text = "and " + short_number(more) + " more clients  " + text;
  return text;
}

void top_view::add_table(std::vector<top_line>& to, std::size_t width, std::size_t height) {
  const auto what = selection(tab_);
  const auto rows = selected_rows(report_, what);
  const top_layout layout{tab_, width};
  to.push_back({tabs_line(width), style::plain});
  to.push_back({layout.heading(), style::heading});
  page_rows_ = height > to.size() + 1 ? height - to.size() - 1 : 0;
  auto& first = first_row_[index(tab_)];
  first = std::min(first, rows.size() - std::min(rows.size(), page_rows_));
  const auto shown = std::min(page_rows_, rows.size() - first);
  for (std::size_t i = first; i < first + shown; ++i)
    to.push_back({layout.line(rows[i], what),
                  is_alarming(tab_, rows[i], what.window) ? style::alarm : style::plain});
  to.resize(std::max(to.size(), height - std::min<std::size_t>(height, 1)));
  to.push_back({last_line(shown, rows.size()), style::plain});
}

std::vector<top_line> top_view::screen(std::size_t width, std::size_t height, instant now,
                                       std::string_view time) {
  auto result = summary(width, now, time);
  // A low screen is for the table.
  if (height < result.size() + 6) result.resize(1);
  if (mode_ == mode::help) {
    for (const auto text : help_text) result.push_back({std::string{text}, style::plain});
    result.resize(std::max<std::size_t>(height, 1) - 1);
    result.push_back({last_line(0, 0), style::plain});
  } else {
    add_table(result, width, height);
  }
  result.resize(height);
  for (auto& line : result) line.text = fit(line.text, width);
  return result;
}

std::vector<std::string> top_view::page(const std::vector<top_tab>& tabs_shown) const {
  std::vector<std::string> result;
  for (auto& line : summary(0, reported_, {})) result.push_back(std::move(line.text));
  for (const auto tab : tabs_shown) {
    const auto what = selection(tab);
    const auto rows = selected_rows(report_, what);
    const top_layout layout{tab, std::nullopt, rows};
    result.insert(result.end(), {"", layout.heading()});
    for (const auto& row : rows) result.push_back(layout.line(row, what));
    if (const auto more = number(report_, "more_clients"); tab == top_tab::clients && more > 0)
      result.push_back("and " + short_number(more) + " more");
  }
  for (auto& line : result) {
    line = fit(line, display_width(line)); // whatever strangers call themselves
    line.erase(line.find_last_not_of(' ') + 1);
  }
  return result;
}

json top_view::report() const {
  auto result = report_;
  for (const auto tab : tabs)
    result[std::string{name_of(tab)}] = selected_rows(report_, selection(tab));
  return result;
}

} // namespace ropewalk
