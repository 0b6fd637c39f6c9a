#include "actors/handlers/registry.hpp"
#include "net/protocol/readable.hpp"
#include "net/transport/socket.hpp"
#include "tests/catch.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include <thread>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t reply_cap = 1 << 20;

std::unique_ptr<handler> made(const std::string& spec) {
  return make_handler(parse_handler(spec).value(), {reply_cap});
}

outcome run(const std::string& spec, std::string_view message,
            std::chrono::milliseconds patience = 10s, const std::atomic<bool>* stop = nullptr) {
  invocation what;
  what.service = "svc";
  what.payload = shared_bytes::copy_of(message);
  what.deadline = std::chrono::steady_clock::now() + patience;
  what.stop = stop;
  return made(spec)->run(what);
}

std::string scratch_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "ropewalk-handler-test-").string() +
                     std::string(6, 'X'); // for mkdtemp to fill in
  REQUIRE(::mkdtemp(name.data()));
  return name;
}

} // namespace

TEST_CASE(
    "what strangers said is one line of a log: short, valid UTF-8, and no terminal obeys it") {
  CHECK(one_line("plain, \xc3\xa4 too", 100) == "plain, \xc3\xa4 too");
  CHECK(one_line("a\nb\r\x1b[31m\x7f", 100) == "a?b??[31m?");
  CHECK(one_line("c1: \xc2\x9b"
                 "31m",
                 100) == "c1: ?31m");
  CHECK(one_line("raw: \x9b"
                 "31m",
                 100) == "raw: \xef\xbf\xbd"
                         "31m");
  CHECK(one_line("cut \xc3", 100) == "cut \xef\xbf\xbd");
  CHECK(one_line(std::string(2'000'000, 'x'), 512) == std::string(512, 'x') + "...");
  CHECK(one_line("", 512).empty());
}

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
  REQUIRE(result.payload.view() == "exit status 3: first\nthe reason");
  const auto noisy =
      run("cmd:sh -c 'yes noise | head -c 100000 >&2; echo the end >&2; exit 1'", "");
  REQUIRE(noisy.payload.size() < 5000);
  REQUIRE(noisy.payload.view().ends_with("the end"));
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

TEST_CASE("a command that has closed its stdout and stderr still gets all of its input") {
  const auto folder = scratch_folder();
  const auto size = GENERATE(1, 65'536, 65'537, 2'000'000);
  const auto result = run("cmd:sh -c 'exec >" + folder + "/log 2>&1; cat >" + folder + "/in'",
                          std::string(static_cast<std::size_t>(size), 'x'));
  CHECK(result.code == error_code::ok);
  CHECK(result.payload.empty());
  CHECK(std::filesystem::file_size(folder + "/in") == static_cast<std::uintmax_t>(size));
  std::filesystem::remove_all(folder);
}

TEST_CASE(
    "a command whose time is up in the middle of its message never takes a part for the whole") {
  const auto folder = scratch_folder();
  const std::string message(2'000'000, 'x');
  for (int i = 0; i < 60; ++i)
    run("cmd:sh -c 'n=$(wc -c); echo $n >>" + folder + "/seen'", message, 3ms + i % 20 * 1ms);
  std::ifstream seen{folder + "/seen"};
  for (std::string line; std::getline(seen, line);) CHECK(line == "2000000");
  std::filesystem::remove_all(folder);
}

