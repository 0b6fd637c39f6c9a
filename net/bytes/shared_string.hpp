#pragma once

#include "net/bytes/shared_bytes.hpp"
#include "net/bytes/small_blocks.hpp"

#include <string>

namespace ropewalk {

/// A string's bytes, moved and not copied. (Of a small one the copy costs less than its memory, which
/// another thread would give back.)
inline shared_bytes share(std::string&& text) {
  class held_string final : public shared_memory {
  public:
    explicit held_string(std::string&& held) : text_(std::move(held)) {}
    [[nodiscard]] std::string_view view() const { return text_; }

  private:
    const std::string text_;
  };
  if (text.size() <= small_blocks::largest) return shared_bytes::copy_of(text);
  auto* const memory = new held_string{std::move(text)}; // its holders delete it
  return {memory, memory->view()};
}

} // namespace ropewalk
