#include "actors/admin/http_routes.hpp"
#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/display_text.hpp"
#include "apps/ropewalk/exit_status.hpp"
#include "apps/ropewalk/status_query.hpp"
#include "net/protocol/readable.hpp"

#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

namespace ropewalk {

namespace {

using namespace exit_status;
using json = nlohmann::ordered_json;

// Of one text: what a handler said may be long, and a table is no place for all of it (--json is).
constexpr std::size_t max_text_bytes = 4096;

struct explain_options {
  connection_options connection;
  std::string id;
  bool failed = false;
  bool slow = false;
  bool open = false;
  std::string service;
  std::uint32_t limit = 20;
  bool as_json = false;
};

std::string question(const explain_options& o) {
  std::string result = "/v1/messages";
  if (!o.id.empty()) return result + '/' + o.id;
  result += "?limit=" + std::to_string(o.limit);
  if (o.failed) result += "&failed";
  if (o.slow) result += "&slow";
  if (o.open) result += "&open";
  if (!o.service.empty()) result += "&service=" + encode_percent(o.service);
  return result;
}

std::string time_text(const json& seconds) {
  const auto value = seconds.get<double>();
  return value > 0 ? short_time(value) : "0us";
}

std::string time_text(const json& of, const char* name) {
  return of.contains(name) ? time_text(of[name]) : "-";
}

// What strangers said, as part of a line: a terminal would obey what is in it.
std::string shown(const json& text) {
  return one_line(text.get<std::string>(), max_text_bytes);
}

std::string shown(const json& of, const char* name) {
  return of.contains(name) ? shown(of[name]) : "-";
}

void print_attempts(const json& attempts) {
  if (attempts.empty()) return;
  std::cout << "  " << std::left << std::setw(9) << "ATTEMPT" << std::setw(20) << "NODE"
            << std::setw(6) << "SLOT" << std::setw(9) << "PLACED" << std::setw(9) << "WAITED"
            << std::setw(9) << "RAN"
            << "END\n";
  for (const auto& one : attempts) {
    std::cout << "  " << std::setw(9) << one.at("attempt").get<int>() << std::setw(19)
              << shown(one, "node") << ' ' << std::setw(6)
              << (one.contains("slot") ? std::to_string(one.at("slot").get<int>()) : "-")
              << std::setw(9) << time_text(one, "placed_seconds") << std::setw(9)
              << time_text(one, "waited_seconds") << std::setw(9) << time_text(one, "ran_seconds")
              << (one.at("end") == "open" ? "not yet" : one.at("end").get<std::string>());
    if (one.contains("why")) std::cout << ": " << shown(one.at("why"));
    std::cout << '\n';
  }
}

void print(const json& one) {
  std::cout << one.at("id").get<std::string>() << "  " << shown(one.at("service")) << "  "
            << one.value("code", one.at("state").get<std::string>()) << "  "
            << (one.at("state") == "ended" ? "after " : "for ") << time_text(one.at("seconds"))
            << "  came " << one.at("came").get<std::string>();
  if (one.contains("client")) std::cout << "  from " << shown(one.at("client"));
  if (one.contains("address")) std::cout << "  at " << shown(one.at("address"));
  std::cout << '\n';
  if (one.contains("trace")) std::cout << "  trace " << one.at("trace").get<std::string>() << '\n';
  if (one.contains("detail")) std::cout << "  " << shown(one.at("detail")) << '\n';
  if (one.contains("cancelled_by"))
    std::cout << "  taken back by " << shown(one.at("cancelled_by")) << '\n';
  if (!one.value("waits", std::string{}).empty())
    std::cout << "  " << shown(one.at("waits")) << '\n';
  print_attempts(one.at("attempts"));
  if (one.contains("attempts_left_out"))
    std::cout << "  (" << one.at("attempts_left_out").get<int>()
              << " attempts in between left out)\n";
}

int report(const std::string& what, int status) {
  std::cerr << "ropewalk explain: " << what << '\n';
  return status;
}

int run_explain(const explain_options& o) {
  const auto said = status_query{o.connection, question(o)}.ask();
  if (!said)
    return report(said.why().text(),
                  said.why().kind == failure_kind::refused ? answered_with_error : no_broker);
  const auto answer = json::parse(*said, nullptr, false);
  if (answer.is_discarded() || !answer.contains("messages"))
    return report(not_understood(o.connection.broker).text(), answered_with_error);
  const auto& messages = answer.at("messages");
  if (o.as_json) {
    std::cout << *said << '\n';
  } else {
    for (const auto& one : messages) print(one);
  }
  std::cout.flush();
  if (!std::cout) return report("cannot write to stdout; is the disk full?", cannot_write);
  if (messages.empty() && o.id.empty() && !o.as_json)
    std::cerr << (o.open ? "no message waits\n" : "nothing of that kind is kept\n");
  if (messages.empty() && !o.id.empty())
    return report("nothing is known of " + o.id +
                      ": it never came, or it was answered without trouble, or the history has "
                      "been filled since, or is off (--history-memory)",
                  answered_with_error);
  return 0;
}

} // namespace

command_action add_explain(CLI::App& app) {
  auto o = std::make_shared<explain_options>();
  app.footer(
      "Kept are all messages that failed or had to be started again, the slowest five of every "
      "minute and service, and one a second of the others, as far as the broker's --history-memory "
      "goes. PLACED is when an attempt got its node, after the message came; WAITED how long it "
      "then waited there. Exit status: 0 if the broker answered, 1 if it does not tell us or knows "
      "nothing of that message, 2 for a wrong command line, 3 if it cannot be reached, 4 if stdout "
      "cannot be written.");
  add_connection(app, o->connection);
  auto* id = app.add_option("id", o->id,
                            "a trace id (32 hexadecimal digits) or traceparent, or the id that "
                            "this command shows of a message: 0.17.2-42");
  auto* failed = app.add_flag("--failed", o->failed, "what failed or had to be started again");
  auto* slow = app.add_flag("--slow", o->slow, "the slowest, first the slowest of all");
  auto* open = app.add_flag("--open", o->open,
                            "what is not answered yet, the oldest first, and what it waits for");
  failed->excludes(id)->excludes(slow)->excludes(open);
  slow->excludes(id)->excludes(open);
  open->excludes(id);
  app.add_option("--service", o->service, "of this service only")->excludes(id);
  app.add_option("--limit", o->limit, "at most so many messages")
      ->check(CLI::Range(1u, 1000u))
      ->excludes(id)
      ->capture_default_str();
  app.add_flag("--json", o->as_json, "as JSON, for scripts");
  return [o] {
    try {
      return run_explain(*o);
    } catch (const nlohmann::json::exception&) {
      std::cerr << "ropewalk explain: " << not_understood(o->connection.broker).text() << '\n';
      return answered_with_error;
    }
  };
}

} // namespace ropewalk
