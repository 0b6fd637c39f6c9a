#include "net/protocol/decoder.hpp"
#include "net/protocol/limits.hpp"
#include "net/protocol/text.hpp"
#include "tests/catch.hpp"

#include <random>

using namespace ropewalk;

namespace {

constexpr std::size_t cap = 100'000;

std::string frame(frame_kind kind, std::uint64_t id, std::string_view service,
                  std::string_view payload, error_code code = error_code::ok) {
  field_writer fields;
  if (!service.empty()) fields.text(field::service, service);
  std::vector<char> out;
  append_frame(out, kind, code, id, fields.bytes(), payload);
  return {out.begin(), out.end()};
}

// What a decoder says, as text, so that two ways of feeding it can be compared.
std::string describe(const decoder_event& event) {
  if (const auto* f = std::get_if<incoming_frame>(&event)) {
    frame_fields fields;
    if (!read_fields(f->fields, fields)) return "bad fields;";
    return "frame " + std::to_string(static_cast<int>(f->head.kind)) + " " +
           std::to_string(f->head.id) + " " +
           std::string{f->service.empty() ? fields.service : f->service} + " " +
           std::string{f->payload.view()} + ";";
  }
  if (const auto* f = std::get_if<oversized_frame>(&event))
    return "oversized " + std::to_string(f->head.id) + ";";
  return "malformed " + std::string{std::get<malformed_stream>(event).reason} + ";";
}

// Feeds as a socket would: what is in the middle of a large payload goes straight to it.
std::string feed(decoder& d, std::string_view bytes) {
  const auto space = d.body_space();
  const auto direct = std::min(space.size(), bytes.size());
  std::copy_n(bytes.data(), direct, space.data());
  d.body_filled(direct);
  d.feed(bytes.substr(direct));
  std::string said;
  while (auto* event = d.next()) said += describe(*event);
  return said;
}

std::string decode(std::string_view bytes, std::size_t piece) {
  decoder d{cap};
  std::string said;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    // In memory of its own and of its exact size, so that the address sanitizer sees a read beyond
    // it.
    const std::string part{bytes.substr(at, piece)};
    said += feed(d, part);
  }
  return said;
}

} // namespace

TEST_CASE("a frame of every kind says the same wherever the stream is split") {
  std::string stream;
  std::string expected;
  for (int kind = 1; kind <= 11; ++kind) {
    const std::string payload(static_cast<std::size_t>(kind) * 7, static_cast<char>('a' + kind));
    stream += frame(static_cast<frame_kind>(kind), static_cast<std::uint64_t>(kind) << 40, "svc",
                    payload);
    expected += "frame " + std::to_string(kind) + " " +
                std::to_string(static_cast<std::uint64_t>(kind) << 40) + " svc " + payload + ";";
  }
  for (std::size_t piece = 1; piece <= stream.size(); ++piece)
    REQUIRE(decode(stream, piece) == expected);
}

