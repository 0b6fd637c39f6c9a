#include "net/cluster/basp_door.hpp"

#include "net/cluster/basp_scribe.hpp"
#include "net/cluster/compact_basp.hpp"
#include "net/transport/socket.hpp"
#include "net/transport/unix_socket.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/middleman_actor_impl.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/event_handler.hpp>
#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <sys/socket.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// Long enough for a network in trouble, short enough for a node that looks for its broker.
constexpr std::chrono::milliseconds connect_patience{3000};

// Connections accepted in one go, before those that are there get their turn.
constexpr int most_at_once = 64;

// A listening socket at which a doorman lets in. CAF's own acceptor would be woken again and again
// for a connection that there is no descriptor for; here such a one is closed, and the node tries
// again later.
class entrance final : public caf::io::network::event_handler {
public:
  entrance(caf::io::network::default_multiplexer& loop, descriptor listening,
           std::function<void(int)> let_in, std::function<void()> when_starved)
      : event_handler(loop, listening.release()), let_in_(std::move(let_in)),
        when_starved_(std::move(when_starved)) {}

  // `keeps_alive` stays as long as the loop may call.
  void open(caf::intrusive_ptr<caf::io::doorman> keeps_alive) {
    alive_ = std::move(keeps_alive);
    activate();
  }

  void handle_event(caf::io::network::operation) override {
    const auto guard = alive_;
    for (int i = 0; guard && i < most_at_once; ++i) {
      const int accepted = accept_one();
      if (accepted >= 0)
        let_in_(accepted);
      else if (!out_of_descriptors(errno) || !turn_away())
        return;
    }
  }
  void removed_from_loop(caf::io::network::operation) override { alive_.reset(); }
  void graceful_shutdown() override { passivate(); }

private:
  int accept_one() const { return ::accept4(fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); }

  bool turn_away() {
    spare_.close();
    const bool away = descriptor{accept_one()}.valid();
    spare_ = open_spare();
    if (away) when_starved_();
    return away;
  }

  static descriptor open_spare() { return descriptor{::open("/dev/null", O_RDONLY | O_CLOEXEC)}; }

  std::function<void(int)> let_in_;
  std::function<void()> when_starved_;
  descriptor spare_ = open_spare();
  caf::intrusive_ptr<caf::io::doorman> alive_;
};

class basp_doorman final : public caf::io::doorman {
public:
  // `listening`: for TCP; `beside`: on this machine, none if it is not valid.
  basp_doorman(caf::io::network::default_multiplexer& loop, descriptor listening, descriptor beside,
               const basp_door_settings& settings)
      : doorman(caf::io::network::accept_hdl_from_socket(listening.get())), settings_(settings),
        entrance_(
            loop, std::move(listening), [this](int fd) { let_in(fd, {}); }, [this] { starved(); }) {
    if (beside.valid())
      beside_ = std::make_unique<entrance>(
          loop, std::move(beside), [this](int fd) { let_in_local(fd); }, [this] { starved(); });
  }

  bool new_connection() override { return true; } // the entrances let in
  void launch() override { add_to_loop(); }
  void graceful_shutdown() override { detach(&entrance_.backend(), false); }

  std::string addr() const override {
    const auto result = caf::io::network::local_addr_of_fd(entrance_.fd());
    return result ? *result : std::string{};
  }
  std::uint16_t port() const override {
    const auto result = caf::io::network::local_port_of_fd(entrance_.fd());
    return result ? *result : std::uint16_t{0};
  }

  void add_to_loop() override {
    entrance_.open(this);
    if (beside_) beside_->open(this);
  }
  void remove_from_loop() override {
    entrance_.passivate();
    if (beside_) beside_->passivate();
  }

private:
  void starved() const {
    if (settings_.when_refused)
      settings_.when_refused(
          "out of file descriptors: who comes is turned away; raise `ulimit -n`");
  }

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

  void let_in(int fd, std::optional<rings> shared) {
    auto& loop = entrance_.backend();
    auto connection = detached()         ? nullptr
                      : settings_.server ? settings_.server->accept(fd)
                                         : make_plain_stream(fd);
    if (!connection) {
      ::close(fd);
      return;
    }
    auto scribe = caf::make_counted<basp_scribe>(loop, std::move(connection), std::move(shared),
                                                 settings_.when_refused);
    const auto hdl = scribe->hdl();
    if (settings_.server) keep_few_waiting(scribe.get());
    parent()->add_scribe(std::move(scribe));
    doorman::new_connection(&loop, hdl);
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
  entrance entrance_;
  std::unique_ptr<entrance> beside_; // null: there is none
  // Alive as long as they are in here; they may outlive this doorman.
  std::shared_ptr<std::vector<basp_scribe*>> shaking_hands_ =
      std::make_shared<std::vector<basp_scribe*>>();
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
    auto connected = connect_stream(where);
    if (!connected)
      return caf::make_error(caf::sec::cannot_connect_to_node, connected.why().text());
    return make_scribe(*std::move(connected), {});
  }

  caf::expected<caf::io::doorman_ptr> open(std::uint16_t port, const char* addr, bool) override {
    auto listening = listen_tcp({addr ? addr : "127.0.0.1", port});
    if (!listening) return caf::make_error(caf::sec::cannot_open_port, listening.why().text());
    auto fd = *std::move(listening);
    descriptor beside;
    if (settings_.local && !settings_.server) {
      auto local = listen_local(local_endpoint(fd.get()));
      if (local) beside = *std::move(local);
    }
    return caf::io::doorman_ptr{
        caf::make_counted<basp_doorman>(loop(), std::move(fd), std::move(beside), settings_)};
  }

private:
  result<std::unique_ptr<stream>> connect_stream(const ropewalk::endpoint& where) const {
    // In BASP the word is the broker's first: whether it takes our certificate is known here.
    if (settings_.client)
      return connect_tls(where, *settings_.client, connect_patience, who_begins::the_peer);
    auto connected = connect_tcp(where, connect_patience);
    if (!connected) return std::move(connected).why();
    return make_plain_stream(*std::move(connected));
  }

  // Null: there is no local socket, or none that is to be trusted.
  caf::io::scribe_ptr connect_within_machine(const ropewalk::endpoint& where) {
    auto socket = connect_local(where);
    if (!socket) return nullptr;
    const auto memory = take_descriptor(socket->get(), connect_patience);
    if (!memory) return nullptr;
    return make_scribe(make_plain_stream(*std::move(socket)), map_rings(*memory, false));
  }

  caf::io::scribe_ptr make_scribe(std::unique_ptr<stream> connection, std::optional<rings> shared) {
    connection->disown(); // the scribe closes it
    if (settings_.when_connected) settings_.when_connected(connection->fd());
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
