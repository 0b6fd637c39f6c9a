#include "net/protocol/batch.hpp"
#include "net/protocol/limits.hpp"
#include "tests/catch.hpp"

#include <random>

using namespace ropewalk;

TEST_CASE("work items come out of a batch as they went in, small and large") {
  batch_builder builder;
  std::vector<std::string> payloads;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{100}, limits::large_payload_bytes - 1,
        limits::large_payload_bytes, std::size_t{200'000}, std::size_t{5}})
    payloads.emplace_back(size, static_cast<char>('a' + payloads.size()));
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    work_item item;
    item.token = i << 33;
    item.remaining_ms = static_cast<std::uint32_t>(i);
    item.service = static_cast<std::uint16_t>(i * 3);
    item.attempt = static_cast<std::uint8_t>(i + 1);
    item.fence = static_cast<std::uint32_t>(i + 70'000);
    item.payload = shared_bytes::copy_of(payloads[i]);
    builder.add(item);
  }
  const auto size = builder.size();
  const auto whole = builder.take();
  REQUIRE(builder.empty());
  REQUIRE(whole.size() == size);
  REQUIRE(whole.pieces.size() > 1); // the large ones were not copied into the run
  batch_reader reader{whole.flat()};
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    const auto* item = reader.next_work();
    REQUIRE(item);
    REQUIRE(item->token == i << 33);
    REQUIRE(item->remaining_ms == i);
    REQUIRE(item->service == i * 3);
    REQUIRE(item->attempt == i + 1);
    REQUIRE(item->fence == i + 70'000);
    REQUIRE(item->payload.view() == payloads[i]);
  }
  REQUIRE_FALSE(reader.next_work());
  REQUIRE_FALSE(reader.malformed());
}

TEST_CASE("what goes to handlers beside a message comes out of a batch in front of it") {
  batch_builder builder;
  const std::vector<std::pair<std::string, std::size_t>> items{
      {"key", 0},
      {"", 5},
      {std::string(700, 'f'), 100},
      {"trace", limits::large_payload_bytes},
      {"", 3}};
  for (const auto& [fields, size] : items) {
    work_item item;
    item.token = size;
    item.flags = work_head::alone_flag;
    item.payload = shared_bytes::copy_of(std::string(size, 'm'));
    if (fields.empty()) {
      builder.add(item);
      continue;
    }
    item.flags |= work_head::fields_flag;
    builder.add(item, fields, item.payload);
  }
  const auto size = builder.size();
  const auto whole = builder.take();
  REQUIRE(whole.size() == size);
  batch_reader reader{whole.flat()};
  for (const auto& [fields, count] : items) {
    const auto* item = reader.next_work();
    REQUIRE(item);
    CHECK(item->token == count);
    CHECK(item->alone());
    REQUIRE(item->has_fields() == !fields.empty());
    const auto message = item->has_fields() ? item->message() : item->payload;
    CHECK(message.view() == std::string(count, 'm'));
    if (item->has_fields()) CHECK(item->fields() == fields);
  }
  REQUIRE_FALSE(reader.next_work());
  REQUIRE_FALSE(reader.malformed());
}

TEST_CASE("fields that are longer than their item are no batch") {
  for (const std::string& payload :
       {std::string{}, std::string(1, '\0'), std::string{"\0\5four", 6}}) {
    work_item item;
    item.flags = work_head::fields_flag;
    item.payload = shared_bytes::copy_of(payload);
    batch_builder builder;
    builder.add(item);
    batch_reader reader{builder.take().flat()};
    CHECK_FALSE(reader.next_work());
    CHECK(reader.malformed());
  }
}

TEST_CASE("answers come out of batches that were put together from batches") {
  batch_builder all;
  for (std::uint64_t i = 0; i < 10; ++i) {
    batch_builder one;
    one.add(answer_item{i, 5, 2, i % 2 ? item_end::crashed : item_end::answered, error_code::failed,
                        static_cast<std::uint16_t>(i * 0x101),
                        shared_bytes::copy_of(std::string(i * 3000, 'x'))});
    all.add(one.take());
  }
  batch_reader reader{all.take().flat()};
  for (std::uint64_t i = 0; i < 10; ++i) {
    const auto* item = reader.next_answer();
    REQUIRE(item);
    REQUIRE(item->token == i);
    REQUIRE(item->code == error_code::failed);
    REQUIRE(item->slot == i * 0x101);
    REQUIRE(item->end == (i % 2 ? item_end::crashed : item_end::answered));
    REQUIRE(item->payload.size() == i * 3000);
  }
  REQUIRE_FALSE(reader.next_answer());
}

TEST_CASE("a batch cut short or with numbers that nobody writes is malformed") {
  batch_builder builder;
  builder.add(answer_item{1, 2, 3, item_end::answered, error_code::ok, 4,
                          shared_bytes::copy_of("payload")});
  const auto whole = builder.take().flat();
  for (std::size_t size = 1; size < whole.size(); ++size) {
    batch_reader reader{whole.part(0, size)};
    REQUIRE_FALSE(reader.next_answer());
    REQUIRE(reader.malformed());
  }
  std::string bad{whole.view()};
  bad[21] = 99; // no such error code
  batch_reader reader{shared_bytes::copy_of(bad)};
  REQUIRE_FALSE(reader.next_answer());
  REQUIRE(reader.malformed());
}
