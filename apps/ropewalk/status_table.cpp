#include "apps/ropewalk/status_table.hpp"

#include "apps/ropewalk/display_text.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace ropewalk {

namespace {

// More than any terminal is wide.
constexpr std::size_t max_name_bytes = 1024;

// What others named so: a terminal would obey what is in it.
std::string shown(const std::string& name) {
  return one_line(name, max_name_bytes);
}

using json = nlohmann::json;

// A screen has some 24 lines, and nodes want some of them.
constexpr std::size_t max_services = 12;

std::string joined(const json& names) {
  std::string result;
  for (const auto& name : names) {
    if (!result.empty()) result += ',';
    result += shown(name.get<std::string>());
  }
  return result;
}

std::uint64_t sum_of(const json& by_name) {
  std::uint64_t result = 0;
  for (const auto& one : by_name) result += one.get<std::uint64_t>();
  return result;
}

std::vector<json> services_to_show(const json& all) {
  std::vector<json> result;
  for (const auto& one : all)
    if (one.at("nodes") > 0 || one.at("waiting") > 0 || one.at("in_flight") > 0)
      result.push_back(one);
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) {
    return std::pair{a.at("oldest_waiting_seconds").template get<double>(),
                     a.at("waiting").template get<int>()} >
           std::pair{b.at("oldest_waiting_seconds").template get<double>(),
                     b.at("waiting").template get<int>()};
  });
  return result;
}

std::string service_heading() {
  std::ostringstream out;
  out << std::left << std::setw(28) << "SERVICE" << std::setw(9) << "WAITING" << std::setw(8)
      << "OLDEST" << std::setw(11) << "IN FLIGHT" << std::setw(11) << "BUSY SLOTS" << std::setw(9)
      << "FAILING" << std::setw(12) << "ANSWERED" << std::setw(8) << "ERRORS" << std::setw(9)
      << "P50"
      << "P99";
  return out.str();
}

std::string service_line(const json& one) {
  std::ostringstream out;
  const auto slots = std::to_string(one.at("slots_busy").get<int>()) + "/" +
                     std::to_string(one.at("slots").get<int>());
  out << std::left << std::setw(28) << shown(one.at("name").get<std::string>()) << std::setw(9)
      << one.at("waiting").get<std::uint64_t>() << std::setw(8)
      << short_time(one.at("oldest_waiting_seconds").get<double>()) << std::setw(11)
      << one.at("in_flight").get<std::uint64_t>() << std::setw(11) << slots << std::setw(9)
      << one.at("slots_failing").get<int>() << std::setw(12)
      << one.at("answered").get<std::uint64_t>() << std::setw(8) << sum_of(one.at("errors"))
      << std::setw(9) << short_time(one.at("time_in_all").at("p50_seconds").get<double>())
      << short_time(one.at("time_in_all").at("p99_seconds").get<double>())
      << (one.value("paused", false) ? "  paused" : "");
  return out.str();
}

std::string node_heading() {
  std::ostringstream out;
  out << std::left << std::setw(28) << "NODE" << std::setw(9) << "PID" << std::setw(20) << "HOST"
      << std::setw(7) << "SLOTS" << std::setw(11) << "IN FLIGHT" << std::setw(12) << "ANSWERED"
      << "SERVICES";
  return out.str();
}

std::string node_line(const json& n) {
  std::ostringstream out;
  out << std::left << std::setw(27) << shown(n.value("label", n.at("name").get<std::string>()))
      << ' ' << std::setw(9) << n.at("pid").get<int>() << std::setw(20)
      << shown(n.at("address").get<std::string>()) << std::setw(7) << n.at("slots").get<int>()
      << std::setw(11) << n.at("in_flight").get<int>() << std::setw(12)
      << n.at("answered").get<std::uint64_t>() << (n.value("drained", false) ? "(drained) " : "")
      << joined(n.at("services"));
  return out.str();
}

std::string totals_line(const json& s) {
  std::ostringstream out;
  out << s.at("nodes").size() << " nodes, " << s.at("in_flight") << " in flight, " << s.at("queued")
      << " queued, " << s.at("restarts") << " restarts, " << s.at("redispatched")
      << " redispatched";
  return out.str();
}

std::vector<std::string> certificate_lines(const json& s) {
  std::vector<std::string> result;
  for (const auto& c : s.value("certificates", json::array()))
    if (c.at("state") != "good")
      result.push_back("a certificate of the " + c.at("port").get<std::string>() + " port (" +
                       shown(c.at("name").get<std::string>()) + ") " +
                       (c.at("state") == "ends soon" ? "" : "is ") +
                       c.at("state").get<std::string>() + ": good from " +
                       c.at("not_before").get<std::string>() + " to " +
                       c.at("not_after").get<std::string>());
  return result;
}

// Two headings, a blank line, what is said of those that are left out, and the totals.
constexpr std::size_t other_lines = 6;

} // namespace

std::vector<std::string> status_table(const json& status, std::optional<std::size_t> max_lines) {
  const auto services = services_to_show(status.at("services"));
  const auto& nodes = status.at("nodes");
  const auto certificates = certificate_lines(status);
  auto service_room = max_services;
  auto node_room = nodes.size();
  if (max_lines) {
    const auto taken = other_lines + certificates.size();
    const auto rows = *max_lines > taken ? *max_lines - taken : 0;
    service_room = std::min(max_services, rows - std::min(nodes.size(), rows / 2));
    node_room = rows - std::min(services.size(), service_room);
  }
  std::vector<std::string> result;
  if (!services.empty()) {
    result.push_back(service_heading());
    for (std::size_t i = 0; i < std::min(services.size(), service_room); ++i)
      result.push_back(service_line(services[i]));
    if (services.size() > service_room)
      result.push_back("and " + std::to_string(services.size() - service_room) +
                       " more services (--json)");
    result.emplace_back();
  }
  result.push_back(node_heading());
  for (std::size_t i = 0; i < std::min(nodes.size(), node_room); ++i)
    result.push_back(node_line(nodes[i]));
  if (nodes.size() > node_room)
    result.push_back("and " + std::to_string(nodes.size() - node_room) + " more nodes (--json)");
  result.push_back(totals_line(status));
  result.insert(result.end(), certificates.begin(), certificates.end());
  return result;
}

} // namespace ropewalk
