#include "net/sockets/basp_door.hpp"

#include "net/sockets/basp_scribe.hpp"
#include "net/tcp/socket.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/middleman_actor_impl.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/doorman_impl.hpp>

namespace ropewalk {

namespace {

// Long enough for a network in trouble, short enough for a node that looks for its broker.
constexpr std::chrono::milliseconds connect_patience{3000};

class basp_doorman final : public caf::io::network::doorman_impl {
public:
  using doorman_impl::doorman_impl;

  bool new_connection() override {
    if (detached()) return false;
    auto& loop = acceptor_.backend();
    auto scribe = caf::make_counted<basp_scribe>(loop, acceptor_.accepted_socket());
    const auto hdl = scribe->hdl();
    parent()->add_scribe(std::move(scribe));
    return doorman::new_connection(&loop, hdl);
  }
};

class door final : public caf::io::middleman_actor_impl {
public:
  using middleman_actor_impl::middleman_actor_impl;
  const char* name() const override { return "basp-door"; }

protected:
  caf::expected<caf::io::scribe_ptr> connect(const std::string& host, std::uint16_t port) override {
    auto result = connect_tcp({host, port}, connect_patience);
    if (auto* error = std::get_if<socket_error>(&result))
      return caf::make_error(caf::sec::cannot_connect_to_node, std::move(error->what));
    return caf::io::scribe_ptr{
        caf::make_counted<basp_scribe>(loop(), std::get<descriptor>(result).release())};
  }

  caf::expected<caf::io::doorman_ptr> open(std::uint16_t port, const char* addr, bool) override {
    auto result = listen_tcp({addr ? addr : "127.0.0.1", port});
    if (auto* error = std::get_if<socket_error>(&result))
      return caf::make_error(caf::sec::cannot_open_port, std::move(error->what));
    return caf::io::doorman_ptr{
        caf::make_counted<basp_doorman>(loop(), std::get<descriptor>(result).release())};
  }

private:
  caf::io::network::default_multiplexer& loop() {
    return static_cast<caf::io::network::default_multiplexer&>(system().middleman().backend());
  }
};

} // namespace

caf::actor spawn_basp_door(caf::actor_system& system) {
  auto basp = system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"));
  return caf::actor_cast<caf::actor>(
      system.spawn<door, caf::detached + caf::hidden>(std::move(basp)));
}

} // namespace ropewalk
