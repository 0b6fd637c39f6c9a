#pragma once

#include "net/bytes/shared_bytes.hpp"
#include "net/bytes/splice_scope.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/stream.hpp"

#include <deque>
#include <span>
#include <string_view>
#include <vector>

namespace ropewalk {

/// What is to be written to a socket: small things copied one behind the other, large ones by
/// reference, all sent by one gathering system call where the kernel takes it.
class outbox {
public:
  /// `kept_bytes`: memory that an emptied buffer may keep for what comes next.
  explicit outbox(std::size_t kept_bytes = 16'384) : kept_bytes_(kept_bytes) {}

  enum class state : std::uint8_t { empty, blocked, failed };

  /// Append small things here. Valid until the next call of any other member.
  std::vector<char>& tail() {
    if (pieces_.empty() || !pieces_.back().shared.empty()) begin_tail();
    return pieces_.back().own;
  }

  /// Appends by reference what is not borrowed and not small; copies the rest.
  void append(const shared_bytes& bytes) {
    if (bytes.size() < limits::large_payload_bytes || bytes.borrowed())
      append_copy(bytes.view());
    else
      pieces_.emplace_back().shared = bytes;
  }

  /// Puts what was not copied into the tail (splice_scope) in its places there, by reference.
  void splice(std::span<const spliced_bytes> in);

  /// Unsent bytes.
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }

  /// Bytes sent so far, ever.
  [[nodiscard]] std::uint64_t sent() const { return sent_; }

  /// Sends what the connection takes. `failed`: it is broken, and says how.
  state send(stream& to);

private:
  struct piece {
    std::vector<char> own;
    shared_bytes shared;
    std::size_t offset = 0;

    [[nodiscard]] std::string_view rest() const {
      const std::string_view all =
          shared.empty() ? std::string_view{own.data(), own.size()} : shared.view();
      return all.substr(offset);
    }
  };

  void begin_tail();
  void append_copy(std::string_view bytes) {
    auto& to = tail();
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
  void drop_sent(std::size_t count);

  std::size_t kept_bytes_;
  std::deque<piece> pieces_;
  std::vector<char> spare_; // an emptied buffer, kept for its memory
  std::uint64_t sent_ = 0;
};

} // namespace ropewalk
