#include "actors/handlers/server.hpp"

#include "actors/handlers/program_line.hpp"
#include "net/transport/endpoint.hpp"

#include <filesystem>
#include <sys/un.h>

namespace ropewalk {

namespace {

// This program again, whichever it is: one with a worker of its own has the command, too.
program relay_to(const std::string& server) {
  program what;
  what.path = "/proc/self/exe";
  what.arguments = {"ropewalk", "relay", server};
  what.environment = own_environment();
  return what;
}

} // namespace

result<program> parse_unix_server(const std::string& path) {
  if (path.empty())
    return failure{failure_kind::bad_input,
                   "'unix:' wants the path of a server's socket, such as unix:/run/score.sock",
                   {}};
  const auto whole = std::filesystem::absolute(path).string();
  if (whole.size() >= sizeof(sockaddr_un::sun_path))
    return failure{failure_kind::bad_input,
                   "the path of 'unix:" + path + "' is over " +
                       std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes",
                   "a socket cannot have such a name; take a shorter one"};
  return relay_to("unix:" + whole);
}

result<program> parse_tcp_server(const std::string& address) {
  if (!parse_endpoint(address))
    return failure{failure_kind::bad_input,
                   "'tcp:" + address + "' is no address of a server, such as tcp:localhost:9000",
                   {}};
  return relay_to("tcp:" + address);
}

void secure_relay(program& relay, const std::string& authority, const std::string& certificate,
                  const std::string& key, const std::string& token) {
  const auto add = [&](const char* option, const std::string& path) {
    if (!path.empty()) relay.arguments.insert(relay.arguments.end(), {option, path});
  };
  add("--tls-ca", authority);
  add("--tls-cert", certificate);
  add("--tls-key", key);
  add("--token-file", token);
}

std::string unix_server_usage() {
  return "unix:PATH";
}

std::string tcp_server_usage() {
  return "tcp:HOST:PORT";
}

} // namespace ropewalk
