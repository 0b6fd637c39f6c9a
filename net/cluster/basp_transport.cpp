#include "net/cluster/basp_transport.hpp"

#include "net/cluster/acceptor.hpp"
#include "net/cluster/basp_scribe.hpp"
#include "net/cluster/compact_basp.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/cluster/unknown_peers.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/greeted_stream.hpp"
#include "net/transport/socket.hpp"
#include "net/transport/unix_socket.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/middleman_actor_impl.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ropewalk {

namespace {

// Long enough for a network in trouble, short enough for a node that looks for its broker.
constexpr std::chrono::milliseconds connect_timeout{3000};

class basp_doorman final : public caf::io::doorman {
public:
  // `listening`: for TCP, one at least; `beside`: on this machine, none if it is not valid.
  basp_doorman(shared_loop& loop, std::vector<descriptor> listening, descriptor beside,
               const basp_transport_settings& settings)
      : doorman(caf::io::accept_handle::from_int(listening.front().get())), loop_(loop),
        settings_(settings), waiting_(std::make_shared<unknown_peers>(unknown_peers::limits{
                                 limits::node_handshakes, settings_.hello_time})) {
    for (auto& socket : listening)
      add_acceptor(std::move(socket), [this](descriptor accepted, const sockaddr_storage&) {
        if (settings_.own_user) return refuse("it came by TCP, and may be anybody");
        let_in(accepted.release(), {});
      });
    if (beside.valid())
      add_acceptor(std::move(beside), [this](descriptor accepted, const sockaddr_storage&) {
        if (settings_.own_user && !is_trusted(accepted.get()))
          return refuse("it is another user's process");
        let_in_local(accepted.release());
      });
  }

  bool new_connection() override { return true; } // the acceptors let in
  void launch() override {                        // the first that runs on the loop
    timer_ = loop_.take_timer();
    add_to_loop();
  }
  void graceful_shutdown() override { detach(&loop_, false); }

  std::string addr() const override { return where().host; }
  std::uint16_t port() const override { return where().port; }

  void add_to_loop() override {
    for (const auto& one : acceptors_) one->open(this);
  }
  void remove_from_loop() override {
    for (const auto& one : acceptors_) one->remove_from_loop();
  }

private:
  using let_in_function = std::function<void(descriptor, const sockaddr_storage&)>;

  void add_acceptor(descriptor listening, let_in_function let_in) {
    acceptors_.push_back(std::make_unique<acceptor>(
        loop_, std::move(listening),
        acceptor::settings{acceptor::when_exhausted::reject, std::move(let_in),
                           [this] { rejected_one(); }}));
  }

  ropewalk::endpoint where() const { return local_endpoint(acceptors_.front()->fd()); }

  void rejected_one() const {
    refuse("out of file descriptors: who comes is turned away; raise `ulimit -n`");
  }

  void refuse(const char* why) const {
    if (settings_.when_refused) settings_.when_refused(why);
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
    auto connection = detached()         ? nullptr
                      : settings_.server ? settings_.server->current()->accept(fd)
                                         : make_plain_stream(fd);
    if (!connection) {
      ::close(fd);
      return;
    }
    connection = expect_greeting(std::move(connection), settings_.server != nullptr);
    auto scribe = caf::make_counted<basp_scribe>(loop_, std::move(connection), std::move(shared),
                                                 settings_.when_refused);
    const auto hdl = scribe->hdl();
    expect_hello(scribe.get());
    parent()->add_scribe(std::move(scribe));
    doorman::new_connection(&loop_, hdl);
  }

  // The scribe is alive as long as it is among those who wait: it takes itself out.
  void expect_hello(basp_scribe* newcomer) {
    const bool first = waiting_->size() == 0;
    const auto number =
        waiting_->add(std::chrono::steady_clock::now(),
                      [newcomer](const std::string& why) { newcomer->give_up(why); });
    newcomer->when_settled([all = waiting_, number] { all->forget(number); });
    if (first) check_later(loop_, timer_, waiting_);
  }

  static void check_later(shared_loop& loop, shared_loop::timer_id timer,
                          const std::shared_ptr<unknown_peers>& waiting) {
    const auto next = waiting->next_end();
    if (!next) return;
    const auto now = std::chrono::steady_clock::now();
    loop.remind(timer, std::chrono::ceil<std::chrono::microseconds>(std::max(*next, now) - now),
                [&loop, timer, waiting] {
                  waiting->check(std::chrono::steady_clock::now());
                  check_later(loop, timer, waiting);
                });
  }

