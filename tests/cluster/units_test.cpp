#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"
#include "tests/matches.hpp"

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>

using namespace ropewalk;

/// Limits as people write them, and those that could never work.

namespace {

output check(const std::string& command, const std::vector<std::string>& options,
             const std::string& file = {}) {
  const temporary_folder folder;
  std::vector<std::string> words{command, "--check"};
  words.insert(words.end(), options.begin(), options.end());
  if (!file.empty()) {
    std::ofstream{folder.path() + "/file.toml"} << file;
    words.insert(words.end(), {"--config", folder.path() + "/file.toml"});
  }
  return run_ropewalk(words, folder.path());
}

} // namespace

TEST_CASE(
    "limits take units on the command line, in a file and for a service, and none as before") {
  for (const std::vector<std::string>& good :
       {std::vector<std::string>{"--timeout", "5s", "--memory", "512MiB", "--idle-time", "1d"},
        {"--timeout=250ms", "--max-message-bytes=2MB", "--max-deadline", "25h"},
        {"--timeout", "5000", "--memory", "536870912", "--node-prefetch-time", "2000"}})
    CHECK(check("broker", good).status == 0);
  const auto wrong = check("broker", {"--timeout", "25h"});
  CHECK(wrong.status == 2);
  CHECK(contains(wrong.err, "--timeout: 25h is not between 1ms and 1d"));
  CHECK(contains(check("broker", {"--memory", "1000"}).err, "1000 is not between 8MiB and 1TiB"));
  CHECK(contains(check("broker", {"--memory", "512M"}).err, "'512M' is no size; write bytes, or"));
  CHECK(contains(check("broker", {"--attempts", "3s"}).err, "no whole number of runs"));

  CHECK(check("broker", {}, "[broker]\ntimeout = \"5s\"\nmemory = \"64MiB\"\nidle-time = 60000\n")
            .status == 0);
  const auto file =
      check("broker", {}, "[broker]\ntimeout = \"0s\"\nmemory = true\nqueue = \"5s\"\n");
  CHECK(contains(file.err, ":2: 'timeout' in [broker]: 0s is not between 1ms and 1d"));
  CHECK(contains(file.err, ":3: 'memory' in [broker]"));
  CHECK(contains(file.err, ":4: 'queue' in [broker]: '5s' is no whole number of requests"));

  const std::vector<std::string> exec{"--service", "a=exec:sh"};
  const auto set = [&](const std::string& what) {
    return check("worker", {"--service", "a=exec:sh", "--set", "a." + what});
  };
  CHECK(set("start-timeout=1m30s").status == 0);
  CHECK(contains(set("stop-timeout=25h").err, "25h is not between 1ms and 1d"));
  CHECK(contains(set("stop-timeout=5").err, "'5' is no time; it needs a unit"));
  CHECK(check("worker", {"--service", "a=builtin:echo", "--drain-time", "1m"}).status == 0);
}

TEST_CASE("units mean what they say: a deadline of 300ms of the broker is over in 300 ms") {
  cluster c{{"--timeout", "300ms"}};
  c.start_node("a", {"--service", "slow=cmd:sleep 5", "--drain-time", "1s"});
  REQUIRE(c.has_nodes(1));
  const auto begin = std::chrono::steady_clock::now();
  CHECK(c.connect().call("slow", "x").code == error_code::timeout);
  CHECK(std::chrono::steady_clock::now() - begin < 3s * time_factor);
  const auto help = c.run({"broker", "--help"});
  CHECK(contains(help.out, "--timeout TIME"));
  const auto limits = c.run({"limits"});
  CHECK(contains(limits.out, "--memory = 512MiB (8MiB to 1TiB; a plain number is in bytes)"));
  CHECK(run_ropewalk({"limits"}, c.folder(), "/dev/full").status == 4);
  CHECK(c.run({"send", "slow", "--timeout", "50d", "--data", "x"}).status == 2);
}