TEST_CASE("large payloads arrive whole wherever the stream is split") {
  std::mt19937 random{7};
  std::string stream;
  std::string expected;
  for (const std::size_t size :
       {limits::large_payload_bytes - 1, limits::large_payload_bytes, std::size_t{50'000}, cap}) {
    std::string payload(size, ' ');
    for (auto& c : payload) c = static_cast<char>('!' + random() % 90);
    stream +=
        frame(frame_kind::request, size, "big", payload) + frame(frame_kind::ping, 1, "", "x");
    expected += "frame 3 " + std::to_string(size) + " big " + payload + ";frame 8 1  x;";
  }
  for (const std::size_t piece : {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17},
                                  std::size_t{4096}, std::size_t{65'536}, stream.size()})
    REQUIRE(decode(stream, piece) == expected);
}

TEST_CASE("a message over the cap is said once, skipped, and the next is read") {
  const auto stream = frame(frame_kind::request, 5, "svc", std::string(cap + 1, 'x')) +
                      frame(frame_kind::ping, 6, "", "");
  for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}, stream.size()})
    REQUIRE(decode(stream, piece) == "oversized 5;frame 8 6  ;");
}

TEST_CASE("a message over the cap is never held") {
  decoder d{cap};
  std::vector<char> head;
  append_header(head, frame_kind::request, error_code::ok, 9, {}, 400'000'000);
  REQUIRE(feed(d, {head.data(), head.size()}) == "oversized 9;");
  REQUIRE(d.body_space().empty());
  REQUIRE(d.in_message());
}

TEST_CASE("what is no frame is malformed, and nothing is read behind it") {
  auto bytes = frame(frame_kind::request, 1, "svc", "x");
  SECTION("a length too short for its fields") {
    bytes[3] = 12, bytes[2] = 0;
  }
  SECTION("an unknown kind") {
    bytes[4] = 77;
  }
  SECTION("kind 0") {
    bytes[4] = 0;
  }
  SECTION("fields over their limit") {
    bytes[0] = 0, bytes[1] = 1, bytes[6] = '\xff', bytes[7] = '\xff';
  }
  SECTION("a length that could be text") {
    decoder d{cap, decoder::mode::binary};
    bytes[0] = 0x20;
    const auto said = feed(d, bytes);
    REQUIRE(said.find("malformed") == 0);
    return;
  }
  decoder d{cap};
  const auto said = feed(d, bytes + frame(frame_kind::ping, 1, "", ""));
  REQUIRE(said.find("malformed") == 0);
  REQUIRE(said.find(';') == said.size() - 1); // that was all
  REQUIRE(feed(d, frame(frame_kind::ping, 1, "", "")).empty());
}

TEST_CASE("a TLS hello on a plain port is malformed, not a crash") {
  const std::string hello{
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00\x00\x00", 18};
  REQUIRE(decode(hello, hello.size()).find("malformed") == 0);
}

TEST_CASE("text lines are requests with ids 1, 2, 3 wherever the stream is split") {
  const std::string stream = "echo hello world\r\n\nupper\nsum  two blanks\n";
  const std::string expected =
      "frame 3 1 echo hello world;frame 3 2 upper ;frame 3 3 sum  two blanks;";
  for (std::size_t piece = 1; piece <= stream.size(); ++piece)
    REQUIRE(decode(stream, piece) == expected);
}

TEST_CASE(
    "empty lines ask nothing, with either end of line, one with a blank in it is no empty line") {
  const std::string stream = "a\r\n\r\n\n\r\n\n \n\n\rb\n";
  for (std::size_t piece = 1; piece <= stream.size(); ++piece)
    REQUIRE(decode(stream, piece) == "frame 3 1 a ;frame 3 2  ;frame 3 3 \rb ;");
}

TEST_CASE("a text line over the cap is skipped up to its newline") {
  const auto stream = "echo " + std::string(cap + 500, 'x') + "\necho after\n";
  for (const std::size_t piece : {std::size_t{999}, stream.size()})
    REQUIRE(decode(stream, piece) == "oversized 1;frame 3 2 echo after;");
}

TEST_CASE("a message that is given up is skipped, wherever it stands, and the next is read") {
  const auto frame_of = [](std::uint64_t id, std::size_t payload) {
    std::vector<char> out;
    append_frame(out, frame_kind::request, error_code::ok, id, {}, std::string(payload, 'x'));
    return std::string{out.begin(), out.end()};
  };
  for (const std::size_t payload : {100, 20'000}) {
    const auto first = frame_of(7, payload);
    for (const std::size_t cut : {frame_header_bytes, frame_header_bytes + 1, first.size() - 1}) {
      decoder d{1 << 20};
      CHECK(feed(d, first.substr(0, cut)).empty());
      CHECK(d.held_bytes() <= cut);
      REQUIRE(d.can_drop());
      CHECK(d.drop_message().id == 7);
      CHECK(d.held_bytes() == 0);
      CHECK(d.in_message());
      CHECK_FALSE(d.can_drop());
      CHECK(feed(d, first.substr(cut) + frame_of(8, 1)) == "frame 3 8  x;");
    }
  }
  decoder d{1 << 20};
  CHECK(feed(d, "echo beginn").empty());
  CHECK(d.held_bytes() == 11);
  REQUIRE(d.can_drop());
  CHECK(d.drop_message().id == 1);
  CHECK_FALSE(d.can_drop());
  CHECK(feed(d, "ing and end\necho next\n") == "frame 3 2 echo next;");
}

TEST_CASE("random bytes never make the decoder hold more than a message") {
  std::mt19937_64 random{1};
  for (int round = 0; round < 2000; ++round) {
    decoder d{cap, round % 2 == 0 ? decoder::mode::binary : decoder::mode::undecided};
    std::string bytes(random() % 300, '\0');
    for (auto& c : bytes) c = static_cast<char>(random() % 7 == 0 ? random() : random() % 3);
    feed(d, bytes);
    REQUIRE(d.body_space().size() <= cap);
  }
}

TEST_CASE("optional fields that a version does not know are skipped") {
  field_writer fields;
  fields.text(static_cast<field>(200), "whatever")
      .u32(field::deadline_ms, 1500)
      .text(static_cast<field>(201), "");
  frame_fields read;
  REQUIRE(read_fields(fields.bytes(), read));
  REQUIRE(read.deadline_ms == 1500u);
}

TEST_CASE("optional fields cut short or of a wrong size are refused") {
  field_writer fields;
  fields.u32(field::deadline_ms, 1500).text(field::service, "svc");
  const auto whole = fields.bytes();
  frame_fields read;
  for (std::size_t size = 1; size < whole.size(); ++size)
    if (size != 6)
      REQUIRE_FALSE(read_fields(whole.substr(0, size), read)); // six bytes are the first field
  field_writer wrong;
  wrong.text(field::deadline_ms, "abc");
  REQUIRE_FALSE(read_fields(wrong.bytes(), read));
}

TEST_CASE("a text answer is one line, whatever the reply holds") {
  std::vector<char> out;
  append_text_answer(out, error_code::ok, "two\nlines\r and a \\");
  append_text_answer(out, error_code::busy, "later");
  append_text_answer(out, error_code::ok, "");
  REQUIRE(std::string{out.begin(), out.end()} ==
          "OK two\\nlines\\r and a \\\\\nERR BUSY later\nOK\n");
}

TEST_CASE("a last line without its newline is a request when the end has come, and only then") {
  const auto ended = [](std::string_view bytes, std::size_t piece = 1000) {
    decoder d{cap};
    std::string said;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
      said += feed(d, bytes.substr(0, piece));
    said += "| ";
    while (const auto* event = d.end()) said += describe(*event);
    CHECK(d.held_bytes() == 0);
    CHECK(d.end() == nullptr);
    return said;
  };
  CHECK(ended("echo hello") == "| frame 3 1 echo hello;");
  CHECK(ended("echo hello", 1) == "| frame 3 1 echo hello;");
  CHECK(ended("echo a\necho b") == "frame 3 1 echo a;| frame 3 2 echo b;");
  CHECK(ended("echo a\n") == "frame 3 1 echo a;| ");
  CHECK(ended("echo hello\r") == "| frame 3 1 echo hello;");
  CHECK(ended("\r") == "| ");
  CHECK(ended("") == "| ");
  CHECK(ended("echo " + std::string(cap + 1, 'x')).ends_with("| oversized 1;"));
  CHECK(ended("echo " + std::string(2 * cap, 'x')) == "oversized 1;| "); // its rest is discarded
}

TEST_CASE("what is left of a frame at the end is no request") {
  const auto whole = frame(frame_kind::request, 1, "echo", std::string(50'000, 'x'));
  for (const std::size_t bytes : {1u, 15u, 20u, 30u, 49'000u}) {
    decoder d{cap};
    CHECK(feed(d, std::string_view{whole}.substr(0, bytes)).empty());
    CHECK(d.end() == nullptr);
  }
}
