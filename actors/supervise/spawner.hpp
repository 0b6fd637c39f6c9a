#pragma once

#include "actors/supervise/spawner_wire.hpp"
#include "net/transport/descriptor_passing.hpp"
#include "net/transport/socket.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <sys/resource.h>
#include <variant>
#include <vector>

namespace ropewalk {

class spawner;

/// Starts one program, one run at a time, through the spawner. One thread's. When it goes away a
/// program that still runs is ended first.
class program_channel {
public:
  program_channel(program_channel&&) noexcept = default;
  program_channel& operator=(program_channel&&) = delete;
  ~program_channel();

  /// Asks for a start; what comes of it is news. `variables` (NAME=VALUE, each with a 0 behind it)
  /// stand behind the program's own environment. `open`: what the program has as descriptors 0, 1, 2
  /// and, if there is a fourth, 3. `held`, with three of them: what stays open, whoever else closes
  /// it, until the program has ended, or `release_held`; -1: nothing. All are the caller's, who may
  /// close them after this. 0; ESRCH: the spawner is gone, nothing was started, and this channel is
  /// of no more use; else the errno of what is in short supply here.
  [[nodiscard]] int start(std::string_view variables, std::span<const int> open, int held = -1);

  /// In place of a start: a process that another program of this spawner has forked, and left to it
  /// by the end of its parent, is this channel's run from now on, as if it had been started: `adopted`
  /// follows, or `not_started`. `mark`: what it has as spawner_wire::mark_name. Returns what `start`
  /// does.
  [[nodiscard]] int adopt(pid_t pid, std::string_view mark);

  /// Readable when there is news.
  [[nodiscard]] int fd() const { return socket_.get(); }

  struct event {
    enum class kind : std::uint8_t {
      none,
      ended,       ///< the program and all that it had started; `status` as waitpid gives it
      not_started, ///< `failure` says why
      lost,        ///< the spawner is gone, and the program with all that it had started
      measured,    ///< `bytes`: it goes on
      adopted,     ///< it goes on, and its end will be known
    };
    event::kind what = event::kind::none;
    int status = 0;
    start_failure failure;
    std::uint64_t bytes = 0; ///< of memory, the program's with all that it has started
  };

  /// Does not wait, but for the end of a lost program; with `wait::no` not for that either, and
  /// `is_gone` says when that has come.
  enum class wait : std::uint8_t { yes, no };
  event take_event(wait how = wait::yes);

  /// After `lost`: whether the spawner with all that it had started has come to its end, or lives on
  /// and has given up this channel alone. Does not wait.
  [[nodiscard]] bool is_gone() const;

  /// What was held may close.
  void release_held();

  /// A signal for the program and its group. News of its end follows.
  void kill(int signal);

  /// Asks how much memory it has; what runs says so by an event.
  void measure();

  /// Nothing is heard of a program that was killed: its slot goes on without it.
  void abandon() { running_ = false; }

private:
  friend class spawner;
  program_channel(spawner& by, std::uint64_t generation, descriptor socket)
      : by_(&by), generation_(generation), socket_(std::move(socket)) {}

  spawner* by_;
  std::uint64_t generation_;
  descriptor socket_;
  bool running_ = false;
};

/// A small process of its own from which a node starts programs: forking a node would cost the more
/// the more memory and threads it has, and what a program leaves behind would be the node's to
/// find. spawner_process.hpp says what it promises. It is started when it is first needed, and
/// again when it has died. All members may be called from any thread.
class spawner {
public:
  spawner();
  spawner(const spawner&) = delete;
  spawner& operator=(const spawner&) = delete;
  ~spawner(); ///< ends it, with all that it has started

  /// This process's.
  static spawner& of_process();

  /// Starts it if there is none: best before this process has threads and memory. False: it cannot
  /// be; errno says why.
  bool start();

  /// The process below which all programs are that were started here; -1: there is none.
  [[nodiscard]] pid_t keeper();

  /// Ends it for good, with all that it has started, and waits for that.
  void stop();

  /// A way to start `what`.
  std::variant<program_channel, start_failure> open(const program& what);

  /// It holds a duplicate of this connected socket from now on, until the connection is over in
  /// both directions: the peer sees this process's death only when all that was started here has
  /// come to its end. Whoever closes the socket must shut it down first (shutdown, SHUT_RDWR).
  void hold(int socket);

private:
  friend class program_channel;

  bool start_locked();
  void bury();
  void wait_for_end(std::uint64_t generation);
  bool is_gone(std::uint64_t generation);
  int give(std::string_view bytes, std::span<const int> descriptors);

  std::mutex mutex_;
  rlimit descriptors_{}; // as this process was started with
  bool stopped_ = false;
  descriptor control_; // none: there is no spawner
  pid_t keeper_ = -1;
  descriptor keeper_end_; // readable when the keeper, and with it all that was started, is gone
  std::uint64_t generation_ = 0;
  std::vector<descriptor> held_; // for the next spawner
};

} // namespace ropewalk
