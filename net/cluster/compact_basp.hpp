#pragma once

#include "net/cluster/compact_form.hpp"

#include <caf/actor_system.hpp>
#include <caf/behavior.hpp>
#include <caf/io/basp_broker.hpp>
#include <cstdint>
#include <vector>

namespace ropewalk {

/// CAF's BASP, which also speaks compactly of what it is told to: a message of one of its forms
/// goes to its node as a frame with BASP's header (basp_header.hpp), by a flag that BASP does not
/// use, and the values as `compact_form` writes them. Frames of both kinds keep their order. A node
/// of a release that knows no such flag must not be talked to: process_config gives both sides the
/// same application identifier.
class compact_basp final : public caf::io::basp_broker {
public:
  explicit compact_basp(caf::actor_config& config) : basp_broker(config) {}

  static compact_basp& of(caf::actor_system& system);

  /// Before there are peers. The forms' numbers must be the same on both sides.
  void use(compact_forms forms) { forms_ = std::move(forms); }

  const char* name() const override { return "compact-basp"; }

  /// The header and the payload of a frame with the flag have come. False if they make no sense, or
  /// come before hands were shaken.
  [[nodiscard]] bool take(caf::io::connection_handle from, const std::vector<char>& header,
                          receive_lease& payload);

  /// True if hands are shaken with whoever is there.
  [[nodiscard]] bool knows(caf::io::connection_handle whom);

  /// Bytes have come from there: its node lives, however long the message takes.
  void heard_from(caf::io::connection_handle whom);

protected:
  caf::behavior make_behavior() override;

private:
  bool ship(const caf::strong_actor_ptr& to, const caf::message& what);

  compact_forms forms_;
  caf::behavior plainly_;
};

} // namespace ropewalk
