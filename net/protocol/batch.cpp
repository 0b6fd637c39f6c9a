#include "net/protocol/batch.hpp"

#include "net/protocol/limits.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace ropewalk {

// Both items: token u64 | number u32 | payload bytes u32 | then eight bytes of small things.
// work:   fence u32 | service u16 | attempt u8 | flags u8
// answer: fence u32 | end u8 | code u8 | slot u16

std::size_t batch::size() const {
  std::size_t result = 0;
  for (const auto& piece : pieces) result += piece.size();
  return result;
}

shared_bytes batch::flat() const {
  if (pieces.empty()) return {};
  if (pieces.size() == 1) return pieces.front();
  const auto total = size();
  fresh_bytes memory{total};
  char* to = memory.data();
  for (const auto& piece : pieces) to = std::copy_n(piece.view().data(), piece.size(), to);
  return std::move(memory).share(total);
}

char* batch_builder::make_room(std::size_t count) {
  if (run_.size() - run_bytes_ < count) {
    fresh_bytes larger{std::max({2 * run_.size(), last_run_bytes_, run_bytes_ + count})};
    if (run_.valid()) std::memcpy(larger.data(), run_.data(), run_bytes_);
    run_ = std::move(larger);
  }
  char* const result = run_.data() + run_bytes_;
  run_bytes_ += count;
  bytes_ += count;
  return result;
}

// The item's header, up to what differs between the kinds.
char* batch_builder::add_item(const shared_bytes& payload) {
  const auto bytes = payload.size();
  const bool large = bytes >= limits::large_payload_bytes;
  char* const head = make_room(item_header_bytes + (large ? 0 : bytes));
  store_be(head + 12, static_cast<std::uint32_t>(bytes));
  if (!large) {
    std::copy_n(payload.view().data(), bytes, head + item_header_bytes);
  } else {
    seal();
    result_.pieces.push_back(payload.own());
    bytes_ += bytes;
  }
  return head;
}

namespace {

inline void write(char* head, const work_head& item) {
  store_be(head, item.token);
  store_be(head + 8, item.remaining_ms);
  store_be(head + 16, std::uint64_t{item.fence} << 32 | std::uint64_t{item.service} << 16 |
                          std::uint64_t{item.attempt} << 8 | std::uint64_t{item.flags});
}

} // namespace

void batch_builder::add(const work_head& item, const shared_bytes& payload) {
  write(add_item(payload), item);
}

// The fields are copied behind the header, and the message follows as without them.
void batch_builder::add(const work_head& item, std::string_view fields,
                        const shared_bytes& payload) {
  const auto before = 2 + fields.size();
  const bool large = payload.size() >= limits::large_payload_bytes;
  char* const head = make_room(item_header_bytes + before + (large ? 0 : payload.size()));
  store_be(head + 12, static_cast<std::uint32_t>(before + payload.size()));
  write(head, item);
  store_be(head + item_header_bytes, static_cast<std::uint16_t>(fields.size()));
  char* const behind = std::copy_n(fields.data(), fields.size(), head + item_header_bytes + 2);
  if (!large) {
    std::copy_n(payload.view().data(), payload.size(), behind);
    return;
  }
  seal();
  result_.pieces.push_back(payload.own());
  bytes_ += payload.size();
}

void batch_builder::add(const answer_head& item, const shared_bytes& payload) {
  char* const head = add_item(payload);
  store_be(head, item.token);
  store_be(head + 8, item.run_us);
  store_be(head + 16, std::uint64_t{item.fence} << 32 | static_cast<std::uint64_t>(item.end) << 24 |
                          static_cast<std::uint64_t>(item.code) << 16 | item.slot);
}

void batch_builder::add(batch other) {
  if (other.empty()) return;
  seal();
  bytes_ += other.size();
  std::move(other.pieces.begin(), other.pieces.end(), std::back_inserter(result_.pieces));
}

void batch_builder::seal() {
  if (run_bytes_ == 0) return;
  last_run_bytes_ = run_bytes_;
  result_.pieces.push_back(std::move(run_).share(std::exchange(run_bytes_, 0)));
}

batch batch_builder::take() {
  seal();
  bytes_ = 0;
  return std::exchange(result_, {});
}

const char* batch_reader::next(shared_bytes& payload) {
  const auto all = bytes_.view();
  const char* const head = all.data() + at_;
  const auto left = all.size() - at_;
  if (left == 0 || malformed_) return nullptr;
  const std::size_t count = left < item_header_bytes ? left : load_be<std::uint32_t>(head + 12);
  if (left < item_header_bytes || left - item_header_bytes < count) {
    malformed_ = true;
    return nullptr;
  }
  if (how_ == payloads::lent && count < limits::large_payload_bytes)
    payload.lend({head + item_header_bytes, count});
  else
    payload = bytes_.part(at_ + item_header_bytes, count);
  at_ += item_header_bytes + count;
  return head;
}

namespace {

bool has_whole_fields(std::string_view payload) {
  return payload.size() >= 2 && payload.size() - 2 >= load_be<std::uint16_t>(payload.data());
}

} // namespace

work_item* batch_reader::next_work() {
  const char* const head = next(work_.payload);
  if (!head) return nullptr;
  work_.token = load_be<std::uint64_t>(head);
  work_.remaining_ms = load_be<std::uint32_t>(head + 8);
  work_.fence = load_be<std::uint32_t>(head + 16);
  work_.service = load_be<std::uint16_t>(head + 20);
  work_.attempt = static_cast<std::uint8_t>(head[22]);
  work_.flags = static_cast<std::uint8_t>(head[23]);
  if (work_.has_fields() && !has_whole_fields(work_.payload.view())) {
    malformed_ = true;
    return nullptr;
  }
  return &work_;
}

answer_item* batch_reader::next_answer() {
  const char* const head = next(answer_.payload);
  if (!head) return nullptr;
  answer_.token = load_be<std::uint64_t>(head);
  answer_.run_us = load_be<std::uint32_t>(head + 8);
  answer_.fence = load_be<std::uint32_t>(head + 16);
  answer_.end = static_cast<item_end>(head[20]);
  answer_.code = static_cast<error_code>(head[21]);
  answer_.slot = load_be<std::uint16_t>(head + 22);
  if (answer_.end > item_end::failed || static_cast<int>(answer_.code) >= error_codes) {
    malformed_ = true;
    return nullptr;
  }
  return &answer_;
}

} // namespace ropewalk
