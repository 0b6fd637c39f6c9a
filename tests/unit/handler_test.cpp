#include "actors/handlers/handler.hpp"
#include "tests/catch.hpp"

#include <thread>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t reply_cap = 1 << 20;

outcome run(const std::string& spec, std::string_view message,
            std::chrono::milliseconds patience = 10s, const std::atomic<bool>* stop = nullptr) {
  call what;
  what.service = "svc";
  what.payload = shared_bytes::copy_of(message);
  what.deadline = std::chrono::steady_clock::now() + patience;
  what.stop = stop;
  return make_handler(spec, reply_cap)->run(what);
}

} // namespace

TEST_CASE("builtin handlers do what they say") {
  REQUIRE(run("builtin:echo", "Abc").payload.view() == "Abc");
  REQUIRE(run("builtin:upper", "abc-z\xc3\xa4").payload.view() == "ABC-Z\xc3\xa4");
  REQUIRE(run("builtin:sha256", "abc").payload.view() ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); // FIPS 180-2,
                                                                               // appendix B.1
  REQUIRE(run("builtin:fail", "why").code == error_code::failed);
  REQUIRE(run("builtin:sleep", "soon").code == error_code::failed);
  REQUIRE_THROWS(run("builtin:crash", "x"));
}

TEST_CASE("a command's stdin is the message and its stdout the reply") {
  REQUIRE(run("cmd:tr a-z A-Z", "hello").payload.view() == "HELLO");
  REQUIRE(run("cmd:wc -c", std::string(300'000, 'x')).payload.view() == "300000\n");
  const std::string large(reply_cap, 'y');
  REQUIRE(run("cmd:cat", large).payload.view() == large);
  REQUIRE(run("cmd:cat", "").payload.empty());
}

TEST_CASE("a command that does not read its message is none the worse for it") {
  const auto result = run("cmd:echo done", std::string(1'000'000, 'x'));
  REQUIRE(result.code == error_code::ok);
  REQUIRE(result.payload.view() == "done\n");
}

TEST_CASE("a command that fails says so with its exit status and the end of its stderr") {
  const auto result = run("cmd:sh -c 'echo first >&2; echo the reason >&2; exit 3'", "");
  REQUIRE(result.code == error_code::failed);
  REQUIRE(result.payload.view() == "exit status 3: first\nthe reason\n");
  const auto noisy =
      run("cmd:sh -c 'yes noise | head -c 100000 >&2; echo the end >&2; exit 1'", "");
  REQUIRE(noisy.payload.size() < 5000);
  REQUIRE(noisy.payload.view().ends_with("the end\n"));
}

TEST_CASE("a command killed by a signal is lost, and with it what ran the message") {
  const auto result = run("cmd:sh -c 'kill -SEGV $$'", "");
  REQUIRE(result.code == error_code::worker_lost);
  REQUIRE(result.payload.view().find("signal 11") != std::string_view::npos);
}

TEST_CASE("a command that is killed is lost at once, even if what it started lives on") {
  const auto before = std::chrono::steady_clock::now();
  REQUIRE(run("cmd:sh -c '(sleep 0.2; kill -KILL $$) & sleep 60'", "").code ==
          error_code::worker_lost);
  REQUIRE(std::chrono::steady_clock::now() - before < 5s);
}

TEST_CASE("a command is killed at the deadline, with all that it started") {
  const auto before = std::chrono::steady_clock::now();
  REQUIRE(run("cmd:sh -c 'sleep 60 & sleep 60'", "", 200ms).code == error_code::timeout);
  REQUIRE(std::chrono::steady_clock::now() - before < 5s);
}

TEST_CASE("a command is killed when nobody wants its answer any more") {
  std::atomic<bool> stop{false};
  std::thread impatient{[&] {
    std::this_thread::sleep_for(100ms);
    stop = true;
  }};
  const auto before = std::chrono::steady_clock::now();
  const auto result = run("cmd:sleep 60", "", 30s, &stop);
  impatient.join();
  REQUIRE(result.code == error_code::cancelled);
  REQUIRE(std::chrono::steady_clock::now() - before < 5s);
}

TEST_CASE("a command's endless output ends at the cap") {
  REQUIRE(run("cmd:yes", "").code == error_code::too_large);
}

TEST_CASE("a command finds service, attempt and time left in its environment") {
  const auto result = run(
      "cmd:sh -c 'echo $ROPEWALK_SERVICE $ROPEWALK_ATTEMPT; test $ROPEWALK_TIMEOUT_MS -gt 5000'",
      "");
  REQUIRE(result.code == error_code::ok);
  REQUIRE(result.payload.view() == "svc 1\n");
}

TEST_CASE("a handler that cannot be is refused with a sentence that helps") {
  auto complaint = [](const std::string& spec) -> std::string {
    try {
      make_handler(spec, reply_cap);
    } catch (const bad_handler& error) {
      return error.what();
    }
    return {};
  };
  REQUIRE(complaint("builtin:ecko").find("echo") != std::string::npos);
  REQUIRE(complaint("echo").find("builtin:NAME") != std::string::npos);
  REQUIRE(complaint("cmd:no-such-program-here x")
              .find("cannot find the program 'no-such-program-here'") != std::string::npos);
  REQUIRE(complaint("cmd:").find("wants a program") != std::string::npos);
  REQUIRE(complaint("cmd:a 'b").find("single quote") != std::string::npos);
}
