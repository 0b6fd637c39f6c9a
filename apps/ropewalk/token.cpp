#include "actors/broker/sessions/access_list.hpp"
#include "apps/ropewalk/commands.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

/// `ropewalk token`: what a client shows a broker that has no certificates for clients.
namespace ropewalk {

namespace {

struct token_options {
  std::string name;
  std::string services = "*";
};

int run_token(const token_options& o) {
  const auto made = make_token();
  if (!made) {
    std::cerr << "ropewalk token: " << made.why().text() << '\n';
    return 1;
  }
  // The line for the broker's file goes to stderr, so that stdout can become the client's file.
  std::cerr << "# for the broker's --access-file:\n"
            << o.name << ' ' << made->secret << ' ' << o.services << '\n';
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
  app.add_option("--services", o->services, "which services it is for: NAME,NAME or * for all")
      ->capture_default_str();
  return [o] { return run_token(*o); };
}

} // namespace ropewalk
