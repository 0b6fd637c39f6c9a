#pragma once

#include <caf/io/doorman.hpp>
#include <caf/io/network/event_handler.hpp>
#include <caf/io/network/native_socket.hpp>
#include <functional>

namespace ropewalk {

/// Accepts clients: every connection becomes a client_scribe of the broker that owns this doorman.
/// CAF's own acceptor would be woken again and again for a connection that it cannot accept.
class client_doorman final : public caf::io::doorman {
public:
  /// Takes over `fd`, a listening socket. `when_starved` is called on the loop's thread when there
  /// is no descriptor left for a connection that waits: accepting has stopped until the broker
  /// calls `trigger` for this doorman, which it should do in a while.
  client_doorman(caf::io::network::default_multiplexer& loop, caf::io::network::native_socket fd,
                 std::size_t max_message_bytes, std::function<void()> when_starved);

  /// Accepts what waits.
  bool new_connection() override;
  void launch() override { events_.start(); }
  void graceful_shutdown() override;
  std::string addr() const override;
  std::uint16_t port() const override;
  void add_to_loop() override { events_.start(); }
  void remove_from_loop() override { events_.passivate(); }

private:
  class events final : public caf::io::network::event_handler {
  public:
    events(caf::io::network::default_multiplexer& loop, caf::io::network::native_socket fd,
           client_doorman& owner)
        : event_handler(loop, fd), owner_(owner) {}
    void handle_event(caf::io::network::operation op) override;
    void removed_from_loop(caf::io::network::operation op) override;
    void graceful_shutdown() override { owner_.graceful_shutdown(); }
    void start();

  private:
    client_doorman& owner_;
    caf::intrusive_ptr<client_doorman> alive_; // while the loop may call
  };

  events events_;
  std::size_t max_message_bytes_;
  std::function<void()> when_starved_;
};

} // namespace ropewalk
