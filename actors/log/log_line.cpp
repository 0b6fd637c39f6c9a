#include "actors/log/log_line.hpp"

#include "actors/log/wall_clock.hpp"

#include <nlohmann/json.hpp>

namespace ropewalk {

namespace {

constexpr char separator = '\x1f'; // ASCII's unit separator

std::string_view cut(std::string_view& rest) {
  const auto end = rest.find(separator);
  const auto part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return part;
}

} // namespace

std::string join_fields(std::string_view sentence, const log_fields& fields) {
  std::string result{sentence};
  for (const auto& [name, value] : fields) {
    result += separator;
    result += name;
    result += separator;
    result += value;
  }
  return result;
}

log_line split_fields(std::string_view joined) {
  log_line result{cut(joined), {}};
  while (!joined.empty()) {
    const auto name = cut(joined);
    result.fields.emplace_back(name, cut(joined));
  }
  return result;
}

std::string text_of(const log_line& line) {
  std::string result{line.sentence};
  for (const auto& [name, value] : line.fields) {
    result.append(" ").append(name).append("=");
    if (!value.empty() && value.find_first_of(" \"=") == std::string_view::npos) {
      result += value;
      continue;
    }
    result += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') result += '\\';
      result += c;
    }
    result += '"';
  }
  return result;
}

std::string json_of(const log_line& line, std::chrono::system_clock::time_point at,
                    std::string_view level, std::string_view process) {
  nlohmann::ordered_json result{
      {"time", utc_text(std::chrono::duration_cast<wall_time>(at.time_since_epoch()))},
      {"level", level},
      {"process", process},
      {"message", line.sentence}};
  for (const auto& [name, value] : line.fields) result[std::string{name}] = value;
  return result.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace ropewalk