  shared_loop& loop_;
  // As long as the loop: who waits may do so for longer than this is there.
  shared_loop::timer_id timer_{};
  basp_transport_settings settings_;
  std::vector<std::unique_ptr<acceptor>> acceptors_; // the first one's address is named
  std::shared_ptr<unknown_peers> waiting_;           // scribes may outlive this doorman
};

class basp_transport final : public caf::io::middleman_actor_impl {
public:
  basp_transport(caf::actor_config& config, caf::actor basp, basp_transport_settings settings)
      : middleman_actor_impl(config, std::move(basp)), settings_(std::move(settings)) {}
  const char* name() const override { return "basp-door"; }

protected:
  caf::expected<caf::io::scribe_ptr> connect(const std::string& host, std::uint16_t port) override {
    const ropewalk::endpoint where{host, port};
    if (settings_.local && !settings_.client)
      if (auto scribe = connect_within_machine(where)) return scribe;
    if (settings_.own_user)
      return caf::make_error(caf::sec::cannot_connect_to_node,
                             "no broker of this user has a local socket for " + where.text());
    auto connected = connect_stream(where);
    if (!connected)
      return caf::make_error(caf::sec::cannot_connect_to_node, connected.why().text());
    if (const auto greeted = greet_broker(**connected, connect_timeout); !greeted)
      return caf::make_error(caf::sec::cannot_connect_to_node, greeted.why().text());
    return make_scribe(*std::move(connected), {});
  }

  caf::expected<caf::io::doorman_ptr> open(std::uint16_t port, const char* addr, bool) override {
    const auto cannot = [](const failure& why) {
      return caf::make_error(caf::sec::cannot_open_port, why.text());
    };
    const auto addresses = listening_addresses({addr ? addr : "127.0.0.1", port});
    if (!addresses) return cannot(addresses.why());
    std::vector<descriptor> listening;
    for (const auto& address : *addresses) {
      auto socket = listen_tcp(address);
      if (!socket) return cannot(socket.why());
      listening.push_back(*std::move(socket));
    }
    descriptor beside;
    if (settings_.local && !settings_.server) {
      auto local = listen_local(local_endpoint(listening.front().get()));
      if (local)
        beside = *std::move(local);
      else if (settings_.own_user)
        return cannot(local.why());
    }
    return caf::io::doorman_ptr{caf::make_counted<basp_doorman>(loop(), std::move(listening),
                                                                std::move(beside), settings_)};
  }

private:
  result<std::unique_ptr<stream>> connect_stream(const ropewalk::endpoint& where) const {
    if (settings_.client) return connect_tls(where, *settings_.client, connect_timeout);
    auto connected = connect_tcp(where, connect_timeout);
    if (!connected) return std::move(connected).why();
    return make_plain_stream(*std::move(connected));
  }

  // Null: there is no local socket, or none that is to be trusted.
  caf::io::scribe_ptr connect_within_machine(const ropewalk::endpoint& where) {
    auto socket = connect_local(where);
    if (!socket) return nullptr;
    const auto memory = take_descriptor(socket->get(), connect_timeout);
    if (!memory) return nullptr;
    auto connection = make_plain_stream(*std::move(socket));
    if (!greet_broker(*connection, connect_timeout)) return nullptr; // TCP will say why
    return make_scribe(std::move(connection), map_rings(*memory, false));
  }

  caf::io::scribe_ptr make_scribe(std::unique_ptr<stream> connection, std::optional<rings> shared) {
    connection->disown(); // the scribe closes it
    if (settings_.when_connected) settings_.when_connected(connection->fd());
    return caf::make_counted<basp_scribe>(loop(), std::move(connection), std::move(shared));
  }

  shared_loop& loop() { return shared_loop::of(system()); }

  basp_transport_settings settings_;
};

} // namespace

caf::actor spawn_basp_transport(caf::actor_system& system, basp_transport_settings settings) {
  auto& basp = compact_basp::of(system);
  basp.use(settings.forms);
  return caf::actor_cast<caf::actor>(system.spawn<basp_transport, caf::detached + caf::hidden>(
      caf::actor_cast<caf::actor>(basp.ctrl()), std::move(settings)));
}

} // namespace ropewalk
