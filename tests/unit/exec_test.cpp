#include "actors/handlers/handler_channel.hpp"
#include "actors/handlers/handler_output.hpp"
#include "actors/handlers/process_load.hpp"
#include "actors/settings/service_options.hpp"
#include "tests/catch.hpp"

#include <algorithm>
#include <csignal>
#include <string>
#include <unistd.h>
#include <vector>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t cap = 1000;

std::string frame_of(frame_kind kind, error_code code, std::uint64_t id, std::string_view fields,
                     std::string_view payload) {
  std::vector<char> bytes;
  append_frame(bytes, kind, code, id, fields, payload);
  return {bytes.begin(), bytes.end()};
}

std::string hello_ok(std::optional<std::uint32_t> concurrency = {}) {
  field_writer fields;
  if (concurrency) fields.u32(field::concurrency, *concurrency);
  return frame_of(frame_kind::hello_ok, error_code::ok, 1, fields.bytes(), {});
}

// What a handler that said this is taken to have said: the last event.
handler_channel::event heard(handler_channel& channel, std::string_view said) {
  channel.in().feed(said);
  handler_channel::event last;
  for (auto event = channel.next(); !std::holds_alternative<std::monostate>(event);
       event = channel.next()) {
    last = event;
    if (auto* answer = std::get_if<handler_channel::answer>(&last))
      answer->payload = answer->payload.own();
  }
  return last;
}

std::string violation_in(std::string_view said, bool ready = true) {
  handler_channel channel{cap};
  if (ready) heard(channel, hello_ok());
  const auto event = heard(channel, said);
  const auto* violation = std::get_if<handler_channel::violation>(&event);
  return violation ? violation->what : "none";
}

instant at(int ms) {
  return instant{} + milliseconds{1'000'000 + ms};
}

std::vector<item_end> ends_of(const std::vector<process_load::verdict>& runs) {
  std::vector<item_end> result;
  for (const auto& v : runs) result.push_back(v.end);
  return result;
}

} // namespace

TEST_CASE(
    "a handler that stays up says how many requests it takes at a time, one, if it does not") {
  handler_channel one{cap};
  CHECK(std::get<handler_channel::ready>(heard(one, hello_ok())).concurrency == 1);
  handler_channel many{cap};
  CHECK(std::get<handler_channel::ready>(heard(many, hello_ok(300))).concurrency == 300);
}

TEST_CASE("what a node says to a handler is what the document says") {
  handler_channel channel{cap};
  channel.hello("score", false);
  channel.request(7, shared_bytes::copy_of("payload"), 1500ms, {2, {}});
  channel.cancel(7);
  const auto& said = channel.out().tail();
  decoder handler{cap, decoder::mode::binary};
  handler.feed({said.data(), said.size()});
  frame_fields fields;
  const auto* hello = std::get_if<incoming_frame>(handler.next());
  REQUIRE(hello);
  CHECK(hello->head.kind == frame_kind::hello);
  REQUIRE(read_fields(hello->fields, fields));
  CHECK(fields.version == protocol_version);
  CHECK(fields.service == "score");
  CHECK(fields.max_message_bytes == cap);
  const auto* request = std::get_if<incoming_frame>(handler.next());
  REQUIRE(request);
  CHECK(request->head.kind == frame_kind::request);
  CHECK(request->head.id == 7);
  CHECK(request->payload.view() == "payload");
  REQUIRE(read_fields(request->fields, fields));
  CHECK(fields.deadline_ms == 1500u);
  CHECK(fields.attempt == std::uint8_t{2});
  const auto* cancel = std::get_if<incoming_frame>(handler.next());
  REQUIRE(cancel);
  CHECK(cancel->head.kind == frame_kind::cancel);
  CHECK(cancel->head.id == 7);
}

TEST_CASE("a program is a fork server if it says so to a node that can fork, and says what it has "
          "forked") {
  field_writer fields;
  fields.u8(field::forks, 1).u32(field::pid, 4711);
  const auto ok = frame_of(frame_kind::hello_ok, error_code::ok, 1, fields.bytes(), {});
  const auto forked = frame_of(frame_kind::forked, error_code::ok, 8, fields.bytes(), {});
  handler_channel cannot{cap};
  cannot.hello("score", false);
  CHECK_FALSE(std::get<handler_channel::ready>(heard(cannot, ok)).forks);
  CHECK(std::get<handler_channel::violation>(heard(cannot, forked)).what.find("no fork server") !=
        std::string::npos);
  handler_channel can{cap};
  can.hello("score", true);
  CHECK(std::get<handler_channel::ready>(heard(can, ok)).forks);
  const auto event = std::get<handler_channel::forked>(heard(can, forked));
  CHECK(event.id == 8);
  CHECK(event.pid == 4711);
  const auto why = frame_of(frame_kind::error, error_code::failed, 9, {}, "threads run");
  CHECK(std::get<handler_channel::answer>(heard(can, why)).payload.view() == "threads run");
  const auto nobody = frame_of(frame_kind::forked, error_code::ok, 10, {}, {});
  CHECK(std::holds_alternative<handler_channel::violation>(heard(can, nobody)));
}

