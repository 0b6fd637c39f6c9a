#pragma once

#include <caf/io/network/event_handler.hpp>
#include <memory>

namespace ropewalk {

class shared_loop;

/// A descriptor at the event loop, and what is to be done when it can be read from. Owns the
/// descriptor. All members run on the loop's thread.
class loop_source : public caf::io::network::event_handler {
public:
  loop_source(shared_loop& loop, int fd);

  /// Between these the loop may call, and this must stay where it is until `on_removed`.
  void add_to_loop();
  void remove_from_loop();

protected:
  virtual void on_readable() = 0;

  /// The descriptor is of no use any more.
  virtual void on_failure() {}

  /// The loop will not call any more: may be the end of this.
  virtual void on_removed() {}

private:
  struct life {};

  void handle_event(caf::io::network::operation op) final;
  void removed_from_loop(caf::io::network::operation op) final;
  void graceful_shutdown() final { remove_from_loop(); }

  bool added_ = false;
  std::shared_ptr<life> life_ = std::make_shared<life>(); // as long as this is there
};

} // namespace ropewalk
