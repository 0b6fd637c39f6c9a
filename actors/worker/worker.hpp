// ropewalk/worker.hpp: a worker of one's own in C++, for the library Ropewalk::worker.
//
//     int main(int argc, char** argv) {
//       ropewalk::worker me;
//       me.service("score", [](const ropewalk::worker::request& r) { return score(r.payload); });
//       return me.run(argc, argv);
//     }
//
// The program takes the options of `ropewalk worker`, and is one in every respect: it joins a broker
// and joins it again, drains on SIGTERM, runs under a master of its own with --processes N.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ropewalk {

/// Services made of functions, and the node that offers them. One a process; not copied. Its
/// functions run on the node's slots, `--slots N` of each service at a time, each slot on a thread
/// of its own.
///
/// A crash in a function ends the process with all that runs there: start several (--processes N);
/// the message is charged a start and run again, at most --attempts times. A run that hangs cannot
/// be ended: `stop-timeout` after nobody wants its answer any more (at the deadline, at the latest)
/// its slot is written off, and under a master the process is replaced.
class worker {
public:
  /// A message. The views are lent until the function returns.
  struct request {
    std::string_view service;
    std::string_view payload; ///< at most the cap on messages (--max-message-bytes, 2 MiB)
    /// Which start of the message this is; above 1, an earlier one may have had effects.
    unsigned attempt = 1;
    std::chrono::steady_clock::time_point deadline;
    /// Becomes true when nobody wants the answer any more: come to an end soon.
    const std::atomic<bool>* stop = nullptr;

    [[nodiscard]] bool stopped() const { return stop && stop->load(std::memory_order_relaxed); }
  };

  /// Returns the reply, which is moved and not copied; one over the cap on messages becomes the
  /// answer TOO_LARGE. May block. What it throws is the answer FAILED, with what() as the reason,
  /// and final; but for `busy`.
  using function = std::function<std::string(const request&)>;

  /// Makes a slot's function, on the slot's thread, before its first message; the function goes
  /// away with the slot, except with the whole process. What it throws ends the slot, which is
  /// started again after a pause; its service fails if that goes on.
  using function_maker = std::function<function()>;

  /// Thrown by a function: the message was not started and goes to another node, charged to nobody.
  class busy : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
  };

  worker();
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Offers a service by one function for all of its slots, which call it at the same time. A name
  /// has 1 to 128 bytes and no blanks, and is given once; `run` says what is wrong with it.
  worker& service(std::string name, function does);

  /// Offers a service whose slots have a function each, with a state of its own.
  worker& service_per_slot(std::string name, function_maker makes);

  /// Works until it was told to end (SIGTERM, SIGINT). Takes the options of `ropewalk worker`
  /// (--help lists them); --service adds handlers of other kinds to these services. Call it once,
  /// from main, before the process has threads: it blocks SIGTERM, SIGINT and SIGHUP. Under a
  /// master (--processes N) it starts this program again, with options of its own, N times: main is
  /// to come here in the same way. Returns main's exit status: 0 if it ended in good order, 2 if
  /// the command line or a service's name is wrong, which stands on stderr; but a node that has
  /// worked leaves the process from within, with 0 or 1, without destroying what main has.
  int run(int argc, char** argv);

private:
  friend class actor_services; // ropewalk/actors.hpp
  struct contents;
  std::unique_ptr<contents> contents_;
};

} // namespace ropewalk
