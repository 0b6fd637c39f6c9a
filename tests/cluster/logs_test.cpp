#include "net/transport/socket.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

using namespace ropewalk;

namespace {

// A process whose stderr is a pipe of 4 KiB, read until it has said that it is ready and then left
// alone, full to the last byte.
class stalled_log {
public:
  stalled_log(std::vector<std::string> words, const std::string& until) {
    std::array<int, 2> ends{-1, -1};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    in_ = descriptor{ends[0]};
    descriptor out{ends[1]};
    REQUIRE(::fcntl(out.get(), F_SETPIPE_SZ, 4096) == 4096);
    words.insert(words.begin(), ROPEWALK_PROGRAM);
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(out.get(), 2);
      ::execv(ROPEWALK_PROGRAM, arguments.data());
      ::_exit(127);
    }
    std::array<char, 512> buffer;
    while (said_.find(until) == std::string::npos || said_.back() != '\n') {
      const auto count = ::read(in_.get(), buffer.data(), buffer.size());
      REQUIRE(count > 0);
      said_.append(buffer.data(), static_cast<std::size_t>(count));
    }
    // A description of its own: the process's must go on blocking, as a shell's does.
    const descriptor filler{
        ::open(("/proc/self/fd/" + std::to_string(out.get())).c_str(), O_WRONLY | O_NONBLOCK)};
    REQUIRE(filler.valid());
    while (::write(filler.get(), "x", 1) == 1) {
    }
  }
  ~stalled_log() {
    if (status_) return;
    ::kill(pid_, SIGKILL);
    wait(10s);
  }
  stalled_log(const stalled_log&) = delete;
  stalled_log& operator=(const stalled_log&) = delete;

