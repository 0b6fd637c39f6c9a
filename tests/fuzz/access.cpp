// The access file: whatever stands in it, it is read or refused with a sentence; and nobody gets in
// by a token whose hash does not stand there.
#include "actors/broker/sessions/access_list.hpp"

#include <cstdint>
#include <cstdlib>

using namespace ropewalk;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto parsed = access_list::parse(text);
  if (!parsed) {
    if (!parsed.why().what.starts_with("line ")) std::abort();
    return 0;
  }
  const auto& list = *parsed;
  if (list.by_token("no such token") || list.by_certificate("")) std::abort();
  return 0;
}
