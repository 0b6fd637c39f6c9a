#include "net/protocol/batch.hpp"

#include "net/protocol/limits.hpp"
#include "net/protocol/wire.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ropewalk {

// Both items: token u64 | number u32 | payload bytes u32 | then eight bytes of small things.
// work:   service u16 | attempt u8 | 5 unused
// answer: attempt u8 | end u8 | code u8 | 5 unused

std::size_t batch::size() const {
  std::size_t result = 0;
  for (const auto& piece : pieces) result += piece.size();
  return result;
}

shared_bytes batch::flat() const {
  if (pieces.empty()) return {};
  if (pieces.size() == 1) return pieces.front();
  const auto total = size();
  auto memory = std::make_shared_for_overwrite<char[]>(total);
  char* to = memory.get();
  for (const auto& piece : pieces) to = std::copy_n(piece.view().data(), piece.size(), to);
  const char* begin = memory.get();
  return {std::move(memory), {begin, total}};
}

char* batch_builder::make_room(std::size_t count) {
  const auto at = run_.size();
  if (run_.capacity() < at + count)
    run_.reserve(std::max({2 * run_.capacity(), last_run_bytes_, at + count}));
  run_.resize(at + count);
  bytes_ += count;
  return run_.data() + at;
}

void batch_builder::put_payload(const shared_bytes& payload) {
  if (payload.empty()) return;
  if (payload.size() < limits::large_payload_bytes) {
    run_.append(payload.view());
  } else {
    seal();
    result_.pieces.push_back(payload.own());
  }
  bytes_ += payload.size();
}

void batch_builder::add(const work_item& item) {
  char* head = make_room(item_header_bytes);
  store_be(head, item.token);
  store_be(head + 8, item.remaining_ms);
  store_be(head + 12, static_cast<std::uint32_t>(item.payload.size()));
  store_be(head + 16, item.service);
  head[18] = static_cast<char>(item.attempt);
  std::fill_n(head + 19, 5, '\0');
  put_payload(item.payload);
}

void batch_builder::add(const answer_item& item) {
  char* head = make_room(item_header_bytes);
  store_be(head, item.token);
  store_be(head + 8, item.run_us);
  store_be(head + 12, static_cast<std::uint32_t>(item.payload.size()));
  head[16] = static_cast<char>(item.attempt);
  head[17] = static_cast<char>(item.end);
  head[18] = static_cast<char>(item.code);
  std::fill_n(head + 19, 5, '\0');
  put_payload(item.payload);
}

void batch_builder::add(batch other) {
  if (other.empty()) return;
  seal();
  bytes_ += other.size();
  std::move(other.pieces.begin(), other.pieces.end(), std::back_inserter(result_.pieces));
}

void batch_builder::seal() {
  if (run_.empty()) return;
  last_run_bytes_ = run_.size();
  auto holder = std::make_shared<std::string>(std::exchange(run_, {}));
  const std::string_view view = *holder;
  result_.pieces.emplace_back(std::shared_ptr<const char[]>(holder, view.data()), view);
}

batch batch_builder::take() {
  seal();
  bytes_ = 0;
  return std::exchange(result_, {});
}

const char* batch_reader::next(shared_bytes& payload) {
  const auto rest = bytes_.view().substr(at_);
  if (rest.empty() || malformed_) return nullptr;
  if (rest.size() < item_header_bytes) {
    malformed_ = true;
    return nullptr;
  }
  const std::size_t count = load_be<std::uint32_t>(rest.data() + 12);
  if (rest.size() - item_header_bytes < count) {
    malformed_ = true;
    return nullptr;
  }
  const bool lend = how_ == payloads::lent && count < limits::large_payload_bytes;
  payload = lend ? shared_bytes::borrow(rest.substr(item_header_bytes, count))
                 : bytes_.part(at_ + item_header_bytes, count);
  at_ += item_header_bytes + count;
  return rest.data();
}

std::optional<work_item> batch_reader::next_work() {
  work_item item;
  const char* head = next(item.payload);
  if (!head) return std::nullopt;
  item.token = load_be<std::uint64_t>(head);
  item.remaining_ms = load_be<std::uint32_t>(head + 8);
  item.service = load_be<std::uint16_t>(head + 16);
  item.attempt = static_cast<std::uint8_t>(head[18]);
  return item;
}

std::optional<answer_item> batch_reader::next_answer() {
  answer_item item;
  const char* head = next(item.payload);
  if (!head) return std::nullopt;
  item.token = load_be<std::uint64_t>(head);
  item.run_us = load_be<std::uint32_t>(head + 8);
  item.attempt = static_cast<std::uint8_t>(head[16]);
  item.end = static_cast<item_end>(head[17]);
  item.code = static_cast<error_code>(head[18]);
  if (item.end > item_end::crashed || static_cast<int>(item.code) >= error_codes) {
    malformed_ = true;
    return std::nullopt;
  }
  return item;
}

} // namespace ropewalk
