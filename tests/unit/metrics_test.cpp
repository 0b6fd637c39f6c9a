#include "actors/admin/metrics.hpp"
#include "tests/catch.hpp"
#include "tests/matches.hpp"

#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <sstream>

using namespace ropewalk;

namespace {

service_report service(std::string name, std::uint64_t submitted) {
  service_report result;
  result.state.name = std::move(name);
  result.counts.submitted = submitted;
  result.counts.total.record(1'000'000); // 1 ms
  return result;
}

// Each line's name and labels, and its value; REQUIREs that none comes twice, and that a number's
// lines stand together below its TYPE.
std::map<std::string, double> samples_of(const std::string& text) {
  std::map<std::string, double> result;
  std::map<std::string, int> types;
  std::istringstream lines{text};
  std::string current;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      current = line.substr(7, line.find(' ', 7) - 7);
      REQUIRE(++types[current] == 1);
    }
    if (line.starts_with("#")) continue;
    INFO(line);
    const auto space = line.rfind(' ');
    REQUIRE(line.starts_with(current));
    REQUIRE(result.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second);
  }
  return result;
}

} // namespace

TEST_CASE("a broker's numbers as Prometheus reads them") {
  broker_report r;
  r.front.version = "1.2.3";
  r.front.draining = true;
  r.requests.waiting = 5;
  r.requests.refused[static_cast<std::size_t>(error_code::busy)] = 3;
  r.services.push_back(service("a", 7));
  r.nodes.push_back({"n", "10.0.0.1", {"a"}, 2, 5, 7, 3});
  r.nodes.push_back({"n", "10.0.0.2", {"a"}, 1, 1, 8, 1});
  r.nodes.back().failed = 3;
  r.front.cut_off = 4;
  const auto s = samples_of(metrics_text(r));
  CHECK(s.at("ropewalk_build_info{version=\"1.2.3\"}") == 1);
  CHECK(s.at("ropewalk_broker_draining") == 1);
  CHECK(s.at("ropewalk_requests_queued") == 5);
  CHECK(s.at("ropewalk_requests_refused_total{code=\"BUSY\"}") == 3);
  // From the beginning, so that the first one is seen as one more.
  CHECK(s.at("ropewalk_service_errors_total{service=\"a\",code=\"WORKER_LOST\"}") == 0);
  CHECK(s.at("ropewalk_broker_cut_off_total") == 4);
  CHECK(s.at("ropewalk_node_failed_total{node=\"n\"}") == 3);
  CHECK(s.at("ropewalk_service_submitted_total{service=\"a\"}") == 7);
  CHECK(s.at("ropewalk_node_in_flight{node=\"n\"}") == 3); // two of one name are one
  CHECK(s.at("ropewalk_node_slots{node=\"n\"}") == 4);
  CHECK(s.at("ropewalk_service_time_in_all_seconds_bucket{service=\"a\",le=\"+Inf\"}") == 1);
  CHECK(s.at("ropewalk_service_time_in_all_seconds_bucket{service=\"a\",le=\"0.002097152\"}") == 1);
  CHECK(s.at("ropewalk_service_time_in_all_seconds_bucket{service=\"a\",le=\"0.000524288\"}") == 0);
  CHECK(s.at("ropewalk_service_time_in_all_seconds_count{service=\"a\"}") == 1);
  CHECK(about(s.at("ropewalk_service_time_in_all_seconds_sum{service=\"a\"}"), 0.001));
}

TEST_CASE("every number that an alert is about is one that a broker has") {
  broker_report r;
  r.services.push_back(service("a", 1));
  r.nodes.push_back({"n", "10.0.0.1", {"a"}, 0, 0, 7, 1});
  r.certificates.push_back({"client", "box.example", "good", {}, {}, 1});
  const auto text = metrics_text(r);
  std::ifstream in{std::string{ROPEWALK_SOURCE_DIR} + "/docker/alerts.yaml"};
  const std::string alerts{std::istreambuf_iterator<char>{in}, {}};
  const std::regex name{"ropewalk_[a-z_]+"};
  int found = 0;
  for (std::sregex_iterator one{alerts.begin(), alerts.end(), name}, end; one != end; ++one) {
    INFO(one->str());
    CHECK((contains(text, "\n" + one->str() + "{") || contains(text, "\n" + one->str() + " ")));
    ++found;
  }
  CHECK(found > 10);
}

TEST_CASE("more services and nodes than have a name of their own are one, and nothing is lost") {
  broker_report r;
  r.services.push_back(service("other", 1)); // as somebody may call his own
  for (int i = 0; i < 1000; ++i) r.services.push_back(service("s" + std::to_string(1000 + i), 1));
  for (int i = 0; i < 500; ++i)
    r.nodes.push_back({"n" + std::to_string(1000 + i), "h", {}, 1, 0, 7, 1});
  const auto text = metrics_text(r);
  const auto s = samples_of(text);
  CHECK(text.size() < 2'000'000);
  double submitted = 0;
  double in_flight = 0;
  std::size_t services = 0;
  for (const auto& [name, value] : s) {
    if (name.starts_with("ropewalk_service_submitted_total{")) submitted += value, ++services;
    if (name.starts_with("ropewalk_node_in_flight{")) in_flight += value;
  }
  CHECK(submitted == 1001);
  CHECK(services == max_named_services);
  CHECK(s.at("ropewalk_service_submitted_total{service=\"other\"}") == 802);
  CHECK(in_flight == 500);
}

TEST_CASE("a name that a node chose stays within its quotes") {
  broker_report r;
  r.services.push_back(service("a\"} 1\nevil{x=\"\\", 1));
  r.services.push_back(service("\xff", 1));
  const auto text = metrics_text(r);
  (void)samples_of(text);
  CHECK(contains(text, R"(service="a\"} 1?evil{x=\"\\")"));
  CHECK(contains(text, "service=\"\xef\xbf\xbd\""));
}
