#include "actors/supervise/spawner_wire.hpp"

#include <algorithm>
#include <unistd.h>

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

std::string mark_of(char by, std::uint64_t number) {
  const auto digits = [](std::uint64_t n, std::size_t width) {
    const auto text = std::to_string(n);
    return std::string(width - std::min(width, text.size()), '0') + text;
  };
  return by + digits(static_cast<std::uint64_t>(::getpid()), 10) + '.' + digits(number, 20);
}

std::string write(const program& what) {
  std::string result;
  append(result, what.path);
  append(result, what.folder);
  append(result, what.arguments);
  append(result, what.environment);
  append(result, std::to_string(what.nice));
  if (!what.user) return result;
  append(result, std::to_string(what.user->user));
  append(result, std::to_string(what.user->group));
  std::vector<std::string> groups;
  for (const auto group : what.user->groups) groups.push_back(std::to_string(group));
  append(result, groups);
  return result;
}

program read(std::string_view text) {
  program result;
  result.path = take(text);
  result.folder = take(text);
  result.arguments = take_list(text);
  result.environment = take_list(text);
  result.nice = std::stoi("0" + take(text));
  if (text.empty()) return result;
  auto& user = result.user.emplace();
  user.user = static_cast<uid_t>(std::stoul("0" + take(text)));
  user.group = static_cast<gid_t>(std::stoul("0" + take(text)));
  for (const auto& group : take_list(text))
    user.groups.push_back(static_cast<gid_t>(std::stoul("0" + group)));
  return result;
}

} // namespace ropewalk::spawner_wire
