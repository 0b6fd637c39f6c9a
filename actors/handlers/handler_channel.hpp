#pragma once

#include "net/protocol/decoder.hpp"
#include "net/protocol/error.hpp"
#include "net/protocol/frame.hpp"
#include "net/transport/outbox.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ropewalk {

/// What goes over the channel between a node and a handler that stays up (net/PROTOCOL.md,
/// "Handlers that stay up"): the node is the client. Collects what is said to the handler and cuts
/// what it says into events. Sans I/O, and one thread's.
class handler_channel {
public:
  /// `max_message_bytes`: the cap on messages, of which replies are some.
  explicit handler_channel(std::size_t max_message_bytes);

  // -- to the handler: collected in `out`, for the owner to send --------------------------------

  /// `may_fork`: a fork server may say that it is one.
  void hello(std::string_view service, bool may_fork);

  /// What a handler is to know of a request besides its message and the time that is left.
  struct about {
    std::uint8_t attempt = 1;
    std::string_view fields = {}; ///< further ones, as in a frame
    std::uint64_t request = 0;    ///< the same for every attempt at it
  };

  /// `id` is not 0, nor that of another request without an answer. The payload is copied if it is
  /// small or borrowed.
  void request(std::uint64_t id, const shared_bytes& payload, std::chrono::milliseconds left,
               const about& what);
  void cancel(std::uint64_t id);

  /// A whole frame that asks a fork server for a process, which is to have `environment` (NAME=VALUE,
  /// each with a 0 behind it) in place of what it has. It goes by itself, with the descriptors.
  static std::vector<char> fork(std::uint64_t id, std::string_view environment);

  outbox& out() { return out_; }

  // -- from the handler: what is read goes into `in`, then `next` until there is nothing ---------

  decoder& in() { return in_; }

  /// It can take requests: so many at a time, at least 1; or, as a fork server, none but to fork.
  /// Said once, before anything else.
  struct ready {
    std::uint32_t concurrency = 1;
    bool forks = false;
  };

  /// The process that was asked for by `fork`; that there is none is an answer with an error.
  struct forked {
    std::uint64_t id = 0;
    std::uint32_t pid = 0;
  };

  struct answer {
    std::uint64_t id = 0;
    error_code code = error_code::ok;
    shared_bytes payload; ///< borrowed, if it is small, until `next` is called again
  };

  /// What it said is not in the protocol, in a sentence that quotes it; nothing is heard any more.
  struct violation {
    std::string what;
    bool refused = false; ///< it keeps to the protocol, and does not want us
  };

  using event = std::variant<std::monostate, ready, forked, answer, violation>;

  event next();

  /// True if it has said the beginning of something whose end has not come.
  [[nodiscard]] bool in_message() const { return in_.in_message(); }

private:
  event take(const incoming_frame& frame);
  event take_hello_ok(const incoming_frame& frame);
  event take_forked(const incoming_frame& frame);
  event violated(std::string what);

  std::size_t max_message_bytes_;
  decoder in_;
  outbox out_;
  std::size_t unread_pongs_ = 0; // bytes of their payloads
  bool may_fork_ = false;
  bool ready_ = false;
  bool forks_ = false;
  bool over_ = false;
};

} // namespace ropewalk
