#pragma once

#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

/// Handlers that stay up (`exec:`), of which tests/cluster/handler.py is one that does what it is
/// told, well or badly.
namespace ropewalk {

inline std::string handler(const std::string& options = {}) {
  return "h=exec:python3 " ROPEWALK_SOURCE_DIR "/tests/cluster/handler.py " + options;
}

inline std::vector<std::string> node_of(std::vector<std::string> options,
                                        const std::string& handler_options = {}) {
  options.insert(options.begin(), {"--service", handler(handler_options)});
  return options;
}

inline std::string text(const std::optional<client_answer>& answer) {
  if (!answer) return "no answer";
  return std::string{name_of(answer->code)} + " " + std::string{answer->payload.view()};
}

inline std::string ask(client& connection, std::string_view message,
                       const request_options& options = {}) {
  const auto answer = connection.call("h", message, options);
  return text(answer);
}

// Waits until a handler answers.
inline client ready_client(cluster& c, std::size_t nodes = 1) {
  REQUIRE(c.has_nodes(nodes));
  auto connection = c.connect();
  REQUIRE(ask(connection, "echo ready") == "OK ready");
  return connection;
}

inline std::vector<pid_t> keepers_of(const process& node) {
  return children_of(node.pid());
}

// What starts programs for a node: the child of the one that keeps it.
inline std::vector<pid_t> spawners_of(const process& node) {
  std::vector<pid_t> result;
  for (const auto keeper : keepers_of(node))
    for (const auto pid : children_of(keeper)) result.push_back(pid);
  return result;
}

inline std::vector<pid_t> handlers_of(const process& node) {
  std::vector<pid_t> result;
  for (const auto spawner : spawners_of(node))
    for (const auto pid : children_of(spawner)) result.push_back(pid);
  return result;
}

inline std::size_t occurrences(const std::string& text, std::string_view word) {
  std::size_t count = 0;
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

} // namespace ropewalk