TEST_CASE("a handler's answers, whichever way their bytes come") {
  const auto said = hello_ok() + frame_of(frame_kind::reply, error_code::ok, 5, {}, "fine") +
                    frame_of(frame_kind::error, error_code::failed, 6, {}, "not so");
  for (std::size_t piece = 1; piece <= said.size(); ++piece) {
    handler_channel channel{cap};
    std::vector<handler_channel::answer> answers;
    for (std::size_t i = 0; i < said.size(); i += piece) {
      const auto part = said.substr(i, piece);
      channel.in().feed(part);
      for (auto event = channel.next(); !std::holds_alternative<std::monostate>(event);
           event = channel.next())
        if (auto* answer = std::get_if<handler_channel::answer>(&event)) {
          answer->payload = answer->payload.own();
          answers.push_back(*answer);
        }
    }
    REQUIRE(answers.size() == 2);
    CHECK(answers[0].id == 5);
    CHECK(answers[0].code == error_code::ok);
    CHECK(answers[0].payload.view() == "fine");
    CHECK(answers[1].code == error_code::failed);
    CHECK(answers[1].payload.view() == "not so");
    CHECK_FALSE(channel.in_message());
  }
}

TEST_CASE("a reply over the cap is too large, and the next one is heard") {
  handler_channel channel{cap};
  heard(channel, hello_ok());
  const auto large = frame_of(frame_kind::reply, error_code::ok, 8, {}, std::string(cap + 1, 'x'));
  const auto answer = std::get<handler_channel::answer>(heard(channel, large));
  CHECK(answer.id == 8);
  CHECK(answer.code == error_code::too_large);
  const auto next = heard(channel, frame_of(frame_kind::reply, error_code::ok, 9, {}, "small"));
  CHECK(std::get<handler_channel::answer>(next).payload.view() == "small");
}

TEST_CASE("a handler's ping is answered") {
  handler_channel channel{cap};
  heard(channel, hello_ok() + frame_of(frame_kind::ping, error_code::ok, 3, {}, "there?"));
  const auto& said = channel.out().tail();
  CHECK(std::string_view{said.data(), said.size()} ==
        frame_of(frame_kind::pong, error_code::ok, 3, {}, "there?"));
}

TEST_CASE(
    "what a handler says that is not in the protocol is quoted, and nothing is heard after it") {
  using Catch::Matchers::Contains;
  CHECK_THAT(violation_in("Traceback (most recent call last):\n"),
             Contains("no frame, 'Traceback (most recent call last):"));
  CHECK_THAT(violation_in("ok\n"), Contains("no frame, 'ok")); // and not only with 13 bytes more
  CHECK_THAT(violation_in(frame_of(frame_kind::request, error_code::ok, 1, {}, "do it yourself")),
             Contains("kind 3") && Contains("do it yourself"));
  CHECK_THAT(violation_in(hello_ok()), Contains("a second time"));
  CHECK_THAT(violation_in(frame_of(frame_kind::error, error_code::ok, 1, {}, "fine")),
             Contains("number 0"));
  CHECK_THAT(violation_in(frame_of(frame_kind::reply, error_code::ok, 1, {}, "early"), false),
             Contains("before its HELLO_OK"));
  CHECK_THAT(
      violation_in(frame_of(frame_kind::error, error_code::failed, 1, {}, "no model"), false),
      Contains("FAILED") && Contains("no model"));
  CHECK_THAT(violation_in(hello_ok(0), false), Contains("0 requests"));
  field_writer version;
  version.u8(field::version, 9);
  CHECK_THAT(
      violation_in(frame_of(frame_kind::hello_ok, error_code::ok, 1, version.bytes(), {}), false),
      Contains("version 9"));
  CHECK(violation_in(frame_of(frame_kind::reply, error_code::ok, 1, {}, "fine")) == "none");

  handler_channel channel{cap};
  heard(channel, hello_ok());
  heard(channel, "nonsense that is no frame");
  const auto after = heard(channel, frame_of(frame_kind::reply, error_code::ok, 1, {}, "fine"));
  CHECK(std::holds_alternative<std::monostate>(after));
}

