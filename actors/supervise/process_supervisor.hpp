#pragma once

#include "actors/supervise/restart_policy.hpp"
#include "actors/supervise/stop_signals.hpp"
#include "net/protocol/limits.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace ropewalk {

/// Which process is meant: the `generation`-th one that was started in its place. Never given
/// again, as pids are.
struct process_ref {
  std::uint32_t place = 0;
  std::uint32_t generation = 0;

  friend bool operator==(const process_ref&, const process_ref&) = default;
};

/// How a process ended.
struct process_exit {
  enum class kind { exited, killed, unknown };

  kind how = kind::unknown;
  int number = 0; ///< the exit status, or the signal; nothing if it is unknown

  /// Somebody told it to: exit status 0, or a signal that asks for the end and came before the
  /// process could listen to it. Anything else, what is unknown too, is a fall.
  [[nodiscard]] bool was_stopped() const;

  [[nodiscard]] std::string text() const;
};

/// Decides over the processes under a master, one a place: events and the time in, actions out. The
/// master (master.hpp) forks, signals and waits as it says. Pure.
///
/// A process that falls is started again, after the policy's pause; too many falls of one place in
/// the policy's window, and all are told to leave and the exit status is 1. One that left because
/// somebody told it to is started again after the shortest pause, and not counted.
///
/// A process that asks to be recycled is replaced: another is started beside it, and only when that
/// has joined is the old one told to leave. A replacement that ends before it has joined is treated
/// as any other process, while the old one goes on; an old one that ends while its replacement is
/// on its way needs no other. Who was told to leave and does not within the drain time and some
/// grace is killed.
class process_supervisor {
public:
  struct settings {
    std::uint32_t processes = 1;
    milliseconds drain_time{limits::default_drain_time_ms};
    restart_policy::settings restarts; ///< of one place
  };

  // -- actions
  /// Start it; `after_fall` if it stands in for one that fell. If that cannot be done,
  /// `start_failed` is to be called.
  struct start {
    process_ref who;
    bool after_fall = false;
  };
  /// Ask it to drain and end (SIGTERM).
  struct tell_to_leave {
    process_ref who;
  };
  /// End it at once (SIGKILL).
  struct kill {
    process_ref who;
  };
  enum class severity { info, warning, error };
  /// Say so; about a process, or about the master itself.
  struct log {
    severity how = severity::info;
    std::optional<process_ref> who;
    std::string text;
  };
  using action = std::variant<start, tell_to_leave, kill, log>;
  using actions = std::vector<action>;

  explicit process_supervisor(const settings& with);

  // -- events; each says what is to be done, in this order
  actions begin(); ///< once, before all others
  actions start_failed(process_ref who, const std::string& why, instant now);
  actions joined(process_ref who, instant now); ///< it is a member of its broker; may be said again
  actions recycle(process_ref who);             ///< it has run enough messages
  actions exited(process_ref who, const process_exit& how, instant now);
  actions on_stop_requested(instant now); ///< SIGTERM or SIGINT
  actions passed(instant now);            ///< it is `next_time()`, or later

  /// When `passed` is to be called; nothing: there is nothing to wait for.
  [[nodiscard]] std::optional<instant> next_time() const;

  /// The exit status, once all have ended and none is to be started.
  [[nodiscard]] std::optional<int> ended() const;

private:
  struct process {
    std::uint32_t generation = 0;
    bool after_fall = false;        // of another in its place
    bool wants_replacement = false; // asked for it before it had taken its predecessor's place
  };
  struct leaving_process {
    std::uint32_t generation = 0;
    instant kill_at{};
    bool killed = false;
  };
  struct planned_start {
    instant at{};
    bool after_fall = false;
  };
  // A place's state. There is a replacement only beside a current one; and a start is planned only
  // while what is to be started (the current one, or else its replacement) is not there.
  struct place {
    restart_policy policy;
    std::uint32_t started = 0; // generations, ever
    std::optional<process> current;
    std::optional<process> replacement; // has not joined yet
    std::optional<planned_start> planned;
    std::vector<leaving_process>
        leaving; // were told to; each may have become another's predecessor
  };

  void start_next(std::uint32_t at, bool after_fall, actions& out);
  void promote_replacement(std::uint32_t at, actions& out);
  void tell(std::uint32_t at, const process& who, instant now, actions& out);
  void start_again(process_ref who, const std::string& what, bool crashed, instant now,
                   actions& out);
  void tell_all(instant now, actions& out);

  settings with_;
  std::vector<place> places_;
  stop_signals stop_;
  bool ending_ = false;
  int exit_status_ = 0;
};

} // namespace ropewalk