TEST_CASE("a broker does not start with a limit that its largest message is over") {
  const auto small = check("broker", {"--service-memory", "1MiB"});
  CHECK(small.status == 2);
  CHECK(contains(small.err, "--service-memory 1MiB has no room for the largest message"));
  CHECK(contains(check("broker", {"--memory", "8MiB", "--max-message-bytes", "8MiB"}).err,
                 "make it 8200KiB or more, or --max-message-bytes smaller"));
  CHECK(check("broker", {"--memory", "8200KiB", "--max-message-bytes", "8MiB"}).status == 0);
  CHECK(contains(check("broker", {"--shards", "4", "--memory", "8MiB"}).err, "of 4 shards"));
  CHECK(check("broker", {"--answers-memory", "8MiB", "--max-message-bytes", "9MiB"}).status == 2);
}

TEST_CASE("the largest message that a broker lets in is answered, with the least memory for it") {
  for (const std::string shards : {"1", "2"}) {
    cluster c{{"--max-message-bytes", "8MiB", "--shards", shards, "--memory",
               shards == "1" ? "8200KiB" : "16400KiB", "--service-memory",
               shards == "1" ? "8200KiB" : "16400KiB", "--answers-memory",
               shards == "1" ? "8MiB" : "16MiB", "--node-bytes", "64KiB", "--unread-answers",
               "64KiB", "--connection-memory", "1MiB"}};
    c.start_node("a", {"--service", "echo=builtin:echo", "--max-message-bytes", "8MiB"});
    REQUIRE(c.has_nodes(1));
    auto client = c.connect();
    const std::string largest(8 << 20, 'x');
    for (int i = 0; i < 3; ++i) {
      const auto answer = client.call("echo", largest);
      CHECK(name_of(answer.code) == name_of(error_code::ok));
      CHECK(answer.payload.size() == largest.size());
    }
    CHECK(client.call("echo", largest + "x").code == error_code::too_large);
  }
}

