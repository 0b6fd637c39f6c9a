#pragma once

#include "net/bytes/byte_order.hpp"
#include "net/bytes/shared_bytes.hpp"
#include "net/protocol/error.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

/// What travels between broker and node: batches of items, back to back, each a fixed header and a
/// payload. One batch is one CAF message, whatever it holds.
namespace ropewalk {

/// Bytes in pieces: small payloads are copied into runs, large ones stand as pieces of their own,
/// so that no large payload is copied into a batch. Whoever serialises it writes the pieces back to
/// back; it arrives as one piece.
struct batch {
  std::vector<shared_bytes> pieces;

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return pieces.empty(); }

  /// All in one piece: as it is, or copied if there are several.
  [[nodiscard]] shared_bytes flat() const;
};

/// Broker to node: run this. The answer must carry the same token and fence.
struct work_head {
  std::uint64_t token = 0;
  std::uint32_t remaining_ms = 0; ///< until the request's deadline, from when the batch was sent
  std::uint32_t fence = 0;        ///< which placing of the request this is: the last one counts
  std::uint16_t service = 0;      ///< index into the services with which the node joined
  std::uint8_t attempt = 0;       ///< which start this is, for the handler: 1 for the first
  std::uint8_t flags = 0;         ///< those below

  static constexpr std::uint8_t alone_flag = 1;
  static constexpr std::uint8_t fields_flag = 2;

  /// Nothing may run beside it in its process: it may be what others died of.
  [[nodiscard]] bool alone() const { return (flags & alone_flag) != 0; }
  /// In front of the message stand optional fields for its handler.
  [[nodiscard]] bool has_fields() const { return (flags & fields_flag) != 0; }
};

struct work_item : work_head {
  shared_bytes payload; ///< the message; with fields: their size, as u16, they, and the message

  /// The two apart, of one that has fields; as long as the payload is here.
  [[nodiscard]] std::string_view fields() const { return payload.view().substr(2, fields_bytes()); }
  [[nodiscard]] shared_bytes message() const {
    const auto before = 2 + fields_bytes();
    return payload.part(before, payload.size() - before);
  }

private:
  [[nodiscard]] std::size_t fields_bytes() const {
    return load_be<std::uint16_t>(payload.view().data());
  }
};

/// How a work item ended on the node.
enum class item_end : std::uint8_t {
  answered = 0, ///< the handler came to an end; `code` says how
  returned = 1, ///< never started: run it elsewhere, nobody is to blame
  crashed = 2,  ///< its slot died while running it; the payload says what is known
  /// It was one of several that were running in a process which died: which of them it died of is
  /// not known. The payload as above.
  suspect = 3,
  /// What ran it was ended because of another message, or by the signal by which its node was told
  /// to leave; the payload as above.
  interrupted = 4,
  /// Its handler says that it failed, as the payload says, and its service has such a message
  /// started again: FAILED is the answer of its last attempt only.
  failed = 5,
};

/// Node to broker.
struct answer_head {
  std::uint64_t token = 0;
  std::uint32_t run_us = 0; ///< how long the handler ran, microseconds
  std::uint32_t fence = 0;
  item_end end = item_end::answered;
  error_code code = error_code::ok;
  std::uint16_t slot = 0; ///< of its service there that ran it, from 1 on; 0: not known
};

struct answer_item : answer_head {
  shared_bytes payload;
};

/// Names one placing of one request with a node.
struct attempt_ref {
  std::uint64_t token = 0;
  std::uint32_t fence = 0;

  friend bool operator==(const attempt_ref&, const attempt_ref&) = default;
};

inline constexpr std::size_t item_header_bytes = 24;

/// Collects items into a batch. Payloads must be shared, or are copied.
class batch_builder {
public:
  void add(const work_head& head, const shared_bytes& payload);
  /// One that has fields, at most 64 KiB of them.
  void add(const work_head& head, std::string_view fields, const shared_bytes& payload);
  void add(const answer_head& head, const shared_bytes& payload);
  void add(const work_item& item) { add(item, item.payload); }
  void add(const answer_item& item) { add(item, item.payload); }

  /// Takes all that was collected in another builder, behind what is here.
  void add(batch other);

  [[nodiscard]] bool empty() const { return bytes_ == 0; }
  [[nodiscard]] std::size_t size() const { return bytes_; }

  /// Everything added since the last call.
  batch take();

private:
  char* add_item(const shared_bytes& payload);
  char* make_room(std::size_t count);
  void seal();

  batch result_;
  fresh_bytes run_; // not yet in result_
  std::size_t run_bytes_ = 0;
  std::size_t last_run_bytes_ = 1024; // what the next run will likely need
  std::size_t bytes_ = 0;
};

/// Walks through a batch's items.
class batch_reader {
public:
  /// Whether small payloads share the batch's memory, or are lent until the next item (large ones
  /// always share it).
  enum class payloads : std::uint8_t { shared, lent };

  explicit batch_reader(shared_bytes bytes, payloads how = payloads::shared)
      : bytes_(std::move(bytes)), how_(how) {}

  /// The next item, which is the reader's and valid until it is called again; null at the end or
  /// where the bytes make no sense (then `malformed` is true). A batch has items of one kind.
  work_item* next_work();
  answer_item* next_answer();

  [[nodiscard]] bool malformed() const { return malformed_; }

private:
  // The header of the next item and its payload; nullptr at the end.
  const char* next(shared_bytes& payload);

  shared_bytes bytes_;
  payloads how_;
  std::size_t at_ = 0;
  bool malformed_ = false;
  work_item work_;
  answer_item answer_;
};

} // namespace ropewalk
