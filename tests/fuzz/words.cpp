// Command lines of cmd: handlers.
#include "actors/handlers/words.hpp"

#include <cstdint>
#include <cstdlib>
#include <stdexcept>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line{reinterpret_cast<const char*>(data), size};
  try {
    std::size_t total = 0;
    for (const auto& word : ropewalk::split_words(line)) total += word.size();
    if (total > size) std::abort(); // splitting adds nothing
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
