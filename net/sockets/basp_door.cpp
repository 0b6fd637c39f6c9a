#include "net/sockets/basp_door.hpp"

#include "net/sockets/basp_scribe.hpp"
#include "net/sockets/compact_basp.hpp"
#include "net/tcp/local_socket.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/middleman_actor_impl.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/doorman_impl.hpp>
#include <caf/io/network/event_handler.hpp>
#include <functional>
#include <memory>
#include <sys/socket.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// Long enough for a network in trouble, short enough for a node that looks for its broker.
constexpr std::chrono::milliseconds connect_patience{3000};

// Another socket at which a doorman lets in, besides its own.
class side_entrance final : public caf::io::network::event_handler {
public:
  side_entrance(caf::io::network::default_multiplexer& loop, descriptor listening,
                std::function<void(int)> let_in)
      : event_handler(loop, listening.release()), let_in_(std::move(let_in)) {}

  // `keeps_alive` stays as long as the loop may call.
  void start(caf::intrusive_ptr<caf::io::doorman> keeps_alive) {
    alive_ = std::move(keeps_alive);
    activate();
  }

  void handle_event(caf::io::network::operation) override {
    const auto guard = alive_;
    for (int fd = 0; guard && (fd = ::accept4(this->fd(), nullptr, nullptr,
                                              SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
      let_in_(fd);
  }
  void removed_from_loop(caf::io::network::operation) override { alive_.reset(); }
  void graceful_shutdown() override { passivate(); }

private:
  std::function<void(int)> let_in_;
  caf::intrusive_ptr<caf::io::doorman> alive_;
};

class basp_doorman final : public caf::io::network::doorman_impl {
public:
  basp_doorman(caf::io::network::default_multiplexer& loop, caf::io::network::native_socket fd,
               const basp_door_settings& settings, descriptor beside)
      : doorman_impl(loop, fd), settings_(settings) {
    if (beside.valid())
      beside_ = std::make_unique<side_entrance>(loop, std::move(beside),
                                                [this](int accepted) { let_in_local(accepted); });
  }

  bool new_connection() override { return let_in(acceptor_.accepted_socket(), {}); }

  void launch() override {
    doorman_impl::launch();
    if (beside_) beside_->start(this);
  }

  void graceful_shutdown() override {
    if (beside_) beside_->graceful_shutdown();
    doorman_impl::graceful_shutdown();
  }

private:
  // Shares memory with a node that is trusted with it.
  void let_in_local(int fd) {
    widen_local(fd);
    auto memory = is_trusted(fd) ? make_ring_memory() : descriptor{};
    auto shared = map_rings(memory, true);
    if (!shared) memory = {};
    if (give_descriptor(fd, memory))
      let_in(fd, std::move(shared));
    else
      ::close(fd);
  }

  bool let_in(int fd, std::optional<rings> shared) {
    if (detached()) {
      ::close(fd);
      return false;
    }
    auto& loop = acceptor_.backend();
    auto connection = settings_.server ? settings_.server->accept(fd) : make_plain_stream(fd);
    if (!connection) {
      ::close(fd);
      return true;
    }
    auto scribe = caf::make_counted<basp_scribe>(loop, std::move(connection), std::move(shared),
                                                 settings_.when_refused);
    const auto hdl = scribe->hdl();
    if (settings_.server) keep_few_waiting(scribe.get());
    parent()->add_scribe(std::move(scribe));
    return doorman::new_connection(&loop, hdl);
  }

  // Who connects and does not shake hands must not keep workers out: only so many may be at it, the
  // latest ones.
  void keep_few_waiting(basp_scribe* newcomer) {
    if (shaking_hands_->size() == limits::node_handshakes) {
      shaking_hands_->front()->give_up();
      shaking_hands_->erase(shaking_hands_->begin());
    }
    shaking_hands_->push_back(newcomer);
    newcomer->when_settled([all = shaking_hands_, newcomer] { std::erase(*all, newcomer); });
  }

  basp_door_settings settings_;
  // Alive as long as they are in here; they may outlive this doorman.
  std::shared_ptr<std::vector<basp_scribe*>> shaking_hands_ =
      std::make_shared<std::vector<basp_scribe*>>();
  std::unique_ptr<side_entrance> beside_; // null: there is none
};

class door final : public caf::io::middleman_actor_impl {
public:
  door(caf::actor_config& config, caf::actor basp, basp_door_settings settings)
      : middleman_actor_impl(config, std::move(basp)), settings_(std::move(settings)) {}
  const char* name() const override { return "basp-door"; }

protected:
  caf::expected<caf::io::scribe_ptr> connect(const std::string& host, std::uint16_t port) override {
    const ropewalk::endpoint where{host, port};
    if (settings_.local && !settings_.client)
      if (auto scribe = connect_within_machine(where)) return scribe;
    auto result = connect_stream(where);
    if (auto* error = std::get_if<socket_error>(&result))
      return caf::make_error(caf::sec::cannot_connect_to_node, std::move(error->what));
    return make_scribe(std::move(std::get<std::unique_ptr<stream>>(result)), {});
  }

  caf::expected<caf::io::doorman_ptr> open(std::uint16_t port, const char* addr, bool) override {
    auto result = listen_tcp({addr ? addr : "127.0.0.1", port});
    if (auto* error = std::get_if<socket_error>(&result))
      return caf::make_error(caf::sec::cannot_open_port, std::move(error->what));
    auto fd = std::get<descriptor>(std::move(result));
    descriptor beside;
    if (settings_.local && !settings_.server) {
      auto local = listen_local(local_endpoint(fd.get()));
      if (auto* listening = std::get_if<descriptor>(&local)) beside = std::move(*listening);
    }
    return caf::io::doorman_ptr{
        caf::make_counted<basp_doorman>(loop(), fd.release(), settings_, std::move(beside))};
  }

private:
  stream_result connect_stream(const ropewalk::endpoint& where) const {
    if (settings_.client) return connect_tls(where, *settings_.client, connect_patience);
    auto result = connect_tcp(where, connect_patience);
    if (auto* error = std::get_if<socket_error>(&result)) return std::move(*error);
    return make_plain_stream(std::move(std::get<descriptor>(result)));
  }

  // Null: there is no local socket, or none that is to be trusted.
  caf::io::scribe_ptr connect_within_machine(const ropewalk::endpoint& where) {
    auto result = connect_local(where);
    auto* socket = std::get_if<descriptor>(&result);
    if (!socket) return nullptr;
    const auto memory = take_descriptor(socket->get(), connect_patience);
    if (!memory) return nullptr;
    return make_scribe(make_plain_stream(std::move(*socket)), map_rings(*memory, false));
  }

  caf::io::scribe_ptr make_scribe(std::unique_ptr<stream> connection, std::optional<rings> shared) {
    connection->disown(); // the scribe closes it
    return caf::make_counted<basp_scribe>(loop(), std::move(connection), std::move(shared));
  }

  caf::io::network::default_multiplexer& loop() {
    return static_cast<caf::io::network::default_multiplexer&>(system().middleman().backend());
  }

  basp_door_settings settings_;
};

} // namespace

caf::actor spawn_basp_door(caf::actor_system& system, basp_door_settings settings) {
  auto& basp = compact_basp::of(system);
  basp.use(settings.forms);
  return caf::actor_cast<caf::actor>(system.spawn<door, caf::detached + caf::hidden>(
      caf::actor_cast<caf::actor>(basp.ctrl()), std::move(settings)));
}

} // namespace ropewalk
