#include "net/transport/receive.hpp"

#include "net/protocol/limits.hpp"
#include "tests/catch.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

using namespace ropewalk;

namespace {

// A peer that is always ahead: everything waits to be read, but for the first read, which finds the
// beginning only.
class waiting_bytes final : public stream {
public:
  waiting_bytes(std::string_view bytes, std::size_t first) : rest_(bytes), first_(first) {}

  result receive(std::span<const iovec> into) override {
    ++reads;
    auto most = reads == 1 ? first_ : rest_.size();
    if (rest_.empty()) return {state::end, 0};
    std::size_t read = 0;
    for (const auto& part : into) {
      const auto count = std::min({part.iov_len, rest_.size(), most});
      std::memcpy(part.iov_base, rest_.data(), count);
      rest_.remove_prefix(count);
      most -= count;
      read += count;
    }
    return {state::ok, read};
  }
  result send(std::span<const iovec>) override { return {state::failed, 0}; }
  void finish() override {}
  int fd() const override { return -1; }
  void disown() override {}

  std::size_t reads = 0;

private:
  std::string_view rest_;
  std::size_t first_;
};

// Reads all, and returns with how many reads that was done.
std::size_t reads_for(std::size_t payload_bytes, std::size_t messages) {
  std::vector<char> bytes;
  for (std::size_t i = 0; i < messages; ++i)
    append_frame(bytes, frame_kind::request, error_code::ok, i, {},
                 std::string(payload_bytes, static_cast<char>('a' + i % 26)));
  waiting_bytes from{{bytes.data(), bytes.size()}, payload_bytes / 2};
  decoder to{limits::default_max_message_bytes, decoder::mode::binary};
  std::vector<char> buffer(limits::read_bytes);
  std::size_t got = 0;
  while (receive_into(to, from, buffer.data()).state == stream::state::ok)
    while (auto* event = to.next()) {
      const auto& frame = std::get<incoming_frame>(*event);
      REQUIRE(frame.head.id == got);
      REQUIRE(frame.payload.size() == payload_bytes);
      REQUIRE(frame.payload.view().find_first_not_of(static_cast<char>('a' + got % 26)) ==
              std::string_view::npos);
      ++got;
    }
  REQUIRE(got == messages);
  return from.reads;
}

} // namespace

TEST_CASE("payloads that wait are read several at a time, though one was cut in the middle") {
  for (const std::size_t size :
       {std::size_t{1000}, limits::large_payload_bytes, limits::direct_payload_bytes - 1}) {
    const std::size_t messages = (std::size_t{8} << 20) / size;
    INFO(messages << " of " << size << " bytes");
    // Besides full ones the first, the last, the end, and what the headers take.
    CHECK(reads_for(size, messages) <= 4 + messages * size / limits::read_bytes);
  }
}

TEST_CASE("the largest payloads are read one by one, each to its place") {
  for (const std::size_t size : {limits::direct_payload_bytes, std::size_t{1} << 20}) {
    INFO(size << " bytes");
    CHECK(reads_for(size, 20) <= 20 + 3);
  }
}
