#pragma once

#include "actors/broker/access_list.hpp"
#include "actors/broker/client_census.hpp"
#include "actors/dispatch/dispatcher.hpp"
#include "net/sockets/client_scribe.hpp"

#include <caf/intrusive_ptr.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace ropewalk {

/// Keeps the answers to text lines in the order of the lines.
struct text_order {
  struct kept {
    error_code code;
    shared_bytes payload;
  };
  std::uint64_t next = 1; // the line whose answer is written next
  std::map<std::uint64_t, kept> early;
  std::uint64_t early_bytes = 0; // what is kept, with what keeping it costs

  /// What an answer that is kept costs besides its bytes, about: its place in the map.
  static constexpr std::uint64_t cost_of_keeping = 128;
};

/// What the front knows of one client connection.
struct session {
  caf::intrusive_ptr<client_scribe> scribe; ///< null: the place is free
  connection_id id;

  std::string service_name; ///< the last one asked for: most clients ask for one
  service_index service = no_index;
  std::string usual_fields;    ///< the optional fields that say just that; empty: none did
  std::string default_service; ///< from its hello

  text_order lines;

  std::optional<client_census::admission> admission;
  std::shared_ptr<const access_list> list; ///< keeps `who` alive
  const access* who = nullptr;             ///< null: not known, or nobody asked

  std::uint64_t announced_bytes = 0; ///< of a message on its way, as counted by the front
  std::uint64_t unread_bytes = 0;    ///< of answers, as counted by the front
  std::uint32_t paid_reads = 0;      ///< in a row, since little is read from it at a time

  std::uint32_t statuses_due = 0; ///< it asked so often, and is not answered yet

  bool dirty = false; ///< has something to be written at the end of the turn
  bool reading = true;
  bool slow = false; ///< has more unread answers than it may
  bool half_closed =
      false; ///< will ask for nothing more; gets its answers, then the connection is closed
  bool closing = false; ///< said its last word; waits for the client to close
  bool watched = false;
  std::uint64_t sent_then = 0; ///< bytes sent when it last got on
  instant opened;
  instant last_heard;    ///< when it last sent something
  instant message_since; ///< when the message in progress began; none is: instant{}
  instant since;         ///< when it last got on, or began to close
};

} // namespace ropewalk
