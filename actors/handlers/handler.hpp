#pragma once

#include "actors/supervise/spawner_wire.hpp"
#include "net/bytes/shared_bytes.hpp"
#include "net/protocol/error.hpp"
#include "net/protocol/limits.hpp"
#include "net/protocol/result.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

/// One message to be handled.
struct invocation {
  std::string_view service;
  std::uint64_t id = 0; ///< the broker's name for it, through all its attempts
  shared_bytes payload;
  std::string_view fields; ///< further ones, as in a frame
  /// 2 and more: an earlier start ended with a lost worker, and may have had effects.
  std::uint8_t attempt = 1;
  std::chrono::steady_clock::time_point begun; ///< by its slot's clock, which is read anyway
  std::chrono::steady_clock::time_point deadline;
  /// Becomes true when nobody wants the answer any more: come to an end soon.
  const std::atomic<bool>* stop = nullptr;
};

/// What came of it: a reply (`ok`), or an error with a message for the client. `worker_lost`: what
/// ran it died of it, so that it is run again as if its slot had died, while it is allowed to.
struct outcome {
  enum class kind : std::uint8_t {
    answer,      ///< what `code` and `payload` say
    not_started, ///< nothing has seen the message, which goes back; `payload` says why, to the node
    stopped, ///< as an answer, but by a SIGTERM or SIGINT, which may have been meant for the node
  };
  error_code code = error_code::ok;
  shared_bytes payload;
  outcome::kind what = kind::answer;
};

/// This node cannot run anything at present: a sentence that says why and what to do.
inline outcome not_started(std::string_view why) {
  return {error_code::worker_lost, shared_bytes::copy_of(why), outcome::kind::not_started};
}

inline outcome lost(std::string_view why) {
  return {error_code::worker_lost, shared_bytes::copy_of(why)};
}

inline outcome failed(std::string_view why) {
  return {error_code::failed, shared_bytes::copy_of(why)};
}

/// The code that a service runs. Each slot has a handler of its own, so a handler runs one
/// invocation at a time. Its life is start, any number of runs, stop, all of them on the slot's
/// thread, where it may block.
class handler {
public:
  handler() = default;
  handler(const handler&) = delete;
  handler& operator=(const handler&) = delete;
  virtual ~handler() = default;

  /// Before the first message. A failure ends the slot as what `run` throws does, and its
  /// replacement starts a handler of its own.
  virtual result<void> start() { return {}; }

  /// The invocation is the handler's: it may move the payload into its reply. What it throws kills
  /// its slot: the message is charged an attempt, and a new slot takes its place.
  virtual outcome run(invocation& what) = 0;

  /// When its slot ends, once it was started, whatever ends it, except with the whole process.
  virtual void stop() {}
};

/// What a node says to every handler that it makes.
struct handler_options {
  /// Who would reply with more answers TOO_LARGE.
  std::size_t max_reply_bytes = limits::default_max_message_bytes;
  /// How the programs that it starts run.
  surroundings around = {};
  std::string service = {}; ///< whose it is
};

/// Makes a handler of what was checked before: for each slot one, on the node.
using handler_maker = std::function<std::unique_ptr<handler>(const handler_options&)>;

} // namespace ropewalk
