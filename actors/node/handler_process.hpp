#pragma once

#include "actors/handlers/handler_channel.hpp"
#include "actors/handlers/handler_output.hpp"
#include "actors/handlers/process_load.hpp"
#include "actors/settings/service_options.hpp"
#include "actors/supervise/spawner.hpp"
#include "net/cluster/poll_set.hpp"
#include "net/transport/stream.hpp"

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ropewalk {

/// One process of a handler that stays up: its start, what it is asked and answers over its channel,
/// what it prints, and its end, whoever wants that. Lives on the event loop, whose thread calls all
/// members; never waits.
///
///     down -> starting -> ready -> stopping -> ending -> down
///                 '----------'---------------^
///
/// Down: there is none. Starting: it has not said HELLO_OK. Stopping: it was told that nothing more
/// comes, and may come to its end by itself. Ending: it was killed, and the news of that is awaited.
///
/// A process is started, or forked by another one that is a fork server, which is one of these as
/// well. However it came about, it is the spawner's child from then on, and everything else is the
/// same (handler_process_fork.cpp).
class handler_process {
public:
  /// What it is made of, the same for every start.
  struct settings {
    std::string service;
    std::uint32_t number = 0; ///< of its service's processes
    program what;
    service_options options;
    std::size_t max_message_bytes = 0;
    bool is_fork_server = false; ///< as far as is known
    bool is_server = false;      ///< what runs is only the connection to one

    /// For people.
    [[nodiscard]] std::string name() const {
      return (is_server ? "connection " : "process ") + std::to_string(number);
    }
  };

  enum class state : std::uint8_t { down, starting, ready, stopping, ending };

  static constexpr std::size_t fork_descriptors = 3;

  /// How it came to be down.
  struct ending {
    bool was_ready = false;
    bool wanted = false;                     ///< it was stopped
    bool not_started = false;                ///< nothing was: this node's trouble, and no crash
    std::uint64_t answered = 0;              ///< requests, since its start
    milliseconds lived{0};                   ///< since it was ready
    std::string why;                         ///< for people
    std::vector<process_load::verdict> runs; ///< what it was running
  };

  /// Who owns it, and is told. Each may ask the process for the next thing at once, but not destroy
  /// it.
  class owner {
  public:
    virtual void on_ready(handler_process& which, std::uint32_t concurrency) = 0;
    virtual void on_answer(handler_process& which, process_load::ended what, error_code code,
                           shared_bytes&& payload) = 0;
    virtual void on_down(handler_process& which, ending&& how) = 0;

    /// What a fork server was asked for by `ask_fork`, or, with PID 0, why there is none.
    virtual void on_forked(handler_process& which, std::uint64_t id, pid_t pid,
                           const std::string& why) = 0;

    /// Whether the node was told to leave.
    [[nodiscard]] virtual bool is_leaving() const = 0;

  protected:
    ~owner() = default;
  };

  handler_process(settings with, std::shared_ptr<poll_set> loop, owner& mine, char* read_buffer);
  handler_process(const handler_process&) = delete;
  handler_process& operator=(const handler_process&) = delete;
  ~handler_process(); ///< kills what runs

  /// From `down`.
  void start(instant now);

  /// Likewise, by a fork server that is ready. `id` is nobody else's; `on_forked` is to follow.
  void start_from(handler_process& server, std::uint64_t id, instant now);

  /// What came of that, or that the server is gone.
  void on_forked(pid_t pid, const std::string& why);

  /// The id while that is awaited; 0: it is not.
  [[nodiscard]] std::uint64_t awaits_fork() const { return fork_id_; }

  /// Of one that is ready: it takes no requests, but forks.
  [[nodiscard]] bool is_fork_server() const { return forks_; }

  /// It is, or is to be, a fork server, and its owner has become this one.
  void belongs_to(owner& whom) {
    owner_ = &whom;
    with_.is_fork_server = true;
  }

  /// Asks a fork server for a process. The descriptors are its channel, its stdout and its stderr.
  void ask_fork(std::uint64_t id, std::string_view environment,
                std::array<descriptor, fork_descriptors>&& with, instant now);

  /// True if it may be asked for something (more).
  [[nodiscard]] bool takes_requests() const {
    return state_ == state::ready && !channel_over_ && !program_over_ && !load_.exclusive();
  }
  [[nodiscard]] const process_load& load() const { return load_; }

  /// How many it was asked since its start.
  [[nodiscard]] std::uint64_t requests() const { return requests_; }

  /// One that `takes_requests`; what is to run alone, only if nothing else runs. Goes out with
  /// `flush`.
  void request(const process_load::request& what, const shared_bytes& payload,
               const handler_channel::about& about, instant now);
  void flush();

  /// It gets no more and may come to its end, within its options' stop_timeout.
  void stop(instant now);

  /// Kills it, whatever it does, and is down at once; the owner is not told. Returns what it was
  /// running.
  std::vector<process_load::verdict> give_up(instant now);

  /// Deadlines, and whoever has not kept his time. To be called every so often while it is not
  /// `down` and `needs_time`.
  void check_time(instant now);
  [[nodiscard]] bool needs_time() const {
    return (state_ != state::ready && state_ != state::down) || load_.running() > 0 ||
           channel_over_ || !asked_forks_.empty();
  }

  /// Asks how much memory it has, of which `memory` knows soon: with all that it has started, in
  /// bytes. Twice as much as it should have ends it.
  void measure();
  [[nodiscard]] std::uint64_t memory() const { return memory_; }

  [[nodiscard]] instant ready_since() const { return ready_since_; }
  [[nodiscard]] bool is_down() const { return state_ == state::down; }
  [[nodiscard]] bool is_ready() const { return state_ == state::ready && !channel_over_; }
  [[nodiscard]] const settings& what() const { return with_; }

private:
  struct program_ends { // of its channel and its output
    descriptor channel;
    descriptor output;
  };

  void begin(instant now);
  bool open_channel();
  int open_pipes(program_ends& theirs);
  int launch();
  int launch_from(handler_process& server, std::uint64_t id, instant now);
  [[nodiscard]] std::string variables() const;
  void not_launched(int error);
  void on_adopted();
  bool send_forks();
  void drop_forks(const std::string& why);
  bool take_forked(std::uint64_t id, pid_t pid, const std::string& why);
  void log_line(std::string_view line) const;
  void on_channel(std::uint32_t events);
  void on_program();
  bool on_output();
  void read_channel(bool all);
  bool take(handler_channel::event& said);
  void on_measured(std::uint64_t bytes);
  void violated(const std::string& what);
  void kill(std::string why);
  void print_rest();
  bool waits_for_more(const program_channel::event& event);
  [[nodiscard]] bool knows_enough(instant now) const;
  void went_down(const program_channel::event& event);
  void close_all();
  [[nodiscard]] std::string end_of(const program_channel::event& event) const;

  settings with_;
  std::shared_ptr<poll_set> loop_;
  owner* owner_;
  char* const buffer_; // limits::read_bytes, the owner's; nothing stays in it

  state state_ = state::down;
  instant state_until_{}; // starting, stopping: until it must have got further
  instant signal_at_{};   // stopping: when it is asked by a signal; instant{}: it was
  bool was_ready_ = false;
  bool wanted_ = false;       // that it comes to its end
  bool overdue_ = false;      // it was killed since a request was
  bool channel_over_ = false; // it has closed its end
  bool program_over_ = false; // it has come to its end, and what it said last is looked at
  bool wants_write_ = false;  // its channel is full
  instant ready_since_{};
  // How it came to its end, while it is not known whether all of it has, or whose fault that is.
  std::optional<program_channel::event> ended_;
  std::string killed_why_; // empty: it was not
  std::uint64_t requests_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t memory_ = 0;

  // A fork that is awaited, and the mark of what comes of it; why there is none.
  std::uint64_t fork_id_ = 0;
  std::string mark_;
  std::string not_forked_why_;

  // Of a fork server: what it was asked for, and until when it must have answered; and what could
  // not be said yet.
  struct unsent_fork {
    std::uint64_t id = 0;
    std::vector<char> frame;
    std::array<descriptor, fork_descriptors> with;
  };
  bool forks_ = false;
  std::map<std::uint64_t, instant> asked_forks_;
  std::deque<unsent_fork> unsent_forks_;

  std::optional<program_channel> program_;
  descriptor socket_; // the node's end of the channel
  descriptor output_; // of what it prints
  std::unique_ptr<stream> stream_;
  std::optional<handler_channel> channel_;
  process_load load_;
  handler_output printed_;
  poll_set::id program_watch_ = 0;
  poll_set::id socket_watch_ = 0;
  poll_set::id output_watch_ = 0;
};

} // namespace ropewalk
