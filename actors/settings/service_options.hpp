#pragma once

#include "actors/supervise/spawner_wire.hpp"
#include "actors/time/instant.hpp"
#include "net/protocol/result.hpp"

#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

/// What may be said of one service of a node besides its handler. Names, units, bounds, defaults
/// and reasons: service_options.cpp.
struct service_options {
  std::uint32_t slots = 0;     ///< 0: as many as the node has
  std::uint32_t min_slots = 0; ///< of processes that come and go with the load; 0: all, always
  std::uint32_t processes = 0; ///< of a program that stays up; 0: one a slot
  milliseconds timeout{0};     ///< the longest run of a message; 0: until its deadline
  bool retry_failed = false;   ///< FAILED is started again, as often as a lost worker's message
  surroundings around;         ///< of its programs

  // -- of programs that stay up
  enum class channel : std::uint8_t { descriptor, stdio };
  service_options::channel speaks_over = channel::descriptor;
  milliseconds start_timeout{60'000};
  milliseconds stop_timeout{5'000};
  int stop_signal = SIGTERM;
  std::uint64_t recycle_after = 0; ///< requests; 0: never
  milliseconds recycle_age{0};     ///< 0: never
  milliseconds idle_time{30'000};  ///< of one beyond min_slots, before it is ended
  std::uint64_t max_memory = 0;    ///< bytes, of a process with all that it has started; 0: any

  // -- of servers that run already: files, empty where nothing was said
  struct server_access {
    std::string authority; ///< TLS, with a server whose certificate comes from this one
    std::string certificate;
    std::string key;
    std::string token;

    friend bool operator==(const server_access&, const server_access&) = default;
  };
  server_access server;

  friend bool operator==(const service_options&, const service_options&) = default;
};

/// What runs a service's messages: not every option is for each.
enum class runs : std::uint8_t {
  built_in, ///< code of the node
  code,     ///< somebody's code in the node: a library or functions (`lib:`)
  program,  ///< a program, started once a message (`cmd:`)
  process,  ///< a program that stays up (`exec:`)
  server,   ///< a server that runs already (`unix:`, `tcp:`)
};

/// Sets one by its name, as people write it. The failure says what would do. (`user` is looked up
/// on this machine.)
result<void> set_service_option(service_options& in, runs what, std::string_view name,
                                const std::string& value);

/// What may not be said together, or not alone.
result<void> check_service_options(const service_options& all);

[[nodiscard]] std::vector<std::string> service_option_names();

/// All of them: for the help of a command, a line each; or as rows of a table in Markdown.
std::string service_options_usage();
std::string service_options_table();

} // namespace ropewalk
