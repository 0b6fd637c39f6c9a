#include "actors/supervise/spawner_wire.hpp"

#include <algorithm>

namespace ropewalk::spawner_wire {

namespace {

void append(std::string& to, const std::string& text) {
  to.append(text).push_back('\0');
}

void append(std::string& to, const std::vector<std::string>& list) {
  append(to, std::to_string(list.size()));
  for (const auto& text : list) append(to, text);
}

std::string take(std::string_view& from) {
  const auto end = std::min(from.find('\0'), from.size());
  std::string result{from.substr(0, end)};
  from.remove_prefix(std::min(end + 1, from.size()));
  return result;
}

std::vector<std::string> take_list(std::string_view& from) {
  std::vector<std::string> result(std::stoul("0" + take(from)));
  for (auto& text : result) text = take(from);
  return result;
}

} // namespace

std::string write(const program& what) {
  std::string result;
  append(result, what.path);
  append(result, what.folder);
  append(result, what.arguments);
  append(result, what.environment);
  return result;
}

program read(std::string_view text) {
  program result;
  result.path = take(text);
  result.folder = take(text);
  result.arguments = take_list(text);
  result.environment = take_list(text);
  return result;
}

} // namespace ropewalk::spawner_wire
