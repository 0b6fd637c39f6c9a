#include "actors/broker/sessions/access_list.hpp"
#include "apps/ropewalk/commands.hpp"

#include "net/transport/socket.hpp"

#include <cerrno>
#include <CLI/CLI.hpp>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

/// `ropewalk token`: what a client shows a broker that has no certificates for clients.
namespace ropewalk {

namespace {

struct token_options {
  std::string name;
  std::string services = "*";
  std::string to;
};

// For its owner's eyes from its first byte on; a file that is there is not written over.
result<void> write_secret(const std::string& path, const std::string& secret) {
  const descriptor file{
      ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR)};
  if (!file.valid())
    return failure{failure_kind::unavailable, "cannot make " + path + ": " + std::strerror(errno),
                   errno == EEXIST ? "choose another name, or remove it first" : ""};
  if (::write(file.get(), secret.data(), secret.size()) == static_cast<ssize_t>(secret.size()) &&
      ::fsync(file.get()) == 0)
    return {};
  const std::string why = std::strerror(errno);
  ::unlink(path.c_str());
  return failure{failure_kind::unavailable, "cannot write " + path + ": " + why, {}};
}

int run_token(const token_options& o) {
  const auto made = make_token();
  if (!made) {
    std::cerr << "ropewalk token: " << made.why().text() << '\n';
    return 1;
  }
  if (!o.to.empty()) {
    if (const auto written = write_secret(o.to, made->token + '\n'); !written) {
      std::cerr << "ropewalk token: " << written.why().text() << '\n';
      return 1;
    }
  }
  // The line for the broker's file goes to stderr, so that stdout can become the client's file.
  std::cerr << "# for the broker's --access-file:\n"
            << o.name << ' ' << made->secret << ' ' << o.services << '\n';
  if (!o.to.empty()) return 0;
  std::cout << made->token << std::endl;
  if (std::cout) return 0;
  std::cerr << "ropewalk token: cannot write the token to stdout; is the disk full? Do not use the "
               "line above.\n";
  return 1;
}

} // namespace

command_action add_token(CLI::App& app) {
  auto o = std::make_shared<token_options>();
  app.add_option("name", o->name, "whose it is")->required();
  app.add_option(
         "--services", o->services,
         "which services it is for: NAME,NAME or * for all; with @status among them it shows all "
         "numbers (/metrics, STATUS, the page), as * does; with @admin it may drain nodes and "
         "pause "
         "services")
      ->capture_default_str();
  app.add_option(
      "--to", o->to,
      "write the token to this new file, which only its owner can read, and not to stdout");
  return [o] { return run_token(*o); };
}

} // namespace ropewalk
