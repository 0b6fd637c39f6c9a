#pragma once

#include "net/bytes/shared_bytes.hpp"
#include "net/protocol/error.hpp"

#include <cstdint>
#include <map>
#include <optional>

namespace ropewalk {

/// Keeps the answers to text lines in the order of the lines.
class text_order {
public:
  struct answer {
    error_code code;
    shared_bytes payload;
  };

  /// The line whose answer is written next.
  [[nodiscard]] bool is_next(std::uint64_t line) const { return line == next_; }
  void written() { ++next_; }

  /// Keeps an answer until those to the lines before are written.
  void keep(std::uint64_t line, error_code code, const shared_bytes& payload) {
    kept_bytes_ += payload.size() + cost_of_keeping;
    kept_.insert_or_assign(line, answer{code, payload.own()});
  }

  /// Takes out the answer to the next line; nothing if it is not there yet.
  std::optional<answer> take_next() {
    const auto found = kept_.find(next_);
    if (found == kept_.end()) return std::nullopt;
    auto result = std::move(found->second);
    kept_bytes_ -= result.payload.size() + cost_of_keeping;
    kept_.erase(found);
    return result;
  }

  /// What is kept, with what keeping it costs, in bytes.
  [[nodiscard]] std::uint64_t kept_bytes() const { return kept_bytes_; }

private:
  // What an answer that is kept costs besides its bytes, about: its place in the map.
  static constexpr std::uint64_t cost_of_keeping = 128;

  std::uint64_t next_ = 1;
  std::map<std::uint64_t, answer> kept_;
  std::uint64_t kept_bytes_ = 0;
};

} // namespace ropewalk
