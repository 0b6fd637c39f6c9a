#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace ropewalk {

/// As whom a program runs.
struct program_user {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups; ///< and besides
  std::string name;
  std::string home;

  friend bool operator==(const program_user&, const program_user&) = default;
};

/// How the programs of a service run, whatever they are.
struct surroundings {
  std::string folder;                   ///< empty: where the worker was started
  std::vector<std::string> environment; ///< NAME=VALUE, in place of those of the worker
  std::optional<program_user> user;     ///< none: as the worker
  int nice = 0;                         ///< so much nicer than the worker

  friend bool operator==(const surroundings&, const surroundings&) = default;
};

/// What a program is started from, but for what differs from run to run.
struct program {
  std::string path;
  std::vector<std::string> arguments; ///< from the program's own name on
  std::vector<std::string> environment;
  std::string folder; ///< where it runs; empty: where the process was when its spawner was started
  std::optional<program_user> user = {}; ///< none: as the process
  int nice = 0;
};

/// Where a start came to nothing.
enum class start_step : std::uint8_t {
  pipes,    ///< the node has no descriptors, or no memory, for the program's pipes
  spawner,  ///< there is none, and none can be started
  process,  ///< no process may be started
  stdio,    ///< the descriptors did not get through
  user,     ///< it cannot be run as that user
  folder,   ///< the folder cannot be entered
  program,  ///< the program cannot be executed
  adoption, ///< what was forked is not the spawner's, or has ended already (ESRCH)
};

struct start_failure {
  start_step step = start_step::program;
  int error = 0; ///< errno
};

/// Packets between a node and its spawner, which are one program and die together: the layout is
/// nobody else's business. A packet's first byte says what it is.
namespace spawner_wire {

/// Over the control socket, with descriptors.
inline constexpr char open_channel = 'c'; ///< the channel's other end, and a file with the program
inline constexpr char hold = 'h';         ///< a socket

/// Over a channel, to the spawner.
/// How many of the descriptors beside it are the program's, one byte, and in it whether one more is
/// beside that stays open until the run has ended, or `release` comes; then NAME=VALUE, each with a 0.
inline constexpr char start = 's';
inline constexpr unsigned char one_held = 0x80;
inline constexpr char release = 'r';
/// A child that a program has left to the spawner is this channel's run from now on: its PID (a
/// pid_t), then its mark.
inline constexpr char adopt = 'a';
inline constexpr char kill = 'k';    ///< then the signal's number, one byte
inline constexpr char measure = 'm'; ///< how much memory the run has: answered by `measured`

/// Over a channel, from the spawner.
struct event {
  enum class kind : std::uint8_t { ended, not_started, measured, adopted };
  spawner_wire::event::kind what = kind::ended;
  start_step step = start_step::program; ///< of not_started
  int number = 0; ///< the status as waitpid gives it, or the errno, or how many KiB
};

/// The largest start, in bytes: what a packet's default buffer surely takes.
inline constexpr std::size_t max_start_bytes = 64 * 1024;

/// By what stands in the environment of whatever a run has started it is known whose it is: its mark,
/// as the value of this name. All marks have the same length, so that one can be written over another
/// in the memory of a process that is forked. `by`: which of the counters in this process.
inline constexpr std::string_view mark_name = "ROPEWALK_RUN";
std::string mark_of(char by, std::uint64_t number);

/// A program as the text of a file, and back.
std::string write(const program& what);
program read(std::string_view text);

} // namespace spawner_wire
} // namespace ropewalk