TEST_CASE("a reply over the broker's cap is an error for its message, and the log names the node") {
  for (const std::string shards : {"1", "2"}) {
    cluster c{{"--max-message-bytes", "64KiB", "--shards", shards}};
    c.start_node("large", {"--service", "zeros=cmd:head -c 65537 /dev/zero", "--service",
                           "fits=cmd:head -c 65536 /dev/zero", "--service",
                           "fails=cmd:sh -c 'exit 3'", "--slots", "1"});
    REQUIRE(c.has_nodes(1));
    auto client = c.connect();
    const auto answer = client.call("zeros", "x");
    CHECK(answer.code == error_code::too_large);
    CHECK(contains(std::string{answer.payload.view()}, "the broker's cap on messages, 64KiB"));
    CHECK(client.call("fits", "x").payload.size() == 65'536);
    CHECK(client.call("fails", "x").code == error_code::failed);
    CHECK(eventually([&] {
      return contains(c.broker().log(), "a reply over the cap on messages is answered TOO_LARGE "
                                        "node=large");
    }));
  }
}

TEST_CASE("the last line of text is answered although it has no newline") {
  cluster c;
  c.start_node("a",
               {"--service", "echo=builtin:echo", "--service", "slow=cmd:sh -c 'sleep 0.3; cat'"});
  REQUIRE(c.has_nodes(1));
  for (const std::string service : {"echo", "slow"}) {
    raw r{c.clients()};
    REQUIRE(r.send(service + " one\n" + service + " hello"));
    r.finish();
    CHECK(r.receive([](const std::string&) { return false; }) == "OK one\nOK hello\n");
    CHECK(r.closed);
  }
  raw cut_off{c.clients()};
  REQUIRE(cut_off.send("echo hel"));
  cut_off.reset();
  raw half_a_frame{c.clients()};
  REQUIRE(half_a_frame.send(frame(frame_kind::request, 1, "echo", "hello").substr(0, 25)));
  half_a_frame.finish();
  CHECK(half_a_frame.receive([](const std::string&) { return false; }).empty());
  CHECK(eventually([&] { return c.status()["submitted"] == 4; }));
}

TEST_CASE("what would keep programs from starting is said by --check, and at start") {
  const temporary_folder folder;
  const auto script = folder.path() + "/script";
  std::ofstream{script} << "#!/nowhere/python9\n";
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const auto checked =
      check("worker",
            {"--service", "a=cmd:" + script, "--service", "b=exec:" + script + " x", "--service",
             "c=cmd:/tmp", "--service", "d=cmd:nothing-of-this-name", "--service", "e=cmd:cat"});
  CHECK(checked.status == 2);
  CHECK(contains(checked.err, "service a: " + script + " needs the interpreter /nowhere/python9"));
  CHECK(contains(checked.err, "service b: " + script + " needs the interpreter /nowhere/python9"));
  CHECK(contains(checked.err, "/tmp is a directory"));
  CHECK(contains(checked.err, "cannot find the program 'nothing-of-this-name'"));
  cluster c;
  auto& node = c.start_node("a", {"--service", "a=cmd:" + script});
  REQUIRE(c.has_nodes(1));
  CHECK(node.says("service a: " + script + " needs the interpreter /nowhere/python9"));
}

TEST_CASE("FAILED, and what was lost, are in the log of the node where they happened",
          "[masters]") {
  cluster c{{"--attempts", "1"}};
  auto& node =
      c.start_node("where", {"--slots", "1", "--service", "fails=cmd:sh -c 'echo no >&2; exit 3'",
                             "--service", "dies=cmd:sh -c 'kill -9 $$'"});
  REQUIRE(c.has_nodes(1));
  auto client = c.connect();
  CHECK(client.call("dies", "x").code == error_code::worker_lost);
  for (int i = 0; i < 40; ++i) CHECK(client.call("fails", "x").code == error_code::failed);
  const std::string failed = "a message is answered FAILED service=fails node=where";
  CHECK(node.says(failed));
  CHECK(node.says("reason=\"exit status 3: no"));
  CHECK(eventually([&] {
    return contains(c.broker().log(), "a request is answered FAILED service=fails node=where");
  }));
  CHECK(eventually([&] {
    return contains(c.broker().log(), "a request is answered WORKER_LOST service=dies node=where");
  }));
  CHECK(eventually(
      [&] { return contains(node.log(), "what ran a message was lost service=dies node=where"); }));
  const auto log = node.log();
  std::size_t lines = 0;
  for (auto at = log.find(failed); at != std::string::npos; at = log.find(failed, at + 1)) ++lines;
  CHECK(lines < 40); // limited in rate
}

TEST_CASE(
    "slots that there are no descriptors for are said at start and not offered, all is answered") {
  cluster c;
  const auto log = c.folder() + "/few.log";
  for (const std::string processes : {"1", "2"}) {
    process worker{{"/bin/sh", "-c", "ulimit -n 128; exec \"$0\" \"$@\"", ROPEWALK_PROGRAM,
                    "worker", "--broker", c.nodes().text(), "--slots", "100", "--processes",
                    processes, "--service", "slow=cmd:sh -c 'cat; sleep 0.1'"},
                   log};
    REQUIRE(c.has_nodes(processes == "1" ? 1 : 2));
    CHECK(worker.says("service slow: 100 slots cannot work with the 128 descriptors"));
    const auto slots = c.status()["nodes"][0]["slots"].get<int>();
    CHECK(slots >= 8);
    CHECK(slots < 30);
    load l{c.connect(), "slow", 150, 100, [](std::uint64_t id) { return std::to_string(id); }};
    l.run(20s);
    CHECK(l.missing() == 0);
    CHECK(l.errors.empty());
    CHECK_FALSE(contains(worker.log(), "has no descriptors left"));
    worker.signal(SIGTERM);
    CHECK(worker.wait(10s) == 0);
    CHECK(c.has_nodes(0));
  }
}
