// Command lines of cmd: handlers.
#include "actors/handlers/words.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line{reinterpret_cast<const char*>(data), size};
  const auto words = ropewalk::split_words(line);
  if (!words) return 0;
  std::size_t total = 0;
  for (const auto& word : *words) total += word.size();
  if (total > size) std::abort(); // splitting adds nothing
  return 0;
}
