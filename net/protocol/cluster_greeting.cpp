#include "net/protocol/cluster_greeting.hpp"

#include "net/protocol/readable.hpp"

#include <algorithm>
#include <charconv>

namespace ropewalk {

cluster_greeting own_cluster_greeting() {
  return {cluster_protocol_version, ROPEWALK_VERSION};
}

std::string cluster_greeting_line(const cluster_greeting& said) {
  auto line =
      std::string{cluster_greeting_word} + ' ' + std::to_string(said.version) + ' ' + said.release;
  line.resize(cluster_greeting_bytes - 1, ' ');
  return line + '\n';
}

bool may_be_cluster_greeting(std::string_view bytes) {
  const auto start = std::string{cluster_greeting_word} + ' ';
  const auto count = std::min(bytes.size(), start.size());
  return bytes.substr(0, count) == start.substr(0, count);
}

std::optional<cluster_greeting> read_cluster_greeting(std::string_view line) {
  if (line.size() != cluster_greeting_bytes || line.back() != '\n' ||
      !may_be_cluster_greeting(line))
    return std::nullopt;
  line.remove_prefix(cluster_greeting_word.size() + 1);
  cluster_greeting said;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), said.version);
  if (error != std::errc{}) return std::nullopt;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  const auto begin = line.find_first_not_of(' ');
  const auto last = line.find_last_not_of(" \n");
  if (begin != std::string_view::npos && last != std::string_view::npos && begin <= last)
    said.release = one_line(line.substr(begin, last + 1 - begin), cluster_greeting_bytes);
  return said;
}

std::string why_not_together(const cluster_greeting& broker, const cluster_greeting& worker) {
  if (broker.version == worker.version) return {};
  return "the broker is ropewalk " + broker.release + " and the worker ropewalk " + worker.release +
         ", which do not understand each other (cluster protocols " +
         std::to_string(broker.version) + " and " + std::to_string(worker.version) +
         "); run the same release on both";
}

} // namespace ropewalk
