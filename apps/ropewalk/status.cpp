#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/options.hpp"
#include "net/client/client.hpp"

#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

namespace ropewalk {

namespace {

struct status_options {
  connection_options connection;
  bool json = false;
};

std::string joined(const nlohmann::json& names) {
  std::string result;
  for (const auto& name : names) {
    if (!result.empty()) result += ',';
    result += name.get<std::string>();
  }
  return result;
}

void print_table(const nlohmann::json& s) {
  std::cout << std::left << std::setw(28) << "NODE" << std::setw(9) << "PID" << std::setw(20)
            << "HOST" << std::setw(7) << "SLOTS" << std::setw(11) << "IN FLIGHT" << std::setw(12)
            << "ANSWERED"
            << "SERVICES\n";
  for (const auto& n : s["nodes"])
    std::cout << std::setw(28) << n["name"].get<std::string>() << std::setw(9)
              << n["pid"].get<int>() << std::setw(20) << n["address"].get<std::string>()
              << std::setw(7) << n["slots"].get<int>() << std::setw(11) << n["in_flight"].get<int>()
              << std::setw(12) << n["answered"].get<std::uint64_t>() << joined(n["services"])
              << "\n";
  std::cout << s["nodes"].size() << " nodes, " << s["in_flight"] << " in flight, " << s["queued"]
            << " queued, " << s["restarts"] << " restarts, " << s["redispatched"]
            << " redispatched\n";
}

int run_status(const status_options& o) {
  auto connected = connect(o.connection);
  if (!connected) {
    std::cerr << "ropewalk status: " << connected.why().text() << '\n';
    return 1;
  }
  auto& c = *connected;
  c.send_status();
  const auto answer = c.wait(std::chrono::seconds{5});
  if (!answer) {
    std::cerr << "ropewalk status: no answer from " << o.connection.broker << " within 5 s"
              << (c.closed() ? ": " : "") << c.why_closed() << '\n';
    return 1;
  }
  if (o.json)
    std::cout << answer->payload.view() << '\n';
  else
    print_table(nlohmann::json::parse(answer->payload.view()));
  std::cout.flush();
  if (std::cout) return 0;
  std::cerr << "ropewalk status: cannot write to stdout; is the disk full?\n";
  return 4;
}

} // namespace

command_action add_status(CLI::App& app) {
  auto o = std::make_shared<status_options>();
  add_connection(app, o->connection);
  app.add_flag("--json", o->json, "as JSON, for scripts");
  return [o] { return run_status(*o); };
}

} // namespace ropewalk
