#pragma once

#include "actors/broker/session.hpp"

#include <cassert>
#include <utility>
#include <vector>

namespace ropewalk {

/// The sessions of the clients that are connected. What was decided for one is carried out for that
/// one or for nobody: it is looked up by an identity that is never another's.
///
/// A reference stays good until another session is opened, which happens only when the loop accepts
/// a connection: never within the handling of something else.
class session_table {
public:
  /// The session of a connection that has just come; its identity is the dispatcher's.
  session& open(connection_id id) {
    if (id.index >= sessions_.size()) sessions_.resize(id.index + 1);
    auto& s = sessions_[id.index];
    assert(!s.scribe);
    s = session{};
    s.id = id;
    return s;
  }

  /// Null if it is gone.
  [[nodiscard]] session* find(connection_id id) {
    if (id.index >= sessions_.size()) return nullptr;
    auto& s = sessions_[id.index];
    return s.scribe && s.id == id ? &s : nullptr;
  }

  void close(session& which) { which = session{}; }

  /// Calls `f` with each; it may close the one that it is given.
  template <class F>
  void for_each(F&& f) {
    for (auto& s : sessions_)
      if (s.scribe) f(s);
  }
  template <class F>
  void for_each(F&& f) const {
    for (const auto& s : sessions_)
      if (s.scribe) f(s);
  }

private:
  std::vector<session> sessions_; // by index; without a scribe: free
};

} // namespace ropewalk
