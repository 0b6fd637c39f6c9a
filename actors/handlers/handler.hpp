#pragma once

#include "net/bytes/shared_bytes.hpp"
#include "net/protocol/error.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ropewalk {

/// One message to be handled.
struct call {
  std::string_view service;
  shared_bytes payload;
  std::uint8_t attempt =
      1; ///< 2 and more: an earlier start ended with a lost worker, and may have had effects
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

/// The code that a service runs. Each slot has a handler of its own, so a handler runs one call at
/// a time, on a thread where it may block. What it throws kills its slot: the message is charged an
/// attempt, and a new slot takes its place.
class handler {
public:
  handler() = default;
  handler(const handler&) = delete;
  handler& operator=(const handler&) = delete;
  virtual ~handler() = default;

  /// The call is the handler's: it may move the payload into its reply.
  virtual outcome run(call& what) = 0;
};

/// The text after NAME= makes no sense; what() says why and what would.
struct bad_handler : std::invalid_argument {
  using invalid_argument::invalid_argument;
};

/// Makes a handler from what stands after NAME= in --service: `builtin:NAME` or `cmd:PROGRAM
/// ARG...`. A handler that would reply with more than `max_reply_bytes` answers TOO_LARGE. Throws
/// bad_handler.
std::unique_ptr<handler> make_handler(const std::string& spec, std::size_t max_reply_bytes);

} // namespace ropewalk