TEST_CASE("an answer is to a request that runs, and to none that was answered") {
  process_load load;
  const auto first = load.begin({0, at(1000)}, at(0));
  const auto second = load.begin({1, at(1000)}, at(0));
  CHECK(first != second);
  CHECK(load.running() == 2);
  CHECK_FALSE(load.end(0, at(1)));
  CHECK_FALSE(load.end(first + 77, at(1)));
  const auto ended = load.end(first, at(3));
  REQUIRE(ended);
  CHECK(ended->seat == 0);
  CHECK(ended->run_time == 3ms);
  CHECK_FALSE(load.end(first, at(4)));
  const auto third = load.begin({0, at(1000)}, at(5)); // the same place
  CHECK_FALSE(load.end(first, at(6)));
  CHECK(load.end(third, at(6)));
  CHECK(load.end(second, at(6)));
  CHECK(load.running() == 0);
}

TEST_CASE("a process that dies of one request is that one's fault, of several, they are suspects") {
  process_load load;
  load.begin({0, at(1000)}, at(0));
  load.said();
  CHECK(ends_of(load.died(at(1))) == std::vector{item_end::crashed});
  load.begin({0, at(1000)}, at(2));
  load.begin({1, at(1000)}, at(2));
  load.begin({2, at(1000)}, at(2));
  load.said();
  CHECK(ends_of(load.died(at(3))) == std::vector(3, item_end::suspect));
  CHECK(load.running() == 0);
  CHECK(load.died(at(4)).empty());
}

TEST_CASE("what was never said to a process was not started there, and makes nobody a suspect") {
  process_load load;
  load.begin({0, at(1000)}, at(0));
  load.said();
  load.begin({1, at(1000)}, at(0));
  load.begin({2, at(1000)}, at(0));
  CHECK(ends_of(load.died(at(1))) ==
        std::vector{item_end::crashed, item_end::returned, item_end::returned});
}

