#include "net/sockets/hangup_watch.hpp"

#include <utility>

namespace ropewalk {

void hangup_watch::close() {
  watched_.clear();
  if (const auto polls = std::exchange(polls_, nullptr)) polls->close();
}

void hangup_watch::watch(int socket, std::function<void()> tell) {
  forget(socket);
  if (!polls_) return;
  // No events: errors and hang-ups are always told.
  const auto id = polls_->watch(socket, 0, [this, socket, tell = std::move(tell)](std::uint32_t) {
    forget(socket);
    tell(); // may be the end of this
  });
  if (id != 0) watched_[socket] = id;
}

void hangup_watch::forget(int socket) {
  const auto found = watched_.find(socket);
  if (found == watched_.end()) return;
  auto id = found->second;
  watched_.erase(found);
  polls_->forget(id);
}

} // namespace ropewalk