  [[nodiscard]] endpoint where(const std::string& name) const {
    const auto begin = said_.find(name + "=") + name.size() + 1;
    return *parse_endpoint(said_.substr(begin, said_.find_first_of(" \n", begin) - begin));
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  std::optional<int> wait(std::chrono::milliseconds timeout) {
    return wait_for_end(pid_, status_, timeout);
  }
  // Reads on, until `end` is in it.
  std::string read_until(const std::string& end) const {
    std::string result;
    std::array<char, 4096> buffer;
    while (result.find(end) == std::string::npos) {
      const auto count = ::read(in_.get(), buffer.data(), buffer.size());
      if (count <= 0) break;
      result.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return result;
  }

private:
  descriptor in_;
  pid_t pid_ = -1;
  std::string said_;
  std::optional<int> status_;
};

std::string answer_of(const endpoint& broker, const std::string& service, const std::string& data) {
  auto c = client::connect(broker, 5s);
  if (!c) return c.why().text();
  c->send(service, shared_bytes::copy_of(data));
  const auto answer = c->wait(10s);
  return answer ? std::string{name_of(answer->code)} + " " + std::string{answer->payload.view()}
                : "no answer";
}

const std::vector<std::string> broker_words{"broker", "--listen", "127.0.0.1:0", "--cluster",
                                            "127.0.0.1:0"};

} // namespace

TEST_CASE("a reader of the log that stalls stops no broker: it answers, says what is missing once "
          "it is read again, and ends on SIGTERM") {
  auto words = broker_words;
  const bool sharded = GENERATE(false, true);
  if (sharded) words.insert(words.end(), {"--shards", "2"});
  stalled_log broker{words, "ready: "};
  const auto clients = broker.where("clients");
  const temporary_folder folder;
  // Each that joins or leaves is a line, and every failure is.
  process node{{ROPEWALK_PROGRAM, "worker", "--broker", broker.where("nodes").text(), "--name", "n",
                "--service", "upper=builtin:upper", "--service", "fail=builtin:fail"},
               folder.path() + "/n.log"};
  REQUIRE(eventually([&] { return answer_of(clients, "upper", "hi") == "OK HI"; }));
  for (int i = 0; i < 30; ++i) CHECK(answer_of(clients, "fail", "no").starts_with("FAILED"));
  CHECK(answer_of(clients, "upper", "still") == "OK STILL");
  SECTION("it reads on") {
    const auto said = broker.read_until("joined");
    CHECK(said.find("node n joined") != std::string::npos);
    CHECK(broker.read_until("reason=").find("service=fail node=n") != std::string::npos);
  }
  SECTION("it never does") {
    broker.signal(SIGTERM);
    CHECK(broker.wait(10s) == 0);
  }
}

TEST_CASE("a reader of the log that stalls stops no worker and no master") {
  cluster c;
  const bool master = GENERATE(false, true);
  std::vector<std::string> words{"worker", "--broker",  c.nodes().text(),      "--name",
                                 "n",      "--service", "upper=cmd:tr a-z A-Z"};
  if (master) words.insert(words.end(), {"--processes", "3"});
  stalled_log worker{words, "joined"};
  REQUIRE(c.has_nodes(master ? 3 : 1));
  CHECK(answer_of(c.clients(), "upper", "hi") == "OK HI");
  if (master) { // what has fallen is started again, although that is a line of the log
    const auto before = children_of(worker.pid());
    REQUIRE(before.size() == 3);
    ::kill(before.front(), SIGKILL);
    CHECK(eventually([&] {
      const auto now = children_of(worker.pid());
      return now.size() == 3 && std::find(now.begin(), now.end(), before.front()) == now.end();
    }));
    REQUIRE(c.has_nodes(3));
  }
  CHECK(answer_of(c.clients(), "upper", "hi") == "OK HI");
  worker.signal(SIGTERM);
  CHECK(worker.wait(15s) == 0);
}

TEST_CASE("FAILED and WORKER_LOST are in the broker's log with service, node and reason, some a "
          "second and the others counted, as text and as JSON",
          "[masters]") {
  const bool json = GENERATE(false, true);
  cluster c{{"--log-format", json ? "json" : "text"}};
  c.start_node("n", {"--service", "fail=builtin:fail", "--service", "crash=builtin:crash",
                     "--log-format", json ? "json" : "text"});
  REQUIRE(c.has_nodes(1));
  CHECK(answer_of(c.clients(), "fail", "that's why\nand\x1fmore").starts_with("FAILED"));
  request_options once;
  once.attempts = 1;
  auto connection = c.connect();
  connection.send("crash", shared_bytes::copy_of("x"), once);
  const auto lost = connection.wait(10s);
  REQUIRE(lost);
  CHECK(lost->code == error_code::worker_lost);
  REQUIRE(c.broker().says("WORKER_LOST"));
  if (!json) {
    const std::string name = processes_of_a_node() == 1 ? "n " : "n-";
    const auto says = [&](const std::string& what) {
      return c.broker().log().find(what) != std::string::npos;
    };
    CHECK(says("a request is answered FAILED service=fail node=" + name));
    CHECK(says("reason=\"that's why?and?more\""));
    CHECK(says("a request is answered WORKER_LOST service=crash node=" + name));
    REQUIRE(c.has_nodes(1));
    load many{c.connect(), "fail", 500, 100, [](std::uint64_t) { return std::string{"no"}; }};
    many.run(20s);
    CHECK(many.errors["FAILED"] == 500);
    CHECK(eventually([&] {
      (void)answer_of(c.clients(), "fail", "no");
      return c.broker().log().find("complaints before it) service=fail") != std::string::npos;
    }));
    return;
  }
  bool failed = false;
  std::istringstream lines{c.broker().log()};
  for (std::string line; std::getline(lines, line);) {
    const auto one = nlohmann::json::parse(line);
    for (const auto* member : {"time", "level", "process", "message"}) CHECK(one.contains(member));
    if (one["message"] != "a request is answered FAILED") continue;
    failed = true;
    CHECK(one["service"] == "fail");
    CHECK(one["node"].get<std::string>().starts_with(processes_of_a_node() == 1 ? "n" : "n-"));
    CHECK(one["reason"] == "that's why?and?more");
    CHECK(one["level"] == "warning");
  }
  CHECK(failed);
}
