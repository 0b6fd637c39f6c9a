#pragma once

#include "actors/broker/sessions/access_list.hpp"
#include "actors/broker/sessions/http_exchange.hpp"
#include "actors/broker/sessions/text_order.hpp"
#include "actors/dispatch/request.hpp"
#include "actors/time/instant.hpp"
#include "net/transport/client_connection.hpp"

#include <cassert>
#include <cstdint>
#include <memory>
#include <string>

namespace ropewalk {

/// Where a client's connection is in its life:
///
///     open ----------> half_closed ------> leaving ----> (gone)
///       |                   |                 ^
///       '----> closing <----'                 |
///                 '---------------------------'
///
/// It may be gone from every state: cut off, or reset by the client.
enum class session_state : std::uint8_t {
  open,        ///< may ask
  half_closed, ///< has asked its last; gets its answers
  closing,     ///< was told its last word; what it sends is thrown away until it closes its half
  leaving,     ///< both sides have said all: only what is on its way to the client is left
};

[[nodiscard]] constexpr bool may_follow(session_state from, session_state to) {
  switch (to) {
  case session_state::open:
    return false;
  case session_state::half_closed:
    return from == session_state::open;
  case session_state::closing:
    return from == session_state::open || from == session_state::half_closed;
  case session_state::leaving:
    return from == session_state::half_closed || from == session_state::closing;
  }
  return false;
}

/// What the broker knows of one client's connection.
struct session {
  std::shared_ptr<client_connection> connection; ///< null: the place is free
  connection_id id;
  std::shared_ptr<void> permit; ///< counts it as a client; kept by the connection at the end

  // -- what it asks -------------------------------------------------------------------------------

  std::string service_name; ///< the last one asked for: most clients ask for one
  service_index service = no_index;
  std::string usual_fields;    ///< the optional fields that say just that; empty: none did
  std::string default_service; ///< from its hello
  text_order lines;
  std::unique_ptr<http_exchange> http; ///< null: it speaks in frames or lines
  std::uint32_t paid_reads = 0;        ///< in a row
  std::uint32_t little_reads = 0;      ///< in a row
  std::uint8_t halvings = 0;           ///< of what a read of it fetches: turn_share
  bool talks_idly = false;             ///< most of its frames ask for no work
  std::uint64_t requests = 0;          ///< that were admitted
  std::uint32_t statuses_due = 0;      ///< it asked so often, and is not answered yet

  // -- what it may --------------------------------------------------------------------------------

  std::shared_ptr<const access_list> list; ///< keeps `who` alive
  const access* who = nullptr;             ///< null: not known, or nobody asked

  // -- what it holds, as it was counted last, in bytes ----------------------------------------------

  std::uint64_t incoming_bytes = 0; ///< of a message on its way
  std::uint64_t unread_bytes = 0;   ///< of answers that it has not taken

  // -- when, and how it gets on ---------------------------------------------------------------------

  instant opened;
  instant last_heard;           ///< when it last sent something
  instant message_since;        ///< when the message in progress began; none is: instant{}
  instant pinged;               ///< half closed: when it was last asked whether it is there
  instant since;                ///< when it last took something, or began to close
  std::uint64_t taken_then = 0; ///< bytes that it had taken by then
  bool slow = false;            ///< has more unread answers than it may: nothing is read from it
  bool reading = true;
  bool dirty = false;   ///< has something to be written at the end of the turn
  bool watched = false; ///< is among those that are looked at every tick

  [[nodiscard]] session_state state() const { return state_; }
  [[nodiscard]] bool is(session_state which) const { return state_ == which; }
  void become(session_state next) {
    assert(may_follow(state_, next));
    state_ = next;
  }

  /// True if it speaks in text lines.
  [[nodiscard]] bool text() const { return connection->input().what() == decoder::mode::text; }

private:
  session_state state_ = session_state::open;
};

} // namespace ropewalk
