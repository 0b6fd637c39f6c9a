#include "actors/otlp/http_post.hpp"
#include "actors/otlp/otlp_queue.hpp"
#include "actors/otlp/otlp_request.hpp"
#include "tests/catch.hpp"

#include <nlohmann/json.hpp>

using namespace ropewalk;
using namespace std::chrono_literals;

/// Traces on their way to a collector: when they are sent, and what is dropped.

namespace {

message_report some_message() {
  message_report result;
  result.service = "sum";
  result.trace = read_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  result.came = instant{1h};
  result.took = 5ms;
  result.ended = true;
  return result;
}

struct queue_in_time {
  void push(int count = 1) {
    for (int i = 0; i < count; ++i) queue.push(some_message(), now);
  }
  std::size_t begin() {
    const auto* batch = queue.begin(now);
    return batch ? batch->size() : 0;
  }

  otlp_queue queue;
  instant now{1h};
};

} // namespace

TEST_CASE("a batch waits a second for more, and not when it is full or the broker ends") {
  queue_in_time w;
  CHECK_FALSE(w.queue.due());
  w.push(3);
  CHECK(w.queue.due() == w.now + 1s);
  CHECK(w.begin() == 0);
  w.now += 1s;
  CHECK(w.begin() == 3);
  w.push(2000);
  w.queue.delivered();
  CHECK(w.begin() == otlp_queue::max_batch);
  w.queue.delivered(7);
  CHECK(w.queue.totals().exported == 3 + otlp_queue::max_batch - 7);
  CHECK(w.queue.totals().dropped == 7);
  for (int i = 0; i < 2; ++i) {
    CHECK(w.begin() == otlp_queue::max_batch);
    w.queue.delivered();
  }
  CHECK(w.begin() == 0);
  w.queue.hurry();
  CHECK(w.begin() == 2000 - 3 * otlp_queue::max_batch);
  w.queue.delivered();
  CHECK(w.queue.empty());
}

TEST_CASE(
    "a batch that fails is tried again, ever later, as the collector asks, and then dropped") {
  queue_in_time w;
  w.push();
  w.now += 1s;
  REQUIRE(w.begin() == 1);
  w.queue.failed(w.now, {});
  CHECK(w.begin() == 0);
  CHECK(w.queue.due() == w.now + 1s);
  w.now += 1s;
  REQUIRE(w.begin() == 1);
  w.queue.failed(w.now, 20s); // Retry-After
  CHECK(w.queue.due() == w.now + 20s);
  w.now += 20s;
  REQUIRE(w.begin() == 1);
  w.queue.failed(w.now, 1h); // not for so long
  CHECK(w.queue.due() == w.now + otlp_queue::give_up_after);
  w.now += otlp_queue::give_up_after;
  REQUIRE(w.begin() == 1);
  w.queue.failed(w.now, {});
  CHECK(w.queue.totals().dropped == 1);
  CHECK(w.queue.empty());
  w.push(600);
  CHECK(w.begin() == 0); // the pause holds for what comes
  w.now += otlp_queue::longest_pause;
  CHECK(w.begin() == otlp_queue::max_batch);
  w.queue.refused();
  CHECK(w.queue.totals().dropped == 1 + otlp_queue::max_batch);
  CHECK(w.begin() == 0);
  w.now += 1s;
  CHECK(w.begin() == 600 - otlp_queue::max_batch); // at once again
}

TEST_CASE("what a collector does not take is bounded, and the rest is counted") {
  queue_in_time w;
  w.push(100'000);
  CHECK(w.queue.totals().dropped > 50'000);
  w.now += 1s;
  std::uint64_t sent = 0;
  while (const auto count = w.begin()) {
    sent += count;
    w.queue.delivered();
    w.now += 1s;
  }
  CHECK(sent + w.queue.totals().dropped == 100'000);
  w.push(10);
  CHECK(w.queue.totals().dropped + sent == 100'000); // there is room again
}

TEST_CASE("spans are as long ago as their messages, whatever both clocks say") {
  auto message = some_message();
  message.code = error_code::failed;
  attempt_report attempt;
  attempt.placed = 1ms;
  attempt.ended = 5ms;
  attempt.end = attempt_end::answered;
  attempt.why = std::make_shared<const std::string>("bad \xff bytes");
  message.attempts = {attempt};
  const moment now{instant{1h + 10s}, std::chrono::nanoseconds{1'700'000'000'000'000'000}};
  std::uint64_t last = 0;
  const auto request = nlohmann::json::parse(
      otlp_request({message}, {"1.0", "here"}, now, [&] { return last += 0x100; }));
  const auto& spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"];
  REQUIRE(spans.size() == 2);
  CHECK(spans[0]["spanId"] == "0000000000000101");
  CHECK(spans[0]["startTimeUnixNano"] == "1699999990000000000");
  CHECK(spans[0]["endTimeUnixNano"] == "1699999990005000000");
  CHECK(spans[0]["status"]["code"] == 2);
  CHECK(spans[1]["parentSpanId"] == spans[0]["spanId"]);
  CHECK(spans[1]["startTimeUnixNano"] == "1699999990001000000");
  CHECK(request["resourceSpans"][0]["resource"]["attributes"][2]["value"]["stringValue"] == "here");
}

TEST_CASE("a collector's URL and its answers are read") {
  CHECK(read_otlp_url("http://127.0.0.1:4318")->path == "/v1/traces");
  CHECK(read_otlp_url("http://collector")->where == endpoint{"collector", 4318});
  CHECK(read_otlp_url("http://[::1]/x/y")->where == endpoint{"::1", 4318});
  CHECK(read_otlp_url("http://[::1]:99/x/y")->path == "/x/y");
  for (const std::string_view wrong : {"", "collector:4318", "https://collector", "http://",
                                       "http://:80", "http://a:0", "http://a b", "http://a:x"}) {
    INFO(wrong);
    CHECK_FALSE(read_otlp_url(wrong));
  }
  const auto busy = read_http_answer("HTTP/1.1 429 Too Many Requests\r\nretry-AFTER: 17\r\n\r\nx");
  CHECK(busy.status == 429);
  CHECK(busy.retry_after == 17s);
  CHECK(busy.body == "x");
  CHECK_FALSE(
      read_http_answer("HTTP/1.1 503 x\r\nRetry-After: Fri, 31 Dec 1999\r\n\r\n").retry_after);
  CHECK(read_http_answer("SSH-2.0\r\n\r\n").status == 0);
  CHECK(read_http_answer("HTTP/1.1 200 OK\r\n").status == 0); // cut off
}
