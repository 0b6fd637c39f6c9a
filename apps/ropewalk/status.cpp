#include "actors/settings/units.hpp"
#include "apps/ropewalk/broker_answer.hpp"
#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/exit_status.hpp"

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace ropewalk {

namespace {

using namespace exit_status;

// With --wait: how long until the next try. Short beside what a broker or a worker takes to start.
constexpr std::chrono::milliseconds try_interval{100};

// A screen has some 24 lines, and nodes want some of them.
constexpr std::size_t shown_services = 12;

struct status_options {
  connection_options connection;
  bool json = false;
  bool alive = false;
  std::uint64_t expected_nodes = 0;
  std::string wait;
};

// What one try came to: what is to be said of it, and the exit status.
struct finding {
  int status = 0;
  std::string complaint; // for stderr; empty: there is none
  std::string json;      // what the broker said; empty: nothing
};

std::string joined(const nlohmann::json& names) {
  std::string result;
  for (const auto& name : names) {
    if (!result.empty()) result += ',';
    result += name.get<std::string>();
  }
  return result;
}

std::string short_time(double seconds) {
  std::ostringstream out;
  out << std::setprecision(3);
  if (seconds <= 0)
    out << "-";
  else if (seconds < 1e-3)
    out << seconds * 1e6 << "us";
  else if (seconds < 1)
    out << seconds * 1e3 << "ms";
  else
    out << seconds << "s";
  return out.str();
}

std::uint64_t sum_of(const nlohmann::json& by_name) {
  std::uint64_t result = 0;
  for (const auto& one : by_name) result += one.get<std::uint64_t>();
  return result;
}

// Those that nodes offer, or that something waits for; what is worst first, and no more than a
// screen has room for.
void print_services(const nlohmann::json& all) {
  std::vector<nlohmann::json> shown;
  for (const auto& one : all)
    if (one["nodes"] > 0 || one["waiting"] > 0 || one["in_flight"] > 0) shown.push_back(one);
  std::stable_sort(shown.begin(), shown.end(), [](const auto& a, const auto& b) {
    return std::pair{a["oldest_waiting_seconds"].template get<double>(),
                     a["waiting"].template get<int>()} >
           std::pair{b["oldest_waiting_seconds"].template get<double>(),
                     b["waiting"].template get<int>()};
  });
  if (shown.empty()) return;
  std::cout << std::left << std::setw(28) << "SERVICE" << std::setw(9) << "WAITING" << std::setw(8)
            << "OLDEST" << std::setw(11) << "IN FLIGHT" << std::setw(11) << "BUSY SLOTS"
            << std::setw(9) << "FAILING" << std::setw(12) << "ANSWERED" << std::setw(8) << "ERRORS"
            << std::setw(9) << "P50"
            << "P99\n";
  for (std::size_t i = 0; i < std::min(shown.size(), shown_services); ++i) {
    const auto& one = shown[i];
    const auto slots = std::to_string(one["slots_busy"].get<int>()) + "/" +
                       std::to_string(one["slots"].get<int>());
    std::cout << std::setw(28) << one["name"].get<std::string>() << std::setw(9)
              << one["waiting"].get<std::uint64_t>() << std::setw(8)
              << short_time(one["oldest_waiting_seconds"].get<double>()) << std::setw(11)
              << one["in_flight"].get<std::uint64_t>() << std::setw(11) << slots << std::setw(9)
              << one["slots_failing"].get<int>() << std::setw(12)
              << one["answered"].get<std::uint64_t>() << std::setw(8) << sum_of(one["errors"])
              << std::setw(9) << short_time(one["time_in_all"]["p50_seconds"].get<double>())
              << short_time(one["time_in_all"]["p99_seconds"].get<double>()) << "\n";
  }
  if (shown.size() > shown_services)
    std::cout << "and " << shown.size() - shown_services << " more services (--json)\n";
  std::cout << "\n";
}

void print_table(const nlohmann::json& s) {
  print_services(s["services"]);
  std::cout << std::left << std::setw(28) << "NODE" << std::setw(9) << "PID" << std::setw(20)
            << "HOST" << std::setw(7) << "SLOTS" << std::setw(11) << "IN FLIGHT" << std::setw(12)
            << "ANSWERED"
            << "SERVICES\n";
  for (const auto& n : s["nodes"])
    std::cout << std::setw(27) << n.value("label", n["name"].get<std::string>()) << ' '
              << std::setw(9) << n["pid"].get<int>() << std::setw(20)
              << n["address"].get<std::string>() << std::setw(7) << n["slots"].get<int>()
              << std::setw(11) << n["in_flight"].get<int>() << std::setw(12)
              << n["answered"].get<std::uint64_t>() << joined(n["services"]) << "\n";
  std::cout << s["nodes"].size() << " nodes, " << s["in_flight"] << " in flight, " << s["queued"]
            << " queued, " << s["restarts"] << " restarts, " << s["redispatched"]
            << " redispatched\n";
  for (const auto& c : s.value("certificates", nlohmann::json::array()))
    if (c["state"] != "good")
      std::cout << "a certificate of the " << c["port"].get<std::string>() << " port ("
                << c["name"].get<std::string>() << ") " << (c["state"] == "ends soon" ? "" : "is ")
                << c["state"].get<std::string>() << ": good from "
                << c["not_before"].get<std::string>() << " to " << c["not_after"].get<std::string>()
                << "\n";
}

finding ask(const status_options& o) {
  auto said = ask_broker(o.connection);
  // A broker that says who may come in lives, whoever that is.
  if (said.status == answered_with_error && o.alive) return {};
  finding found{said.status, std::move(said.complaint), std::move(said.json)};
  if (found.status != 0) return found;
  if (const auto nodes = nlohmann::json::parse(found.json)["nodes"].size();
      nodes < o.expected_nodes) {
    found.status = too_few_nodes;
    found.complaint = std::to_string(nodes) + " of " + std::to_string(o.expected_nodes) +
                      " nodes have joined " + o.connection.broker;
  }
  return found;
}

// Tries again for as long as --wait says, where a later try may come to something else.
finding ask_until_ready(const status_options& o) {
  const auto wait = o.wait.empty() ? std::chrono::milliseconds{0} : *parse_wait(o.wait);
  const auto end = std::chrono::steady_clock::now() + wait;
  for (;;) {
    auto found = ask(o);
    if ((found.status != no_broker && found.status != too_few_nodes) ||
        std::chrono::steady_clock::now() + try_interval >= end)
      return found;
    std::this_thread::sleep_for(try_interval);
  }
}

int run_status(status_options& o) {
  o.connection.warns = !o.alive;
  const auto found = ask_until_ready(o);
  if (!found.json.empty() && !o.alive) {
    if (o.json)
      std::cout << found.json << '\n';
    else
      print_table(nlohmann::json::parse(found.json));
    std::cout.flush();
  }
  if (!found.complaint.empty()) std::cerr << "ropewalk status: " << found.complaint << '\n';
  if (std::cout) return found.status;
  std::cerr << "ropewalk status: cannot write to stdout; is the disk full?\n";
  return cannot_write;
}

} // namespace

command_action add_status(CLI::App& app) {
  auto o = std::make_shared<status_options>();
  app.footer(
      "Exit status: 0 if the broker answered, 1 if it does not tell us (its reason is on "
      "stderr), 2 for a wrong command line, 3 if it cannot be reached, 4 if stdout cannot be "
      "written, 5 if fewer nodes have joined than --expect-nodes says.");
  add_connection(app, o->connection);
  app.add_flag("--json", o->json, "as JSON, for scripts");
  app.add_option("--expect-nodes", o->expected_nodes,
                 "exit status 5 if fewer nodes than this have joined")
      ->check(CLI::Range(0u, 1'000'000u));
  app.add_option("--wait", o->wait,
                 "try again for so long, until the broker answers and has the expected nodes: "
                 "250ms, 5s, 2m")
      ->check(is_wait());
  app.add_flag("--alive", o->alive,
               "only whether a broker answers, for health checks: one that wants TLS, a "
               "certificate or a token does, too. Prints nothing");
  return [o] { return run_status(*o); };
}

} // namespace ropewalk
