#pragma once

#include "actors/broker/sessions/session.hpp"
#include "actors/dispatch/dispatcher.hpp"

#include <utility>
#include <vector>

namespace ropewalk {

/// The sessions of the clients that are connected, and what they hold in all. Whoever is here is on
/// the books, of the dispatcher too, from `open` until `close`.
///
/// What was decided for one is carried out for that one or for nobody: it is looked up by an
/// identity that is never another's. A reference stays good until another session is opened, which
/// happens only when the loop accepts a connection: never within the handling of something else.
class session_table {
public:
  explicit session_table(dispatcher& work) : dispatcher_(work) {}

  session& open(std::shared_ptr<client_connection> connection, instant now);

  /// Null if it is gone.
  [[nodiscard]] session* find(connection_id id) {
    if (id.index >= sessions_.size()) return nullptr;
    auto& s = sessions_[id.index];
    return s.connection && s.id == id ? &s : nullptr;
  }

  /// Off the books, and its requests with it. The connection itself is the caller's to end.
  std::shared_ptr<client_connection> close(session& which, instant now);

  // -- what is done with one ------------------------------------------------------------------------

  /// It has something to be written at the end of the turn.
  void touch(session& which) {
    if (!std::exchange(which.dirty, true)) dirty_.push_back(which.id);
  }

  /// Calls `f` with each that was touched, once; from here on they are not any more.
  template <class F>
  void flush_dirty(F&& f) {
    for (std::size_t i = 0; i < dirty_.size(); ++i) // it may grow meanwhile
      if (auto* s = find(dirty_[i])) {
        s->dirty = false;
        f(*s);
      }
    dirty_.clear();
  }
  [[nodiscard]] bool has_dirty() const { return !dirty_.empty(); }

  /// Reads on from it or no more, as its state, its unread answers and its requests say.
  void update_reading(session& which);

  /// It has heard its last word: what is appended is still sent, and then it is to close.
  void begin_closing(session& which, instant now);

  /// It has nothing more to say, and nothing more will be said to it.
  void begin_leaving(session& which, instant now);

  /// Looked at every tick from now on, until somebody clears `watched`.
  void watch(session& which) {
    if (!std::exchange(which.watched, true)) watched_.push_back(which.id);
  }
  [[nodiscard]] std::vector<connection_id>& watched() { return watched_; }

  // -- what they hold -------------------------------------------------------------------------------

  /// Counts what it holds now of a message on its way in, and of answers.
  void count_incoming(session& of, std::uint64_t bytes);
  void count_unread(session& of);

  [[nodiscard]] std::uint64_t incoming_bytes() const { return incoming_bytes_; }
  [[nodiscard]] std::uint64_t unread_bytes() const { return unread_bytes_; }
  [[nodiscard]] std::size_t size() const { return size_; }

  /// Calls `f` with each; it may close the one that it is given.
  template <class F>
  void for_each(F&& f) {
    for (auto& s : sessions_)
      if (s.connection) f(s);
  }
  template <class F>
  void for_each(F&& f) const {
    for (const auto& s : sessions_)
      if (s.connection) f(s);
  }

private:
  dispatcher& dispatcher_;
  std::vector<session> sessions_; // by index; without a connection: free
  std::vector<connection_id> dirty_;
  std::vector<connection_id> watched_;
  std::size_t size_ = 0;
  std::uint64_t incoming_bytes_ = 0;
  std::uint64_t unread_bytes_ = 0;
};

} // namespace ropewalk
