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

} // namespace ropewalk
