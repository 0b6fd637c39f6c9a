#include "actors/log/log_line.hpp"
#include "actors/log/log_queue.hpp"
#include "actors/log/log_writer.hpp"
#include "net/transport/socket.hpp"
#include "tests/catch.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <thread>
#include <unistd.h>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

struct pipe_ends {
  descriptor in;  // read from it
  descriptor out; // written to
};

// Of 4 KiB, the least that there is.
pipe_ends small_pipe() {
  std::array<int, 2> ends{-1, -1};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  REQUIRE(::fcntl(ends[1], F_SETPIPE_SZ, 4096) == 4096);
  return {descriptor{ends[0]}, descriptor{ends[1]}};
}

log_writer::settings into(const descriptor& where, std::size_t max_bytes) {
  return {where.get(), max_bytes, [](std::uint64_t lines, std::string_view why) {
            return "[" + std::to_string(lines) + " missing: " + std::string{why} + "]\n";
          }};
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// What comes up to and with `end`, and nothing of what is behind it.
std::string read_until(const descriptor& from, std::string_view end) {
  std::string result;
  char next = 0;
  while (!ends_with(result, end) && ::read(from.get(), &next, 1) == 1) result += next;
  return result;
}

} // namespace

TEST_CASE("a log's queue takes so many bytes, what is dropped is counted where it would have "
          "stood") {
  log_queue queue{10};
  queue.push("12345");
  queue.push("123456"); // one byte too many
  queue.push("1234567");
  CHECK(queue.bytes() == 5);
  queue.push("abcde"); // fits
  queue.push("x");
  CHECK(queue.pop().line == "12345");
  CHECK(queue.pop().dropped == 2);
  CHECK(queue.pop().line == "abcde");
  CHECK(queue.pop().dropped == 1);
  CHECK(queue.empty());
  CHECK(queue.bytes() == 0);
  queue.push("12345678901"); // never fits
  CHECK(queue.pop().dropped == 1);
}

TEST_CASE("who logs does not wait for a reader that stalls, and what is missing is said as soon as "
          "it reads on") {
  auto pipe = small_pipe();
  log_writer log{into(pipe.out, 20'000)};
  const std::string line(99, 'x');
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) log.write(line + "\n");
  CHECK_FALSE(log.finish(50ms));
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
  // Who writes them may be slow enough to make room, and lack some again: each is there or counted.
  std::size_t lines = 0;
  std::size_t missing = 0;
  while (lines + missing < 1000) {
    const auto said = read_until(pipe.in, "\n");
    REQUIRE_FALSE(said.empty());
    if (said == line + "\n") {
      ++lines;
    } else {
      CHECK(said.find("missing: they were not read in time]") != std::string::npos);
      missing += std::stoul(said.substr(1));
    }
  }
  CHECK(lines + missing == 1000);
  CHECK(missing > 0);
  log.write("and on\n");
  CHECK(log.finish(5s));
  CHECK(read_until(pipe.in, "and on\n") == "and on\n");
}

TEST_CASE("a log whose reader is gone, or whose disk is full, costs lines and nothing else") {
  ::signal(SIGPIPE, SIG_IGN);
  SECTION("the reader") {
    auto pipe = small_pipe();
    log_writer log{into(pipe.out, 20'000)};
    pipe.in.close();
    for (int i = 0; i < 1000; ++i) log.write("to nobody\n");
    CHECK(log.finish(5s));
  }
  SECTION("the disk") {
    const descriptor full{::open("/dev/full", O_WRONLY | O_CLOEXEC)};
    log_writer log{into(full, 20'000)};
    for (int i = 0; i < 10; ++i) log.write("to nowhere\n");
    CHECK(log.finish(5s));
    // There is room again: what is missing is said, without another line.
    auto pipe = small_pipe();
    REQUIRE(::dup2(pipe.out.get(), full.get()) == full.get());
    const auto said = read_until(pipe.in, "]\n");
    CHECK(said == "[10 missing: they could not be written: No space left on device]\n");
  }
}

TEST_CASE("a log takes lines from several threads, each whole") {
  auto pipe = small_pipe();
  log_writer log{into(pipe.out, 1 << 20)};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) log.write(std::string(40, static_cast<char>('a' + t)) + "\n");
    });
  std::thread ends{[&] {
    for (auto& t : threads) t.join();
    log.write("end\n");
  }};
  const auto said = read_until(pipe.in, "end\n");
  ends.join();
  CHECK(said.size() == 4 * 500 * 41 + 4);
  for (std::size_t at = 0; at + 4 < said.size(); at += 41)
    CHECK(said.substr(at, 41) == std::string(40, said[at]) + "\n");
}

TEST_CASE("a line of the log is text for people, or one JSON object with its fields") {
  const auto joined = join_fields(
      "a request is answered FAILED",
      {{"service", "sum"}, {"node", "left"}, {"reason", "it said \"no\""}, {"empty", ""}});
  const auto line = split_fields(joined);
  CHECK(text_of(line) == "a request is answered FAILED service=sum node=left "
                         "reason=\"it said \\\"no\\\"\" empty=\"\"");
  const auto at = std::chrono::system_clock::time_point{1'700'000'000'042ms};
  const auto text = json_of(line, at, "warning", "broker");
  CHECK(text.find('\n') == std::string::npos);
  const auto json = nlohmann::json::parse(text);
  CHECK(json["time"] == "2023-11-14T22:13:20.042Z");
  CHECK(json["level"] == "warning");
  CHECK(json["process"] == "broker");
  CHECK(json["message"] == "a request is answered FAILED");
  CHECK(json["service"] == "sum");
  CHECK(json["reason"] == "it said \"no\"");
  CHECK_NOTHROW(nlohmann::json::parse(json_of(split_fields("not \xff UTF-8"), at, "info", "n")));
  CHECK(text_of(split_fields("no fields")) == "no fields");
}