TEST_CASE("a handler that pings and does not read is cut off") {
  handler_channel channel{1 << 20};
  heard(channel, hello_ok());
  const auto ping = frame_of(frame_kind::ping, error_code::ok, 1, {}, std::string(100'000, 'x'));
  bool cut_off = false;
  for (int i = 0; i < 20 && !cut_off; ++i)
    cut_off = std::holds_alternative<handler_channel::violation>(heard(channel, ping));
  CHECK(cut_off);
}

TEST_CASE("what is to run alone keeps others out until it has ended") {
  process_load load;
  const auto id = load.begin({4, at(1000), true}, at(0));
  CHECK(load.exclusive());
  load.end(id, at(1));
  CHECK_FALSE(load.exclusive());
  load.begin({4, at(1000), true}, at(2));
  load.said();
  CHECK(ends_of(load.died(at(3))) == std::vector{item_end::crashed});
  CHECK_FALSE(load.exclusive());
}

TEST_CASE("what is over its time is told so, has a while to answer, and alone is to blame") {
  process_load load;
  const auto late = load.begin({0, at(100)}, at(0));
  load.begin({1, at(10'000)}, at(0));
  load.said();
  CHECK(load.take_unwanted(at(99), 50ms).empty());
  CHECK(load.take_unwanted(at(100), 50ms) == std::vector{late});
  CHECK(load.take_unwanted(at(101), 50ms).empty()); // once
  CHECK_FALSE(load.is_overdue(at(149)));
  CHECK(load.is_overdue(at(150)));
  const auto runs = load.ended_overdue(at(150));
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].seat == 0);
  CHECK(runs[0].end == item_end::answered);
  CHECK(runs[0].code == error_code::timeout);
  CHECK(runs[1].seat == 1);
  CHECK(runs[1].end == item_end::interrupted);
}

TEST_CASE("what nobody wants any more is told so") {
  process_load load;
  std::atomic<bool> stop{false};
  const auto id = load.begin({0, at(10'000), false, &stop}, at(0));
  CHECK(load.take_unwanted(at(1), 50ms).empty());
  stop = true;
  CHECK(load.take_unwanted(at(2), 50ms) == std::vector{id});
  CHECK(load.end(id, at(3))); // it answers in time
  CHECK_FALSE(load.is_overdue(at(1000)));
}

TEST_CASE("what a handler prints is lines of the log: some a second, the rest counted") {
  handler_output output;
  std::vector<std::string> lines;
  const auto log = [&](std::string_view line) { lines.emplace_back(line); };
  output.add("one\ntw", at(0), log);
  output.add("o\n", at(0), log);
  CHECK(lines == std::vector<std::string>{"one", "two"});
  output.add(std::string(5000, 'x') + "\n", at(0), log);
  CHECK(lines.back().size() == handler_output::max_line_bytes);
  for (int i = 0; i < 100; ++i) output.add("more\n", at(1), log);
  CHECK(lines.size() == handler_output::lines_a_second);
  output.add("a second later\n", at(1001), log);
  CHECK(lines[lines.size() - 2] == "(83 lines left out)");
  CHECK(lines.back() == "a second later");
  output.add("last words", at(1002), log);
  CHECK(output.tail().find("last words") != std::string::npos);
  output.finish(log);
  CHECK(lines.back() == "last words");
  CHECK(output.tail().empty());
}

TEST_CASE("a megabyte without a line's end takes no megabyte") {
  handler_output output;
  int lines = 0;
  for (int i = 0; i < 16; ++i)
    output.add(std::string(64 * 1024, static_cast<char>('a' + i)), at(i),
               [&](std::string_view) { ++lines; });
  CHECK(lines == 0);
  CHECK(output.tail().size() <= 2 * limits::max_stderr_bytes);
  CHECK(output.tail().back() == 'p');
}

TEST_CASE("options of a service: what they set, and what is said of those that are none") {
  using Catch::Matchers::Contains;
  service_options o;
  REQUIRE(set_service_option(o, runs::process, "slots", "16"));
  REQUIRE(set_service_option(o, runs::process, "processes", "2"));
  REQUIRE(set_service_option(o, runs::process, "start-timeout", "2m"));
  REQUIRE(set_service_option(o, runs::process, "stop-timeout", "250ms"));
  REQUIRE(set_service_option(o, runs::process, "recycle-after", "1000"));
  REQUIRE(set_service_option(o, runs::process, "cwd", "/tmp"));
  REQUIRE(set_service_option(o, runs::process, "env", "A=1"));
  REQUIRE(set_service_option(o, runs::process, "env", "B="));
  CHECK(o.slots == 16);
  CHECK(o.processes == 2);
  CHECK(o.start_timeout == 120s);
  CHECK(o.stop_timeout == 250ms);
  CHECK(o.recycle_after == 1000);
  CHECK(o.around.folder == "/tmp");
  CHECK(o.around.environment == std::vector<std::string>{"A=1", "B="});
  const auto why = [&](std::string_view name, const std::string& value) {
    const auto set = set_service_option(o, runs::process, name, value);
    return set ? std::string{} : set.why().text();
  };
  CHECK_THAT(why("slot", "1"), Contains("no option 'slot'") && Contains("slots"));
  CHECK_THAT(why("slots", "many"), Contains("'many' is no number"));
  CHECK_THAT(why("slots", "0"), Contains("between 1 and"));
  CHECK_THAT(why("slots", "5s"), Contains("no number"));
  CHECK_THAT(why("stop-timeout", "5"), Contains("5s"));
  CHECK_THAT(why("stop-timeout", "99999999999999999999h"), Contains("no time"));
  CHECK_THAT(why("env", "A"), Contains("NAME=VALUE"));
  CHECK(set_service_option(o, runs::program, "slots", "4"));
  CHECK_THAT(set_service_option(o, runs::program, "processes", "4").why().text(),
             Contains("handlers that stay up"));
}

TEST_CASE("slots of a service are a number, or a range for processes that come and go") {
  using Catch::Matchers::Contains;
  service_options o;
  const auto why = [&](const std::string& value, runs what = runs::process) {
    const auto set = set_service_option(o, what, "slots", value);
    return set ? std::string{} : set.why().text();
  };
  CHECK(why("2..8").empty());
  CHECK(o.min_slots == 2);
  CHECK(o.slots == 8);
  CHECK(why("3..3").empty());
  CHECK(why("4").empty());
  CHECK(o.min_slots == 0);
  CHECK(o.slots == 4);
  for (const auto* wrong : {"8..2", "0..4"})
    CHECK_THAT(why(wrong), Contains("is no range of slots"));
  for (const auto* wrong : {"..4", "a..4"}) CHECK_THAT(why(wrong), Contains("is no range"));
  for (const auto* wrong : {"1..", "1..b", "1...4", "1..4 "})
    CHECK_THAT(why(wrong), Contains("is no number"));
  CHECK_THAT(why("1..5000"), Contains("not between 1 and 4096"));
  for (const auto what : {runs::built_in, runs::code, runs::program, runs::server})
    CHECK_THAT(why("1..4", what), Contains("a range is for handlers that stay up (exec:)"));
}

TEST_CASE("options of a service that are sizes, flags, signals and users") {
  using Catch::Matchers::Contains;
  service_options o;
  const auto why = [&](std::string_view name, const std::string& value, runs what = runs::process) {
    const auto set = set_service_option(o, what, name, value);
    return set ? std::string{} : set.why().text();
  };
  CHECK(why("timeout", "1500ms", runs::program).empty());
  CHECK(o.timeout == 1500ms);
  CHECK(why("retry-failed", "true", runs::built_in).empty());
  CHECK(o.retry_failed);
  CHECK_THAT(why("retry-failed", "yes"), Contains("'yes' is not true or false"));
  CHECK(why("recycle-age", "2h").empty());
  CHECK(o.recycle_age == 2h);
  CHECK_THAT(why("recycle-age", "10ms"), Contains("between 1s and 365d"));
  CHECK(why("max-memory", "512MiB").empty());
  CHECK(o.max_memory == 512 * limits::mib);
  CHECK(why("max-memory", "2097152").empty());
  CHECK(o.max_memory == 2 * limits::mib);
  CHECK_THAT(why("max-memory", "1MB"), Contains("is not between 1MiB and")); // of 1000s
  CHECK_THAT(why("max-memory", "many"), Contains("max-memory: "));
  CHECK_THAT(why("max-memory", "99999999999GiB"), Contains("max-memory: "));
  CHECK_THAT(why("max-memory", "1KiB"), Contains("between"));
  CHECK_THAT(why("max-memory", "1GiB", runs::program), Contains("handlers that stay up"));
  CHECK(why("stop-signal", "SIGINT").empty());
  CHECK(o.stop_signal == SIGINT);
  CHECK_THAT(why("stop-signal", "KILL"), Contains("none of TERM, INT"));
  CHECK(why("nice", "19", runs::program).empty());
  CHECK(o.around.nice == 19);
  CHECK_THAT(why("nice", "20"), Contains("between 0 and 19"));
  CHECK_THAT(why("nice", "1", runs::built_in), Contains("cmd:, exec:"));
  CHECK_THAT(why("cwd", "/tmp", runs::built_in), Contains("cmd:, exec:"));
  CHECK(why("channel", "stdio").empty());
  CHECK(o.speaks_over == service_options::channel::stdio);
  CHECK_THAT(why("channel", "pipe"), Contains("neither fd nor stdio"));
  CHECK_THAT(why("user", "nobody-of-that-name"), Contains("there is no user"));
  if (::geteuid() == 0) {
    CHECK(why("user", "nobody").empty());
    CHECK(o.around.user->name == "nobody");
  } else {
    CHECK_THAT(why("user", "nobody"), Contains("runs as root"));
  }
}

TEST_CASE("every option of a service is in the help and in the table, with its range and default") {
  for (const auto& name : service_option_names()) {
    CHECK(service_options_usage().find("\n  " + name + " (") != std::string::npos);
    CHECK(service_options_table().find("| `" + name + "` |") != std::string::npos);
  }
  CHECK(service_options_usage().find("recycle-age (exec; 1s to 365d; default: never)") !=
        std::string::npos);
}

TEST_CASE("a handler is told what else is known of a request, behind its deadline and attempt") {
  handler_channel channel{cap};
  field_writer more;
  more.text(field::key, "k").text(field::trace, "abc").text(field::client, "alice");
  constexpr std::uint64_t id = 0x1122334455667788;
  channel.request(7, shared_bytes::copy_of("payload"), 1500ms, {2, more.bytes(), id});
  decoder in{cap, decoder::mode::binary};
  const auto sent = channel.out().tail();
  in.feed({sent.data(), sent.size()});
  const auto* frame = std::get_if<incoming_frame>(in.next());
  REQUIRE(frame);
  CHECK(frame->payload.view() == "payload");
  frame_fields fields;
  REQUIRE(read_fields(frame->fields, fields));
  CHECK(fields.deadline_ms == 1500u);
  CHECK(fields.attempt == 2);
  CHECK(fields.key == "k");
  CHECK(fields.trace == "abc");
  CHECK(fields.client == "alice");
  CHECK(frame->fields.find("\x10\x08\x11\x22\x33\x44\x55\x66\x77\x88") != std::string_view::npos);
}
