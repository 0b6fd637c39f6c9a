#include "net/protocol/readable.hpp"

#include <algorithm>

namespace ropewalk {

namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";
constexpr std::size_t max_character_bytes = 4;

bool continues(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// What may follow a first byte (Unicode, table 3-7): how many bytes there are in all, and what the
// second may be. No bytes: nothing begins so.
struct shape {
  std::size_t bytes = 0;
  unsigned char min = 0x80;
  unsigned char max = 0xBF;
};

shape shape_of(unsigned char first) {
  if (first < 0x80) return {1};
  if (first < 0xC2) return {};
  if (first < 0xE0) return {2};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first < 0xF0) return {3};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first < 0xF4) return {4};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

// How much of the text's beginning is a character, or the beginning of one that breaks off.
struct step {
  std::size_t bytes;
  bool whole;
};

step next_of(std::string_view text) {
  const auto is = shape_of(static_cast<unsigned char>(text[0]));
  if (is.bytes == 0) return {1, false};
  if (is.bytes == 1) return {1, true};
  const auto second = text.size() > 1 ? static_cast<unsigned char>(text[1]) : 0U;
  if (second < is.min || second > is.max) return {1, false};
  std::size_t got = 2;
  while (got < is.bytes && got < text.size() && continues(text[got])) ++got;
  return {got, got == is.bytes};
}

// Cuts off the front; a character that the cut went through goes too.
std::string_view end_of(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  text.remove_prefix(text.size() - max_bytes);
  for (std::size_t i = 1; i < max_character_bytes && !text.empty() && continues(text[0]); ++i)
    text.remove_prefix(1);
  return text;
}

} // namespace

std::string readable_end(std::string_view said, std::size_t max_bytes) {
  said = end_of(said, max_bytes);
  std::string result;
  result.reserve(said.size());
  while (!said.empty()) {
    const auto one = next_of(said);
    result.append(one.whole ? said.substr(0, one.bytes) : replacement);
    said.remove_prefix(one.bytes);
  }
  return std::string{end_of(result, max_bytes)};
}

std::string one_line(std::string_view said, std::size_t max_bytes) {
  const auto first = said.substr(0, max_bytes);
  auto text = readable_end(first, std::string::npos);
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool c1 = c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0; // U+0080 to 9F
    if (c1) ++i;
    result += c1 || c < 0x20 || c == 0x7F ? '?' : text[i];
  }
  return first.size() < said.size() ? result + "..." : result;
}

} // namespace ropewalk
