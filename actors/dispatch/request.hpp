#pragma once

#include "actors/time/instant.hpp"
#include "net/bytes/shared_bytes.hpp"

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

/// What the dispatcher is asked, and what it keeps of it.
namespace ropewalk {

using token = std::uint64_t; ///< names a request; never used twice
using connection_index = std::uint32_t;
using service_index = std::uint32_t;
using node_number = std::uint32_t; ///< names a node; never used twice

inline constexpr std::uint32_t no_index = 0xffffffff;

/// Names a client connection for as long as whatever is said of it may be on its way: its index is
/// given to another when it is gone, its generation is not (until 2^32 others have had the index).
struct connection_id {
  connection_index index = no_index;
  std::uint32_t generation = 0;

  [[nodiscard]] bool valid() const { return index != no_index; }
  friend auto operator<=>(const connection_id&, const connection_id&) = default;
};

/// Which request goes first when several wait for the same service.
enum class priority : std::uint8_t { low = 0, normal = 1, high = 2 };
inline constexpr std::size_t priorities = 3;

/// What a request has for its handler besides its message.
struct handler_fields {
  shared_bytes bytes;          ///< optional fields, as in a frame
  std::uint64_t trace_tag = 0; ///< of the trace context among them (tag_of); 0: there is none
  bool sampled = false;        ///< that is to be recorded
};

/// What a client asks for.
struct submission {
  connection_id connection;
  std::uint64_t request_id = 0;
  service_index service = no_index;
  shared_bytes payload;                   ///< copied if it is borrowed, and admitted
  std::string_view key;                   ///< ordering key; empty: none. Borrowed for the call
  const handler_fields* fields = nullptr; ///< null: none
  std::optional<milliseconds> timeout;    ///< none: the standard one
  std::optional<std::uint8_t> attempts;   ///< none: the standard number
  ropewalk::priority priority = ropewalk::priority::normal;
};

/// Where a request is; it is in the list of that name and in no other.
enum class stage : std::uint8_t {
  free,       ///< no request: the record waits for one
  behind_key, ///< an earlier one with the same ordering key is not done (key_lanes)
  fresh,      ///< waits for its first slot (service_queue)
  returned,   ///< came back without having been started: goes first
  retry,      ///< its worker was lost while running it: goes as the retry budget allows
  placed,     ///< a node has it (offer)
};

/// One request, as much of it as the front needs to send it.
struct request {
  shared_bytes payload;
  std::uint64_t client_id = 0;
  instant deadline;
  connection_index connection = no_index; ///< no_index: nobody waits for the answer any more
  service_index service = no_index;
  std::uint32_t offer = no_index; ///< with whom it is placed
  std::uint32_t flow = no_index;  ///< where it waits while it is fresh
  std::uint32_t lane = no_index;  ///< of its ordering key
  std::uint32_t generation = 0;
  std::uint32_t next = no_index, previous = no_index; ///< in the list of its stage
  std::uint32_t next_of_connection = no_index, previous_of_connection = no_index;
  std::uint32_t cost = 0;    ///< bytes it is counted with
  std::uint32_t id_hash = 0; ///< of connection and id, as the table of ids has it
  std::uint32_t fence = 0;   ///< of its placings so far the last, whose answer alone counts
  std::uint8_t charged = 0;  ///< starts that ended with a lost worker
  std::uint8_t attempts = 0; ///< how many of those are allowed
  ropewalk::stage stage = ropewalk::stage::free;
  bool sent : 1 = false;       ///< placed, and on its way to its node or there
  bool alone : 1 = false;      ///< it may be what a process died of: nothing is to run beside it
  bool has_fields : 1 = false; ///< for its handler (dispatcher::fields_of)
  bool on_record : 1 = false;  ///< its end is to be kept, whatever it is: it has a past, or a trace
  ropewalk::priority priority : 4 = ropewalk::priority::normal;

  /// What the record was is over. All fields that a new request does not set are as at first; the
  /// compiler's way to write `*this = request{}` takes as long as the rest of a submission.
  void renew() {
    ++generation;
    offer = flow = lane = no_index;
    next = previous = next_of_connection = previous_of_connection = no_index;
    fence = 0;
    charged = 0;
    sent = alone = has_fields = on_record = false;
  }

  /// Which start this is, or the next will be, as handlers count: those before it that were not
  /// brought to an end had their worker lost.
  [[nodiscard]] std::uint8_t attempt() const { return static_cast<std::uint8_t>(charged + 1); }
};

// One and a half cache lines: a byte more, and every second one lies in three of them.
static_assert(sizeof(void*) < 8 || sizeof(request) == 96);

/// All requests by index; the lists below are threaded through it.
using request_table = std::vector<request>;

/// A list of requests, linked through `next` and `previous`: a request is in one at a time.
class request_list {
public:
  void push_back(request_table& all, std::uint32_t index) {
    auto& r = all[index];
    r.next = no_index;
    r.previous = tail_;
    (tail_ == no_index ? head_ : all[tail_].next) = index;
    tail_ = index;
    ++size_;
  }

  void push_front(request_table& all, std::uint32_t index) {
    auto& r = all[index];
    r.previous = no_index;
    r.next = head_;
    (head_ == no_index ? tail_ : all[head_].previous) = index;
    head_ = index;
    ++size_;
  }

  void remove(request_table& all, std::uint32_t index) {
    const auto& r = all[index];
    (r.previous == no_index ? head_ : all[r.previous].next) = r.next;
    (r.next == no_index ? tail_ : all[r.next].previous) = r.previous;
    --size_;
  }

  [[nodiscard]] std::uint32_t head() const { return head_; }
  [[nodiscard]] std::uint32_t tail() const { return tail_; }
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

private:
  std::uint32_t head_ = no_index, tail_ = no_index, size_ = 0;
};

} // namespace ropewalk
