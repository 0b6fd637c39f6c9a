#include "net/tcp/outbox.hpp"

#include "net/protocol/limits.hpp"

#include <array>

namespace ropewalk {

namespace {

// One call gathers so many pieces: beyond a few dozen nothing is won.
constexpr std::size_t gathered = 64;

} // namespace

std::vector<char>& outbox::tail() {
  if (pieces_.empty() || !pieces_.back().shared.empty()) {
    pieces_.emplace_back();
    pieces_.back().own.swap(spare_);
  }
  return pieces_.back().own;
}

void outbox::append(const shared_bytes& bytes) {
  if (bytes.size() < limits::large_payload_bytes || bytes.borrowed()) {
    auto& to = tail();
    to.insert(to.end(), bytes.view().begin(), bytes.view().end());
  } else {
    pieces_.emplace_back().shared = bytes;
  }
}

std::size_t outbox::size() const {
  std::size_t result = 0;
  for (const auto& piece : pieces_) result += piece.rest().size();
  return result;
}

outbox::state outbox::send(stream& to) {
  while (!pieces_.empty()) {
    std::array<iovec, gathered> parts;
    std::size_t count = 0;
    for (const auto& piece : pieces_) {
      if (count == parts.size()) break;
      const auto rest = piece.rest();
      if (rest.empty()) continue;
      parts[count++] = {const_cast<char*>(rest.data()), rest.size()};
    }
    if (count == 0) {
      drop_sent(0);
      break;
    }
    const auto result = to.send({parts.data(), count});
    sent_ += result.bytes;
    drop_sent(result.bytes);
    if (result.state == stream::state::blocked) return state::blocked;
    if (result.state != stream::state::ok) return state::failed;
  }
  return state::empty;
}

void outbox::drop_sent(std::size_t count) {
  while (!pieces_.empty()) {
    auto& first = pieces_.front();
    const auto rest = first.rest().size();
    if (rest > count) {
      first.offset += count;
      return;
    }
    count -= rest;
    if (first.own.capacity() > spare_.capacity() && first.own.capacity() <= kept_bytes_) {
      spare_.swap(first.own);
      spare_.clear();
    }
    pieces_.pop_front();
  }
}

} // namespace ropewalk