TEST_CASE("deadline and cancellation hold whatever a command does with its descriptors") {
  const std::string closing =
      GENERATE("exec <&-", "exec >&-", "exec 2>&-", "exec <&- >&-", "exec <&- 2>&-",
               "exec >&- 2>&-", "exec <&- >&- 2>&-", "exec >/dev/null 2>&1", "trap : TERM INT HUP");
  const auto spec = "cmd:sh -c '" + closing + "; sleep 25'";
  const auto before = std::chrono::steady_clock::now();
  REQUIRE(run(spec, std::string(200'000, 'x'), 200ms).code == error_code::timeout);
  std::atomic<bool> stop{true};
  REQUIRE(run(spec, std::string(200'000, 'x'), 30s, &stop).code == error_code::cancelled);
  REQUIRE(std::chrono::steady_clock::now() - before < 5s);
}

TEST_CASE("a command that closes its descriptors in whatever combination comes to its end") {
  for (const auto* closing :
       {"<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"}) {
    INFO(closing);
    CHECK(run(std::string{"cmd:sh -c 'exec "} + closing + "; exit 0'", std::string(200'000, 'x'))
              .code == error_code::ok);
    const auto failing = run(std::string{"cmd:sh -c 'exec "} + closing + "; exit 5'", "");
    CHECK(failing.code == error_code::failed);
    CHECK(failing.payload.view() == "exit status 5");
  }
}

TEST_CASE("a command's end decides, not that of its pipes") {
  const auto before = std::chrono::steady_clock::now();
  const auto result = run("cmd:sh -c 'echo hi; sleep 30 & exit 0'", "");
  CHECK(result.code == error_code::ok);
  CHECK(result.payload.view() == "hi\n");
  const auto large = run("cmd:sh -c 'head -c 60000 /dev/zero; setsid sleep 30 & exit 0'", "");
  CHECK(large.code == error_code::ok);
  CHECK(large.payload.size() == 60'000);
  CHECK(std::chrono::steady_clock::now() - before < 5s);
}

TEST_CASE("what a command said stands in its TIMEOUT, too") {
  const auto result = run("cmd:sh -c 'echo connecting to the printer >&2; sleep 25'", "", 300ms);
  CHECK(result.code == error_code::timeout);
  CHECK(result.payload.view() ==
        "the program was ended at the deadline; it had said: connecting to the printer");
  CHECK(run("cmd:sleep 25", "", 100ms).payload.view() == "the program was ended at the deadline");
}

TEST_CASE("an error's text is UTF-8 whatever a command wrote to its stderr") {
  CHECK(run("cmd:sh -c 'printf \"caf\\351 zu\" >&2; exit 1'", "").payload.view() ==
        "exit status 1: caf\xef\xbf\xbd zu");
}

TEST_CASE("what people read of a command's stderr begins with a whole character and has no other") {
  CHECK(readable_end("", 10).empty());
  CHECK(readable_end("plain", 10) == "plain");
  CHECK(readable_end("plain", 3) == "ain");
  CHECK(readable_end("\xc3\xa4\xc3\xb6", 4) == "\xc3\xa4\xc3\xb6");
  CHECK(readable_end("\xc3\xa4\xc3\xb6", 3) == "\xc3\xb6"); // the cut goes through the first
  CHECK(readable_end("\xf0\x9f\x98\x80!", 4) == "!");
  CHECK(readable_end("a\xff", 10) == "a\xef\xbf\xbd");
  CHECK(readable_end("\xe2\x82z", 10) == "\xef\xbf\xbdz"); // one for what breaks off
  CHECK(readable_end("\xe2\x82", 10) == "\xef\xbf\xbd");
  CHECK(readable_end("\xc0\x80", 10) == "\xef\xbf\xbd\xef\xbf\xbd");                 // overlong
  CHECK(readable_end("\xed\xa0\x80", 20) == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); // a surrogate
  CHECK(readable_end("\xf4\x8f\xbf\xbf", 10) == "\xf4\x8f\xbf\xbf");
  CHECK(readable_end("\xf4\x90\x80\x80", 20).size() == 12);         // beyond the last
  CHECK(readable_end(std::string(3, '\xff'), 5) == "\xef\xbf\xbd"); // grows, and is cut again
  CHECK(readable_end(std::string("a\0b", 3), 5) == std::string("a\0b", 3));
}

TEST_CASE("what cannot be started is told apart from what failed, with a sentence that helps") {
  const auto folder = scratch_folder();
  const auto path = folder + "/script";
  const auto write = [&](const std::string& text) {
    std::ofstream{path} << text;
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  };
  write("#!/no/such/interpreter -x\n");
  const auto missing = run("cmd:" + path, "");
  CHECK(missing.what == outcome::kind::not_started);
  CHECK(missing.payload.view().find("/no/such/interpreter, which is not there") !=
        std::string_view::npos);
  write(std::string("\x7f\0\0\0", 4));
  const auto no_program = run("cmd:" + path, "");
  CHECK(no_program.what == outcome::kind::not_started);
  CHECK(no_program.payload.view().find("no program for this machine") != std::string_view::npos);
  write("#!/bin/sh\n");
  const auto handler = made("cmd:" + path);
  invocation what;
  what.service = "svc";
  what.deadline = std::chrono::steady_clock::now() + 10s;
  CHECK(handler->run(what).code == error_code::ok);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  const auto forbidden = handler->run(what);
  CHECK(forbidden.what == outcome::kind::not_started);
  CHECK(forbidden.payload.view().find("chmod +x") != std::string_view::npos);
  std::filesystem::remove(path);
  const auto removed = handler->run(what);
  CHECK(removed.what == outcome::kind::not_started);
  CHECK(removed.payload.view().find("not there any more") != std::string_view::npos);
  std::filesystem::create_directory(path);
  const auto directory = handler->run(what);
  CHECK(directory.what == outcome::kind::not_started);
  CHECK(directory.payload.view().find("is a directory") != std::string_view::npos);
  std::filesystem::remove_all(folder);
}

TEST_CASE("a node without descriptors does not start a command, and does again when it has some") {
  const auto handler = made("cmd:cat");
  invocation what;
  what.service = "svc";
  what.payload = shared_bytes::copy_of("x");
  what.deadline = std::chrono::steady_clock::now() + 20s;
  REQUIRE(handler->run(what).code == error_code::ok);
  const auto second = made("cmd:cat"); // has not run anything yet
  std::vector<descriptor> all;
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit few = before;
  few.rlim_cur = 64;
  ::setrlimit(RLIMIT_NOFILE, &few);
  for (;;) {
    descriptor one{::dup(0)};
    if (!one.valid()) break;
    all.push_back(std::move(one));
  }
  const auto result = handler->run(what);
  const auto fresh = second->run(what);
  all.clear();
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK(result.what == outcome::kind::not_started);
  CHECK(result.payload.view().find("ulimit -n") != std::string_view::npos);
  CHECK(fresh.what == outcome::kind::not_started);
  CHECK(handler->run(what).payload.view() == "x");
}

TEST_CASE("a command's exit status is known where SIGCHLD is ignored") {
  ::signal(SIGCHLD, SIG_IGN);
  const auto failing = run("cmd:sh -c 'echo half; exit 3'", "");
  const auto crashing = run("cmd:sh -c 'echo half; kill -SEGV $$'", "");
  ::signal(SIGCHLD, SIG_DFL);
  CHECK(failing.code == error_code::failed);
  CHECK(failing.payload.view() == "exit status 3");
  CHECK(crashing.code == error_code::worker_lost);
}

TEST_CASE("descriptors are flat over thousands of runs of a command") {
  const auto count = [] {
    std::filesystem::directory_iterator all{"/proc/self/fd"};
    return std::distance(begin(all), end(all));
  };
  const auto handler = made("cmd:true");
  std::ptrdiff_t before = 0;
  for (int i = 0; i < 2000; ++i) {
    invocation what;
    what.service = "svc";
    what.payload = shared_bytes::copy_of("x");
    what.deadline = std::chrono::steady_clock::now() + 10s;
    REQUIRE(handler->run(what).code == error_code::ok);
    if (i == 10) before = count();
  }
  CHECK(count() == before);
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
    const auto parsed = parse_handler(spec);
    return parsed ? std::string{} : parsed.why().text();
  };
  REQUIRE(complaint("builtin:ecko").find("echo") != std::string::npos);
  REQUIRE(complaint("echo").find("builtin:NAME") != std::string::npos);
  REQUIRE(complaint("cmd:no-such-program-here x")
              .find("cannot find the program 'no-such-program-here'") != std::string::npos);
  REQUIRE(complaint("cmd:").find("wants a program") != std::string::npos);
  REQUIRE(complaint("cmd:a 'b").find("single quote") != std::string::npos);
  REQUIRE(complaint("lib:").find("wants a shared library") != std::string::npos);
  REQUIRE(complaint("lib:./no-such-library.so").find("cannot use the library") !=
          std::string::npos);
}

TEST_CASE("to check a handler's text changes nothing in the process that does") {
  struct sigaction before {};
  REQUIRE(::signal(SIGPIPE, SIG_DFL) != SIG_ERR);
  REQUIRE(parse_handler("cmd:cat"));
  ::sigaction(SIGPIPE, nullptr, &before);
  CHECK(before.sa_handler == SIG_DFL);
  const auto handler = made("cmd:cat");
  ::sigaction(SIGPIPE, nullptr, &before);
  CHECK(before.sa_handler == SIG_IGN);
  CHECK(parse_handler("cmd:cat")->starts_programs);
  CHECK_FALSE(parse_handler("builtin:echo")->starts_programs);
}

TEST_CASE("a handler starts and stops without a word if its kind has nothing to say about it") {
  const auto handler = made("builtin:echo");
  REQUIRE(handler->start());
  handler->stop();
}
