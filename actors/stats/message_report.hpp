#pragma once

#include "actors/time/instant.hpp"
#include "net/protocol/error.hpp"
#include "net/protocol/trace_context.hpp"

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What is known of single messages: under way, or as they ended.
namespace ropewalk {

/// Texts that many messages have in common: a node's name, how it was lost.
using shared_text = std::shared_ptr<const std::string>;

/// Names a message among all of a broker: the shard, its client's connection there, and the id that
/// the client gave it. As text "0.17.2-42": the shard, the connection's two numbers, the id.
struct message_id {
  std::uint16_t shard = 0;
  std::uint32_t connection = 0;
  std::uint32_t generation = 0; ///< of the connection's number, which is given to another later
  std::uint64_t request = 0;

  [[nodiscard]] std::string text() const;
  friend auto operator<=>(const message_id&, const message_id&) = default;
};

std::optional<message_id> read_message_id(std::string_view text);

/// How an attempt came to its end.
enum class attempt_end : std::uint8_t {
  open,        ///< it has not
  answered,    ///< by the handler, with the message's own code
  failed,      ///< the handler says that it failed, and its service has that tried again
  crashed,     ///< what ran it died of it
  suspect,     ///< what ran it died, and ran others as well
  interrupted, ///< what ran it was ended because of something else
  node_lost,   ///< its node is gone
  returned,    ///< the node gave it back unstarted
  withdrawn,   ///< nobody waited for it any more
};

/// As JSON has it: "answered", "node lost", ...
std::string_view name_of(attempt_end how);

/// One placing of a message with a node. Times count from when the message came.
struct attempt_report {
  shared_text node; ///< null: not known
  shared_text why;  ///< how it ended, in the words of who saw it; null: there are none
  microseconds placed{};
  microseconds ended{};    ///< of one that has ended
  microseconds ran{};      ///< as the node measured it; 0: it did not say
  std::uint16_t slot = 0;  ///< of its service on that node, from 1 on; 0: not known
  std::uint8_t number = 1; ///< the attempt as its handler counts it
  attempt_end end = attempt_end::open;
};

/// Why the end of a message was kept.
enum class kept_for : std::uint8_t {
  nothing, ///< it has not ended, or only its trace is of interest
  failure, ///< it ended with an error, or one of its attempts did
  slowness,
  sample,
};

/// One message.
struct message_report {
  message_id id;
  std::string service;
  std::string client;  ///< who asked, where the broker asks that; else empty
  shared_text address; ///< whence; null: not known
  std::optional<trace_context> trace;
  instant came;
  std::chrono::nanoseconds took{}; ///< until its end, or until now
  std::uint32_t bytes = 0;         ///< what it is counted with
  std::uint8_t allowed = 0;        ///< attempts
  std::uint32_t left_out = 0;      ///< attempts that are not among these
  bool ended = false;
  error_code code = error_code::ok; ///< of one that has ended
  kept_for kept = kept_for::nothing;
  shared_text detail;                   ///< the error's text; null: the code's own
  shared_text cancelled_by;             ///< who of those who run the broker; null: none of them
  std::vector<attempt_report> attempts; ///< in order
  std::string waits;                    ///< for what, for people; empty: for nothing
  std::optional<std::uint32_t> before;  ///< how many go before it, about

  /// What it takes in memory, about, with the texts that it shares.
  [[nodiscard]] std::size_t memory() const;
};

/// What somebody wants to know.
struct message_query {
  enum class about : std::uint8_t {
    recent, ///< what has ended, of every kind
    failed,
    slow,
    open, ///< what is not answered yet
    one
  };

  about what = about::recent;
  std::optional<message_id> id;   ///< of one: this, or
  std::optional<trace_id> trace;  ///< all that belong to this trace
  std::string service;            ///< empty: any
  std::optional<std::string> who; ///< only what this client asked; nothing: whoever did
  std::string cancel_by; ///< not empty: the one with `id` is taken back if it is under way, by whom
  std::uint32_t limit = 20;

  static constexpr std::uint32_t max_limit = 1000;
};

/// Sorts as the query wants it, the last or the slowest first, and cuts at its limit.
void sort_and_cut(std::vector<message_report>& all, const message_query& query);

} // namespace ropewalk
