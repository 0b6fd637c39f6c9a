#pragma once

#include "net/client/client.hpp"
#include "tests/eventually.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

/// Real processes on loopback for the cluster tests. Ports are free ones, logs are files in a
/// folder of the test's own; what a test started is ended with it, by pid. If a test fails,
/// `cluster` prints every log.
namespace ropewalk {

using namespace std::chrono_literals;

/// What is promised in time is promised of the product: a build with the address sanitizer is given
/// more.
#if defined(__SANITIZE_ADDRESS__)
constexpr int time_factor = 4;
#else
constexpr int time_factor = 1;
#endif

/// How long a load lasts: so many seconds, or ROPEWALK_TEST_SECONDS.
std::chrono::seconds how_long(int standard);

/// All of a file; empty if it is not there, or not any more: /proc of a process that ends meanwhile.
std::string file_text(const std::string& path);

/// A ropewalk program, or another, in a process group of its own; its output goes to a log file.
class process {
public:
  process(std::vector<std::string> words, std::string log_path);
  process(const process&) = delete;
  process& operator=(const process&) = delete;
  ~process(); ///< kills it

  void signal(int number) const;
  void signal_group(int number) const; ///< it, and all that it started in its group
  [[nodiscard]] pid_t pid() const { return pid_; }

  /// The exit status, or 128 + the signal that killed it; nothing if it still runs after
  /// `patience`.
  std::optional<int> wait(std::chrono::milliseconds patience);

  [[nodiscard]] std::string log() const;

  /// True when its log says so, or does within a while: lines of one event come one by one.
  [[nodiscard]] bool says(const std::string& what,
                          std::chrono::milliseconds patience = 10s * time_factor) const;

  [[nodiscard]] const std::string& log_path() const { return log_path_; }

private:
  pid_t pid_ = -1;
  std::optional<int> status_;
  std::string log_path_;
};

/// Waits for a child's end: its exit status, or 128 + the signal that killed it, which `known` keeps
/// for the next time; nothing if it still runs after `patience`.
std::optional<int> wait_for_end(pid_t child, std::optional<int>& known,
                                std::chrono::milliseconds patience);

/// A folder of a test's own, that goes away with it.
class temporary_folder {
public:
  temporary_folder();
  ~temporary_folder();
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
};

/// Both, for command lines.
inline std::vector<std::string> operator+(std::vector<std::string> a,
                                          const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// How a program ended, and what it printed.
struct output {
  int status = -1;
  std::string out;
  std::string err;
};

/// Runs `ropewalk` with these words to its end; `folder` is for what it prints. Where its stdout
/// goes to `stdout_path`, such as a device, it is not read.
output run_ropewalk(std::vector<std::string> words, const std::string& folder,
                    const std::string& stdout_path = {});

/// Pids of the processes whose parent is `parent`; those that are zombies if `zombies`.
std::vector<pid_t> children_of(pid_t parent, bool zombies = false);

/// Where ROPEWALK_TEST_PROCESSES says so, every node that a test starts is a master with so many
/// processes, each of them a node: what holds of one holds of those.
std::size_t processes_of_a_node();

/// A broker and the nodes that a test starts.
class cluster {
public:
  explicit cluster(std::vector<std::string> broker_options = {}, std::uint16_t nodes_port = 0);
  ~cluster();
  cluster(const cluster&) = delete;
  cluster& operator=(const cluster&) = delete;

  /// Starts a node (or, with --processes, a master) and returns it; it may not have joined yet.
  process& start_node(const std::string& name, std::vector<std::string> options);

  /// Starts the broker again, on the same ports.
  void restart_broker();
  void start_broker();

  [[nodiscard]] process& broker() { return *broker_; }
  [[nodiscard]] const endpoint& clients() const { return clients_; }
  [[nodiscard]] const endpoint& nodes() const { return nodes_; }

  [[nodiscard]] client connect() const;
  [[nodiscard]] nlohmann::json status() const;

  /// True when so many nodes have joined, or so many times the processes of one.
  [[nodiscard]] bool has_nodes(std::size_t count, std::chrono::milliseconds patience = 20s) const;

  [[nodiscard]] output run(std::vector<std::string> words) const {
    return run_ropewalk(std::move(words), folder());
  }

  [[nodiscard]] const std::string& folder() const { return folder_.path(); }

private:
  temporary_folder folder_;
  std::vector<std::string> broker_options_;
  endpoint clients_{"127.0.0.1", 0};
  endpoint nodes_{"127.0.0.1", 0};
  std::unique_ptr<process> broker_;
  std::vector<std::unique_ptr<process>> processes_;
  int failed_before_ = 0;
  int started_ = 0;
};

/// Sends `count` requests, `window` at a time, and counts every answer by id: for "none lost, none
/// twice".
class load {
public:
  load(client c, std::string service, std::uint64_t count, std::uint64_t window,
       std::function<std::string(std::uint64_t id)> message, request_options options = {});

  /// Works until all are answered, `patience` is over or the connection broke; calls `meanwhile`
  /// after every answer.
  void run(std::chrono::milliseconds patience,
           const std::function<void(std::uint64_t answered)>& meanwhile = {});

  /// Nothing more is asked: `run` ends when what was asked is answered.
  void finish() { count_ = sent_; }
  [[nodiscard]] std::uint64_t asked() const { return sent_; }

  std::uint64_t answered = 0; ///< with OK
  std::uint64_t twice = 0;    ///< answers to what was answered before, or was never asked
  std::uint64_t wrong = 0;    ///< replies that differ from the message (see `expects_echo`)
  std::map<std::string, std::uint64_t> errors;
  std::string last_error;
  bool expects_echo = true;
  std::function<void(const client_answer&)> on_answer; ///< of each that was asked for; may be empty
  [[nodiscard]] std::uint64_t missing() const;

private:
  client client_;
  std::string service_;
  std::uint64_t count_;
  std::uint64_t window_;
  std::function<std::string(std::uint64_t)> message_;
  request_options options_;
  std::vector<char> seen_;
  std::uint64_t sent_ = 0;
};

} // namespace ropewalk
