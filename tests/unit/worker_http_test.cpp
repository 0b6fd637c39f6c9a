#include "actors/admin/metrics.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/supervise/process_memory.hpp"
#include "tests/unit/broker_by_hand.hpp"
#include "tests/unit/http_by_hand.hpp"

#include <ctime>
#include <nlohmann/json.hpp>
#include <unistd.h>

using namespace ropewalk;

/// What a worker says over HTTP, and to whom.

namespace {

worker_report node_with(const std::string& service, std::uint32_t slots_ready) {
  worker_report result;
  result.node.shards = result.node.shards_joined = 1;
  worker_service_report one;
  one.state.name = service;
  one.state.slots = 4;
  one.state.slots_ready = slots_ready;
  result.services.push_back(std::move(one));
  return result;
}

// The status line of the answer to a request at a worker's port.
std::string answer_to(const std::string& request, const client_access_settings& access = {},
                      const worker_report& numbers = node_with("a", 1)) {
  broker_by_hand b{{}, access, {}, http_side::worker};
  b.worker_numbers = numbers;
  const auto c = b.connect_http();
  c->says(request);
  b.read(c);
  return c->told();
}

answer_head ended(item_end end, error_code code = error_code::ok) {
  answer_head result;
  result.end = end;
  result.code = code;
  result.run_us = 1000;
  return result;
}

} // namespace

TEST_CASE("a worker's numbers as Prometheus reads them, and as JSON") {
  auto r = node_with("a \"b\"", 3);
  r.node.version = "1.2.3";
  r.node.name = "left";
  r.node.joins = 2;
  auto& one = r.services[0];
  one.state.restarts = 5;
  one.runs.begun = 9;
  one.runs.end(ended(item_end::crashed));
  one.runs.end(ended(item_end::answered));
  r.certificates.push_back({"cluster", "CN=left", "good", "", "", 77});
  const auto text = metrics_text(r);
  INFO(text);
  for (const auto* line :
       {"\nropewalk_build_info{version=\"1.2.3\"} 1\n", "\nropewalk_worker_joins_total 2\n",
        "\nropewalk_worker_service_slots_ready{service=\"a \\\"b\\\"\"} 3\n",
        "\nropewalk_worker_service_restarts_total{service=\"a \\\"b\\\"\"} 5\n",
        "\nropewalk_worker_service_runs_begun_total{service=\"a \\\"b\\\"\"} 9\n",
        "\nropewalk_worker_service_runs_ended_total{service=\"a \\\"b\\\"\",outcome=\"crashed\"} "
        "1\n",
        "\nropewalk_worker_service_runs_ended_total{service=\"a \\\"b\\\"\",outcome=\"failed\"} "
        "0\n",
        "\nropewalk_worker_service_time_running_seconds_count{service=\"a \\\"b\\\"\"} 1\n",
        "\nropewalk_certificate_ends_in_seconds{port=\"cluster\",name=\"CN=left\"} 77\n"})
    CHECK(text.find(line) != std::string::npos);
  const auto json = nlohmann::json::parse(r.json());
  CHECK(json["name"] == "left");
  CHECK(json["services"][0]["runs_ended"] == nlohmann::json{{"ok", 1}, {"crashed", 1}});
  CHECK(json["services"][0]["time_running"]["count"] == 1);
  CHECK(json["certificates"][0]["port"] == "cluster");
}

TEST_CASE("a node says why it is not ready") {
  const auto why = [](const worker_report& of) { return of.why_not_ready("here:7071"); };
  auto r = node_with("a", 1);
  CHECK(why(r).empty());
  r.services.push_back(node_with("b", 0).services[0]);
  r.services.push_back(node_with("c", 0).services[0]);
  CHECK(why(r) == "no slot is ready of b, c");
  r.node.shards = 2;
  CHECK(why(r) == "it is a member of 1 of the 2 shards of the broker at here:7071");
  r.node.shards_joined = 0;
  CHECK(why(r) == "it is no member of the broker at here:7071");
  r.node.shards = 0; // it never was one
  CHECK(why(r) == "it is no member of the broker at here:7071");
  r.node.draining = true;
  CHECK(why(r) == "draining");
}

TEST_CASE("two nodes of a process are one: what both offer is added up") {
  auto r = node_with("a", 1);
  r.services[0].runs.begun = 3;
  auto other = node_with("a", 2);
  other.services[0].runs.begun = 4;
  other.services.push_back(node_with("b", 1).services[0]);
  r.add(other);
  REQUIRE(r.services.size() == 2);
  CHECK(r.services[0].state.slots_ready == 3);
  CHECK(r.services[0].runs.begun == 7);
  CHECK(r.services[1].state.name == "b");
  CHECK(r.node.shards_joined == 1);
}

