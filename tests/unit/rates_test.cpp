#include "actors/stats/broker_report.hpp"
#include "actors/stats/json_writer.hpp"
#include "actors/stats/rate_history.hpp"
#include "tests/catch.hpp"

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

bool nearly(double value, double wanted) {
  return value > wanted - 0.001 && value < wanted + 0.001;
}

// A service of which so many come a second, and are read every `step`.
class counted_service {
public:
  void pass(int samples, std::uint64_t a_sample, std::chrono::milliseconds step = 1s) {
    for (int i = 0; i < samples; ++i) {
      now_ += step;
      totals_.submitted += a_sample;
      totals_.answered += a_sample / 2;
      totals_.errors += a_sample / 4;
      read();
    }
  }
  void read() {
    history.begin_sample(now_);
    history.record(0, totals_);
  }
  rate_history history;

private:
  instant now_{1h};
  event_totals totals_;
};

broker_report with_service(const std::string& name, double a_second) {
  broker_report r;
  r.services.emplace_back().state.name = name;
  r.services[0].rates.over_10s.answered = a_second;
  return r;
}

// Every name that stands in the JSON, of whatever depth; not those of services and error codes.
void names_in(const nlohmann::json& part, std::set<std::string>& into) {
  if (!part.is_structured()) return;
  for (const auto& [key, value] : part.items()) {
    if (part.is_object()) into.insert(key);
    if (key != "errors" && key != "refused") names_in(value, into);
  }
}

} // namespace

TEST_CASE("rates are those of the last second, the last ten and the last sixty") {
  counted_service s;
  s.read();
  CHECK(s.history.of(0).over_1s.submitted == 0);
  s.pass(100, 400);
  CHECK(nearly(s.history.of(0).over_60s.submitted, 400));
  s.pass(5, 40);
  s.pass(1, 4);
  const auto rates = s.history.of(0);
  CHECK(nearly(rates.over_1s.submitted, 4));
  CHECK(nearly(rates.over_1s.answered, 2));
  CHECK(nearly(rates.over_1s.errors, 1));
  CHECK(nearly(rates.over_10s.submitted, (4 * 400 + 5 * 40 + 4) / 10.0));
  CHECK(nearly(rates.over_60s.submitted, (54 * 400 + 5 * 40 + 4) / 60.0));
  s.pass(61, 0);
  CHECK(s.history.of(0).over_60s.submitted == 0);
}

TEST_CASE("rates of a broker that is younger than their window are over its age") {
  counted_service s;
  s.read();
  s.pass(3, 300);
  CHECK(nearly(s.history.of(0).over_1s.submitted, 300));
  CHECK(nearly(s.history.of(0).over_10s.submitted, 300));
  CHECK(nearly(s.history.of(0).over_60s.submitted, 300));
}

TEST_CASE("a sample that is late is of the time that has gone by") {
  counted_service s;
  s.read();
  s.pass(1, 1000, 5s);
  CHECK(nearly(s.history.of(0).over_1s.submitted, 200));
}

TEST_CASE("a service that comes later had nothing before, and one that there is not has no rates") {
  rate_history history;
  instant now{1h};
  for (int i = 0; i <= 10; ++i, now += 1s) {
    history.begin_sample(now);
    history.record(0, {});
    if (i == 10) history.record(1, {50, 50, 0});
  }
  CHECK(nearly(history.of(1).over_1s.submitted, 50));
  CHECK(nearly(history.of(1).over_10s.submitted, 5));
  CHECK(history.of(2).over_1s.submitted == 0);
}

TEST_CASE("rates of shards add up, and those of all services are the broker's") {
  auto r = with_service("a", 3);
  r.add(with_service("a", 4));
  r.add(with_service("b", 10));
  const auto json = nlohmann::json::parse(r.json());
  CHECK(json["services"][0]["rates"]["10s"]["answered"] == 7.0);
  CHECK(json["rates"]["10s"]["answered"] == 17.0);
  CHECK(json["rates"]["60s"]["errors"] == 0.0);
}

TEST_CASE("the memory of a broker is said by its budgets") {
  broker_report r;
  r.requests.held_bytes = 5;
  r.front.incoming_bytes = 2;
  r.front.request_memory = 100;
  r.front.unread_bytes = 3;
  r.front.answer_memory = 50;
  const auto memory = nlohmann::json::parse(r.json())["memory"];
  CHECK(memory["requests"] == nlohmann::json{{"used_bytes", 7}, {"max_bytes", 100}});
  CHECK(memory["answers"] == nlohmann::json{{"used_bytes", 3}, {"max_bytes", 50}});
}

TEST_CASE("every field of the status is in its description") {
  std::ifstream file{ROPEWALK_SOURCE_DIR "/net/STATUS.md"};
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  REQUIRE_FALSE(text.empty());
  auto r = with_service("a", 1);
  r.nodes.emplace_back();
  r.shards.emplace_back();
  r.certificates.emplace_back();
  r.clients.emplace_back();
  std::set<std::string> names;
  names_in(nlohmann::json::parse(r.json()), names);
  CHECK(names.size() > 70);
  for (const auto& name : names) {
    INFO(name);
    // In the table, or, of a rate, in the example.
    CHECK((text.find('`' + name + '`') != std::string::npos ||
           text.find('"' + name + '"') != std::string::npos));
  }
}

TEST_CASE("a status is JSON whatever names and numbers there are, and a number keeps its type") {
  json_writer w;
  w.begin('{');
  w.key("text").text("quote \" back \\ line \n tab \t \x01 \xff k\xc3\xb6ln");
  w.key("empty").text("");
  w.key("list").begin('[');
  w.number(std::uint64_t{18'446'744'073'709'551'615u});
  w.number(-5);
  w.number(true);
  w.number(0.0);
  w.number(12.0);
  w.number(1e-9);
  w.number(1e300);
  w.number(std::nan(""));
  w.begin('[');
  w.end(']');
  w.begin('{');
  w.end('}');
  w.end(']');
  w.key("last").number(std::uint16_t{1});
  w.end('}');
  const auto text = w.take();
  const auto read = nlohmann::json::parse(text);
  CHECK(read["text"] == "quote \" back \\ line \n tab \t \x01 \xef\xbf\xbd k\xc3\xb6ln");
  CHECK(read["empty"] == "");
  const auto& list = read["list"];
  REQUIRE(list.size() == 10);
  CHECK(list[0] == 18'446'744'073'709'551'615u);
  CHECK(list[1] == -5);
  CHECK(list[2] == true);
  for (const std::size_t i : {3u, 4u, 5u, 6u}) CHECK(list[i].is_number_float());
  CHECK(list[4] == 12.0);
  CHECK(list[5] == 1e-9);
  CHECK(list[7].is_null());
  CHECK(read["last"].is_number_unsigned());
}
