#include "actors/settings/units.hpp"
#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/exit_status.hpp"
#include "apps/ropewalk/options.hpp"
#include "apps/ropewalk/process.hpp"
#include "apps/ropewalk/screen_signals.hpp"
#include "apps/ropewalk/status_query.hpp"
#include "apps/ropewalk/status_table.hpp"
#include "apps/ropewalk/status_watch.hpp"

#include <array>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <thread>

namespace ropewalk {

namespace {

using namespace exit_status;

// With --wait: how long until the next try. Short beside what a broker or a worker takes to start.
constexpr std::chrono::milliseconds try_interval{100};

struct status_options {
  connection_options connection;
  bool json = false;
  bool alive = false;
  std::uint64_t expected_nodes = 0;
  std::string wait;
  std::string watch; // how often; empty: once
};

// What one try came to: what is to be said of it, and the exit status.
struct finding {
  int status = 0;
  std::string complaint; // for stderr; empty: there is none
  std::string json;      // what the broker said; empty: nothing
};

finding not_reached(std::string why) {
  return {no_broker, std::move(why), {}};
}

finding ask(const status_options& o, status_query& query) {
  auto said = query.ask();
  if (!said) {
    // A broker that says who may come in lives, whoever that is.
    if (said.why().kind == failure_kind::refused)
      return o.alive ? finding{} : finding{answered_with_error, said.why().text(), {}};
    return not_reached(said.why().text());
  }
  finding found{0, {}, *std::move(said)};
  if (const auto nodes = nlohmann::json::parse(found.json).at("nodes").size();
      nodes < o.expected_nodes) {
    found.status = too_few_nodes;
    found.complaint = std::to_string(nodes) + " of " + std::to_string(o.expected_nodes) +
                      " nodes have joined " + o.connection.broker;
  }
  return found;
}

// Tries again for as long as --wait says, where a later try may come to something else.
finding ask_until_ready(const status_options& o) {
  status_query query{o.connection};
  const auto wait = o.wait.empty() ? std::chrono::milliseconds{0} : *parse_wait(o.wait);
  const auto end = std::chrono::steady_clock::now() + wait;
  for (;;) {
    auto found = ask(o, query);
    if ((found.status != no_broker && found.status != too_few_nodes) ||
        std::chrono::steady_clock::now() + try_interval >= end)
      return found;
    std::this_thread::sleep_for(try_interval);
  }
}

// More often is of no use to people, and asks a broker for much.
constexpr std::chrono::milliseconds min_watch{100};

// Until SIGINT or SIGTERM; what is wrong at the beginning ends it.
int watch_status(const status_options& o) {
  const auto first = ask_until_ready(o);
  if (first.json.empty()) {
    std::cerr << "ropewalk status: " << first.complaint << '\n';
    return first.status;
  }
  auto quietly = o.connection;
  quietly.warns = false;
  const screen_signals signals;
  status_feed feed{status_query{quietly}, std::max(*parse_wait(o.watch), min_watch)};
  status_watch watch{o.json};
  while (!signals.take().end && std::cout) {
    if (const auto said = feed.take()) watch.show(*said);
    std::array<pollfd, 2> waiting{pollfd{feed.fd(), POLLIN, 0}, pollfd{signals.fd(), POLLIN, 0}};
    (void)::poll(waiting.data(), waiting.size(), -1);
  }
  leave_process(std::cout ? 0 : cannot_write);
}

int run_status(status_options& o) {
  o.connection.warns = !o.alive;
  if (!o.watch.empty()) return watch_status(o);
  const auto found = ask_until_ready(o);
  if (!found.json.empty() && !o.alive) {
    if (o.json)
      std::cout << found.json << '\n';
    else
      for (const auto& line : status_table(nlohmann::json::parse(found.json)))
        std::cout << line << '\n';
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
  auto* watch = app.add_flag("--watch{2s}", o->watch,
                             "again and again, every 2s or as often as --watch=TIME says, until "
                             "SIGINT; with --json a line each time")
                    ->check(is_wait());
  app.add_flag("--alive", o->alive,
               "only whether a broker answers, for health checks: one that wants TLS, a "
               "certificate or a token does, too. Prints nothing")
      ->excludes(watch);
  return [o] {
    try {
      return run_status(*o);
    } catch (const nlohmann::json::exception&) {
      std::cerr << "ropewalk status: " << not_understood(o->connection.broker).text() << '\n';
      return answered_with_error;
    }
  };
}

} // namespace ropewalk
