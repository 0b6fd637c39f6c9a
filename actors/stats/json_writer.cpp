#include "actors/stats/json_writer.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ropewalk {

void json_writer::text(std::string_view value) {
  separate();
  const bool plain = std::all_of(value.begin(), value.end(), [](char c) {
    return c >= ' ' && c < 0x7F && c != '"' && c != '\\';
  });
  if (plain) {
    text_ += '"';
    text_.append(value).append("\"");
    return;
  }
  text_ += nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void json_writer::number(double value) {
  separate();
  if (!std::isfinite(value)) {
    text_ += "null";
    return;
  }
  char digits[32];
  const auto* const end = std::to_chars(std::begin(digits), std::end(digits), value).ptr;
  const std::string_view written{digits, static_cast<std::size_t>(end - digits)};
  text_ += written;
  if (written.find_first_of(".e") == std::string_view::npos) text_ += ".0";
}

} // namespace ropewalk
