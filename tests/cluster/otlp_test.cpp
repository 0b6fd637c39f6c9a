#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/matches.hpp"

#include <csignal>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

using namespace ropewalk;

/// Traces on their way to a collector, which is held to the published schema (collector.py).

namespace {

const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string sampled = "00-" + trace + "-00f067aa0ba902b7-01";
const std::string not_sampled = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

class collector {
public:
  explicit collector(const std::string& mode)
      : process_({"/usr/bin/python3",
                  std::string{ROPEWALK_SOURCE_DIR} + "/tests/cluster/collector.py", mode},
                 folder_.path() + "/collector.log") {
    REQUIRE(eventually([&] { return contains(log(), "port=") && contains(log(), " \n"); }));
  }
  ~collector() { process_.signal(SIGKILL); }
  collector(const collector&) = delete;
  collector& operator=(const collector&) = delete;

  [[nodiscard]] std::string log() const { return process_.log(); }
  [[nodiscard]] bool says(const std::string& what) const { return process_.says(what); }
  [[nodiscard]] std::string url() const {
    const auto text = log();
    const auto begin = text.find("port=") + 5;
    return "http://127.0.0.1:" + text.substr(begin, text.find(' ', begin) - begin);
  }

  /// Without those of attempts that were not begun: on a machine that has no time for a slot, one goes
  /// back before.
  [[nodiscard]] std::vector<nlohmann::json> spans() const {
    std::vector<nlohmann::json> result;
    std::istringstream lines{log()};
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with('{')) result.push_back(nlohmann::json::parse(line));
    std::erase_if(result, [](const nlohmann::json& span) {
      return span["attributes"].value("ropewalk.end", "") == "returned";
    });
    return result;
  }

private:
  temporary_folder folder_;
  process process_;
};

output send(const cluster& c, std::vector<std::string> words) {
  words.insert(words.begin(), {"send", "--broker", c.clients().text(), "--data", "x"});
  return c.run(words);
}

std::uint64_t counted(const cluster& c, const char* name) {
  return c.status()[name].get<std::uint64_t>();
}

} // namespace

TEST_CASE(
    "a collector gets a span for each message whose trace is sampled, and one for each attempt") {
  const collector to{"good"};
  cluster c{{"--otlp", to.url()}};
  c.start_node("left", {"--service", "die=cmd:sh -c 'kill -SEGV $$'", "--service",
                        "fail=cmd:sh -c 'echo no such picture >&2; exit 3'", "--service",
                        "echo=builtin:echo", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  REQUIRE(send(c, {"echo", "--traceparent", sampled}).status == 0);
  REQUIRE(send(c, {"echo", "--traceparent", not_sampled}).status == 0);
  REQUIRE(send(c, {"echo"}).status == 0);
  REQUIRE(send(c, {"fail", "--traceparent", sampled}).status == 1);
  REQUIRE(send(c, {"die", "--traceparent", sampled}).status == 1);
  REQUIRE(send(c, {"echo", "--traceparent", sampled, "--timeout", "1ms"}).status <= 1);
  INFO(to.log());
  REQUIRE(eventually([&] { return counted(c, "traces_exported") == 4; }));
  CHECK(to.spans().size() >= 9);
  CHECK_FALSE(contains(to.log(), "invalid"));

  std::map<std::string, std::vector<nlohmann::json>> messages; // by the span of the message
  std::map<std::string, nlohmann::json> heads;
  for (const auto& span : to.spans()) {
    CHECK(span["traceId"] == trace);
    if (span["kind"] == 2) {
      CHECK(span["parentSpanId"] == "00f067aa0ba902b7");
      heads[span["spanId"]] = span;
    } else {
      CHECK(span["kind"] == 3);
      messages[span["parentSpanId"]].push_back(span);
    }
  }
  for (const auto& [parent, attempts] : messages) CHECK(heads.contains(parent));
  for (const auto& [id, head] : heads) {
    const auto& attempts = messages[id];
    const auto service = head["attributes"]["messaging.destination.name"].get<std::string>();
    CHECK(head["name"] == "process " + service);
    if (service == "fail") {
      CHECK(head["status"]["code"] == 2);
      CHECK(head["attributes"]["error.type"] == "FAILED");
      CHECK(contains(head["status"]["message"], "no such picture"));
      REQUIRE(attempts.size() == 1);
      CHECK(attempts[0]["attributes"]["ropewalk.node"] == "left");
    } else if (service == "die") {
      CHECK(head["attributes"]["error.type"] == "WORKER_LOST");
      REQUIRE(attempts.size() == 3);
      for (const auto& one : attempts) {
        CHECK(one["attributes"]["ropewalk.end"] == "crashed");
        CHECK(contains(one["status"]["message"], "signal 11"));
      }
    } else if (head["status"]["code"] == 1) {
      REQUIRE(attempts.size() == 1);
      CHECK(attempts[0]["status"]["code"] == 1);
      CHECK(attempts[0]["attributes"]["ropewalk.slot"] == "1");
    }
  }
  CHECK(counted(c, "traces_dropped") == 0);
}

TEST_CASE("what a collector asks to have later it gets later, and what it refuses is dropped") {
  const collector busy{"busy"};
  const collector broken{"broken"};
  cluster patient{{"--otlp", busy.url(), "--shards", "2"}};
  cluster refused{{"--otlp", broken.url()}};
  for (auto* c : {&patient, &refused}) {
    c->start_node("left", {"--service", "echo=builtin:echo"});
    REQUIRE(c->has_nodes(1));
    REQUIRE(
        send(*c, {"echo", "--traceparent", sampled, "--count", "100", "--window", "10"}).status ==
        0);
  }
  CHECK(eventually([&] { return counted(patient, "traces_exported") == 100; }));
  CHECK(busy.says("answered 429"));
  CHECK_FALSE(contains(busy.log(), "invalid"));
  CHECK(eventually([&] { return counted(refused, "traces_dropped") == 100; }));
  CHECK(refused.broker().says("a collector does not take spans: "));
  CHECK(refused.broker().says("answers 500"));
  // What is left goes with the broker's end.
  REQUIRE(send(patient, {"echo", "--traceparent", sampled}).status == 0);
  patient.broker().signal(SIGTERM);
  REQUIRE(patient.broker().wait(10s) == 0);
  CHECK(busy.spans().size() == 2 * 101);
  std::set<std::string> ids; // another for each span, in whichever batch it came
  for (const auto& span : busy.spans()) ids.insert(span["spanId"]);
  CHECK(ids.size() == 2 * 101);
}

TEST_CASE("a collector that is slow or gone costs nobody anything") {
  const auto mode = GENERATE("slow", "gone");
  std::string url;
  std::unique_ptr<collector> slow;
  if (std::string_view{mode} == "slow") {
    slow = std::make_unique<collector>("slow");
    url = slow->url();
  } else {
    url = collector{"good"}.url();
  }
  cluster c{{"--otlp", url}};
  c.start_node("left", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  // More than there is room for.
  const auto said =
      send(c, {"echo", "--traceparent", sampled, "--count", "40000", "--window", "500"});
  CHECK(said.status == 0);
  CHECK(counted(c, "traces_dropped") > 0);
  CHECK(counted(c, "traces_exported") == 0);
  c.broker().signal(SIGTERM);
  CHECK(c.broker().wait(10s) == 0); // does not wait for it
}
