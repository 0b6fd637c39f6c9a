// The client protocol, both modes: the same bytes must say the same however they are split, and
// never more than the cap may be held. The first byte chooses how they are split.
#include "net/protocol/decoder.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

using namespace ropewalk;

namespace {

constexpr std::size_t cap = 20'000;

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

std::string describe(const decoder_event& event) {
  if (const auto* f = std::get_if<incoming_frame>(&event)) {
    must(f->payload.size() <= cap, "no payload is over the cap");
    frame_fields fields;
    const bool good = read_fields(f->fields, fields);
    return "frame " + std::to_string(static_cast<int>(f->head.kind)) + " " +
           std::to_string(f->head.id) + " " + (good ? std::string{fields.service} : "?") +
           std::string{f->service} + " " + std::string{f->payload.view()} + "\n";
  }
  if (const auto* f = std::get_if<oversized_frame>(&event))
    return "oversized " + std::to_string(f->head.id) + "\n";
  return "malformed\n";
}

std::string decode(std::string_view bytes, std::size_t piece, decoder::mode mode) {
  decoder d{cap, mode};
  std::string said;
  while (!bytes.empty()) {
    const std::string part{bytes.substr(0, piece)};
    bytes.remove_prefix(part.size());
    const auto space = d.body_space();
    must(space.size() <= cap, "no more than the cap is asked for");
    const auto direct = std::min(space.size(), part.size());
    std::copy_n(part.data(), direct, space.data());
    d.body_filled(direct);
    d.feed(std::string_view{part}.substr(direct));
    while (auto* event = d.next()) said += describe(*event);
  }
  return said;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t piece = 1 + data[0] % 64;
  const auto mode = data[1] % 2 == 0 ? decoder::mode::undecided : decoder::mode::binary;
  const std::string_view bytes{reinterpret_cast<const char*>(data) + 2, size - 2};
  must(decode(bytes, bytes.size() + 1, mode) == decode(bytes, piece, mode),
       "splitting changes nothing");
  return 0;
}