TEST_CASE("a worker's port shows its numbers, takes no messages, and has no page") {
  CHECK(answer_to(get("/healthz")).ends_with("\r\n\r\nok\n"));
  CHECK(answer_to(get("/metrics")).find("\nropewalk_worker_shards_joined 1\n") !=
        std::string::npos);
  CHECK(answer_to(get("/status")).find("\"services\":[{\"name\":\"a\"") != std::string::npos);
  for (const auto* path : {"/", "/events", "/v1/messages?open", "/v1/services/a", "/v1/drain/a"}) {
    INFO(path);
    const auto told = answer_to(get(path));
    CHECK(told.starts_with("HTTP/1.1 404 "));
    CHECK(told.find("see /status, /metrics, /healthz, /readyz") != std::string::npos);
    CHECK(answer_to(post_to(path, "x")).starts_with("HTTP/1.1 404 "));
  }
  CHECK(answer_to(post_to("/metrics", "x")).starts_with("HTTP/1.1 405 "));
  CHECK(answer_to("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            .starts_with("HTTP/1.1 421 "));
  CHECK(
      answer_to(get("/metrics", "Origin: https://evil.example\r\n")).starts_with("HTTP/1.1 403 "));
}

TEST_CASE("a worker that is not ready says so, and why where nobody has to say who he is") {
  auto numbers = node_with("a", 1);
  CHECK(answer_to(get("/readyz"), {}, numbers).ends_with("\r\n\r\nready\n"));
  numbers.node.not_ready = "no slot is ready of a";
  const auto told = answer_to(get("/readyz"), {}, numbers);
  CHECK(told.starts_with("HTTP/1.1 503 "));
  CHECK(told.ends_with("\r\n\r\nnot ready: no slot is ready of a\n"));
  CHECK(answer_to(get("/healthz"), {}, numbers).starts_with("HTTP/1.1 200 "));
  const secret_file asks{"@status"};
  const auto stranger = answer_to(get("/readyz"), asks.settings(), numbers);
  CHECK(stranger.starts_with("HTTP/1.1 503 "));
  CHECK(stranger.ends_with("\r\n\r\nnot ready\n"));

  broker_by_hand b{{}, {}, {}, http_side::worker};
  b.worker_numbers = node_with("a", 1);
  b.clients.begin_drain();
  const auto c = b.connect_http();
  c->says(get("/readyz"));
  b.read(c);
  CHECK(c->told().starts_with("HTTP/1.1 503 "));
  CHECK(c->told().ends_with("\r\n\r\ndraining\n"));
}

TEST_CASE("with an access file a worker's numbers are for who may see them") {
  for (const auto* path : {"/status", "/metrics"}) {
    {
      const secret_file asks{"a"};
      CHECK(answer_to(get(path, with_token), asks.settings()).starts_with("HTTP/1.1 403 "));
    }
    const secret_file sees{"@status"};
    CHECK(answer_to(get(path), sees.settings()).starts_with("HTTP/1.1 401 "));
    CHECK(answer_to(get(path, with_token), sees.settings()).starts_with("HTTP/1.1 200 "));
  }
}

TEST_CASE("a node counts every run, and how it ended, once") {
  const instant now = std::chrono::steady_clock::now();
  run_queue queue{2};
  const auto seat = queue.take_seat(0, leader_id::nobody);
  std::vector<work_item> work(9);
  for (auto& one : work) {
    one.remaining_ms = 1000;
    one.payload = shared_bytes::copy_of("12345");
  }
  (void)queue.push(0, work, now, now);
  run_queue::job job;
  REQUIRE(queue.next(*seat, now, job));
  CHECK(queue.take_report().waiting == 8);
  CHECK(queue.take_report().waiting_bytes == 8 * 5);
  CHECK(queue.take_report().busy == 1);
  for (const auto& how :
       {ended(item_end::answered), ended(item_end::answered, error_code::failed),
        ended(item_end::failed, error_code::failed), ended(item_end::answered, error_code::timeout),
        ended(item_end::answered, error_code::cancelled), ended(item_end::suspect),
        ended(item_end::interrupted), ended(item_end::returned)}) {
    answer_item answer;
    static_cast<answer_head&>(answer) = how;
    REQUIRE(queue.finish_and_next(*seat, answer, now, job).has_next);
  }
  REQUIRE(queue.slot_died(0)); // while it runs the last one
  CHECK_FALSE(queue.slot_died(0));
  answer_item back;
  back.end = item_end::returned;
  queue.add_answer(0, back); // what had not been taken
  const auto has = queue.take_report();
  CHECK(has.runs.begun == 9);
  CHECK(has.runs.ended == run_end_counts{1, 2, 2, 1, 1, 1, 1});
  CHECK(has.runs.returned == 2);
  CHECK(has.runs.running.count() == 5);
  CHECK(has.runs.running.sum_ns == 5'000'000);
  CHECK(has.waiting == 0);
  CHECK(has.busy == 0);
}

TEST_CASE("the processor time of a process is what it has taken") {
  const auto spent = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  const auto before = cpu_seconds_of({::getpid()});
  for (const auto end = spent() + 0.06; spent() < end;) {
  }
  const auto taken = cpu_seconds_of({::getpid()}) - before;
  CHECK(taken > 0.03);
  CHECK(taken < 1);
}
