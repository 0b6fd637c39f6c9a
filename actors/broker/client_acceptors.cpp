#include "actors/broker/client_acceptors.hpp"

#include "actors/time/clock.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/sockets/client_doorman.hpp"
#include "net/transport/socket.hpp"

#include <spdlog/spdlog.h>
#include <system_error>

namespace ropewalk {

namespace {

// How long accepting pauses when there is no descriptor left, and how often the log says so.
constexpr milliseconds pause_time{100};
constexpr std::chrono::seconds log_interval{10};

} // namespace

result<void> client_acceptors::open(const settings& s, const std::function<void()>& on_pause) {
  auto& loop = shared_loop::of(owner_.system());
  try {
    hangups_ = std::make_shared<hangup_watch>(loop);
    bulk_ = poll_set::open(loop, std::chrono::microseconds{limits::bulk_time_us});
  } catch (const std::system_error& e) {
    return failure{failure_kind::unavailable, "cannot watch connections: " + e.code().message(),
                   "raise `ulimit -n`"};
  }
  for (const auto& address : s.listen)
    if (auto opened = open_one(address, false, s, on_pause); !opened) return opened;
  for (const auto& address : s.http)
    if (auto opened = open_one(address, true, s, on_pause); !opened) return opened;
  return {};
}

result<void> client_acceptors::open_one(const endpoint& address, bool http, const settings& s,
                                        const std::function<void()>& on_pause) {
  auto opened = listen_tcp(address, s.shared_ports ? port_use::shared : port_use::alone);
  if (!opened) return std::move(opened).why();
  auto fd = *std::move(opened);
  addresses_.push_back(local_endpoint(fd.get()).text());
  const auto handle = caf::io::accept_handle::from_int(fd.get());
  client_acceptor_settings acceptor;
  acceptor.max_message_bytes = s.max_message_bytes;
  acceptor.http = http;
  acceptor.hangups = hangups_;
  acceptor.bulk = bulk_;
  acceptor.admit = [this](const sockaddr_storage& peer) { return admit(peer); };
  acceptor.speak = [this](int accepted) { return clients_.gate().speak(accepted); };
  acceptor.on_descriptors_exhausted = [this, handle, on_pause] {
    out_of_descriptors(handle);
    on_pause();
  };
  auto doorman = caf::make_counted<client_doorman>(shared_loop::of(owner_.system()), fd.release(),
                                                   std::move(acceptor));
  doormen_.push_back(doorman);
  owner_.add_doorman(std::move(doorman));
  return {};
}

void client_acceptors::close() {
  doormen_.clear();
  if (hangups_) hangups_->close();
  if (bulk_) bulk_->close();
}

void client_acceptors::stop_listening() {
  for (const auto& doorman : std::exchange(doormen_, {})) {
    while (!doorman->detached() && doorman->accept_waiting()) {
    }
    if (!doorman->detached()) doorman->graceful_shutdown();
  }
  paused_.clear();
}

std::shared_ptr<void> client_acceptors::admit(const sockaddr_storage& peer) {
  if (auto permit = census_->admit(client_access::address_of(peer)))
    return std::make_shared<connection_limiter::permit>(std::move(*permit));
  clients_.rejections().connection(
      clock_now(), "too many connections: a new one is closed; raise --connections or "
                   "--connections-per-address if they are meant to be so many");
  return nullptr;
}

// No descriptor for another client: those that are there go on, the others wait in the backlog.
void client_acceptors::out_of_descriptors(caf::io::accept_handle which) {
  const auto now = clock_now();
  if (paused_.empty() && now - last_paused_ > log_interval)
    spdlog::error("out of file descriptors at {} clients: new ones wait until some leave; raise "
                  "`ulimit -n`",
                  clients_.size());
  last_paused_ = now;
  paused_.push_back(which);
}

void client_acceptors::resume(instant now) {
  if (now - last_paused_ < pause_time) return;
  for (const auto& handle : std::exchange(paused_, {})) owner_.trigger(handle);
}

} // namespace ropewalk
