#include "net/transport/outbox.hpp"

#include <array>

namespace ropewalk {

namespace {

// One call gathers so many pieces: beyond a few dozen nothing is won.
constexpr std::size_t gathered = 64;

} // namespace

void outbox::begin_tail() {
  pieces_.emplace_back();
  pieces_.back().own.swap(spare_);
}

void outbox::splice(std::span<const spliced_bytes> in) {
  if (in.empty()) return;
  auto& own = tail();
  auto from = in.front().at;
  const std::vector<char> copy(own.begin() + static_cast<std::ptrdiff_t>(from), own.end());
  own.resize(from);
  std::string_view rest{copy.data(), copy.size()};
  for (const auto& one : in) {
    append_copy(rest.substr(0, one.at - from));
    rest.remove_prefix(one.at - from);
    from = one.at;
    append(one.bytes);
  }
  append_copy(rest);
}

std::size_t outbox::size() const {
  std::size_t result = 0;
  for (const auto& piece : pieces_) result += piece.rest().size();
  return result;
}

outbox::state outbox::send(stream& to) {
  while (!pieces_.empty()) {
    std::array<iovec, gathered> pieces;
    std::size_t count = 0;
    for (const auto& piece : pieces_) {
      if (count == pieces.size()) break;
      const auto rest = piece.rest();
      if (rest.empty()) continue;
      pieces[count++] = {const_cast<char*>(rest.data()), rest.size()};
    }
    if (count == 0) {
      drop_sent(0);
      break;
    }
    const auto result = to.send({pieces.data(), count});
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
