#include "actors/broker/sessions/write_pressure.hpp"

#include "actors/broker/sessions/client_list.hpp"
#include "actors/settings/units.hpp"
#include "net/protocol/limits.hpp"

#include <algorithm>

namespace ropewalk {

namespace {

// How long a client may take to notice that its connection is being closed.
constexpr milliseconds closing_time{2000};

} // namespace

void write_pressure::flush(session& s, instant now) {
  s.connection->flush();
  if (s.http && s.http->ended() && s.http->idle() && s.is(session_state::open))
    sessions_.begin_closing(s, now);
  if (s.connection->input_ended() && !s.is(session_state::leaving)) {
    const bool all_said =
        s.is(session_state::closing) || (dispatcher_.requests_of(s.id) == 0 && s.statuses_due == 0);
    if (all_said) sessions_.begin_leaving(s, now);
  }
  if (s.is(session_state::leaving) && close_if_all_arrived(s, now)) return;
  sessions_.count_unread(s);
  const bool may_be_slow = s.is(session_state::open) || s.is(session_state::half_closed);
  if (!may_be_slow || s.slow || s.unread_bytes <= share()) return;
  s.slow = true;
  (void)note_progress(s, now);
  s.since = now;
  sessions_.watch(s);
  sessions_.update_reading(s);
}

void write_pressure::sweep(instant now) {
  auto watched = std::exchange(sessions_.watched(), {});
  std::erase_if(watched, [&](connection_id id) {
    auto* s = sessions_.find(id);
    return !s || !sweep_one(*s, now);
  });
  auto& fresh = sessions_.watched();
  fresh.insert(fresh.end(), watched.begin(), watched.end());
}

// True if it is to be looked at again.
bool write_pressure::sweep_one(session& s, instant now) {
  if (s.is(session_state::closing)) {
    if (now - s.since < closing_time) return true;
    sessions_.close(s, now)->cut_off();
    return false;
  }
  if (s.is(session_state::leaving) && close_if_all_arrived(s, now)) return false;
  if (!note_progress(s, now) && now - s.since >= limits_.unread_answers_time) {
    end_for_unread(s,
                   "it has read none of its answers for " +
                       duration_text(limits_.unread_answers_time) + " (--unread-answers-time)",
                   now);
    return false;
  }
  sessions_.count_unread(s);
  if (s.is(session_state::leaving) || s.unread_bytes > share() / 2) return true;
  s.slow = false;
  s.watched = false;
  sessions_.update_reading(s);
  return false;
}

// What waits for an earlier line's answer is not the client's to take.
bool write_pressure::note_progress(session& s, instant now) const {
  const auto& out = s.connection->output();
  const auto taken = out.sent() - s.connection->unacknowledged();
  const bool waits_for_others = out.empty() && !s.is(session_state::leaving);
  if (taken == s.taken_then && !waits_for_others) return false;
  s.taken_then = taken;
  s.since = now;
  return true;
}

// Its place is given back when the last byte has arrived, and not when it has left: else who reads
// a byte now and then would hold memory and descriptors that are counted nowhere.
bool write_pressure::close_if_all_arrived(session& s, instant now) {
  if (!s.connection->output().empty() || s.connection->unacknowledged() > 0) return false;
  sessions_.close(s, now)->close();
  return true;
}

// What it had waiting is taken back, and nobody is asked: who is called because of it wants to know
// whose program that is.
void write_pressure::end_for_unread(session& s, std::string_view why, instant now) {
  ++cut_off_;
  sessions_.count_unread(s);
  const auto unread = s.unread_bytes;
  log_fields fields{
      {"client", s.connection->address()},
      {"unread", size_text(unread - (unread < limits::kib ? 0 : unread % limits::kib))}};
  if (auto who = who_is(s); !who.empty()) fields.emplace_back("who", std::move(who));
  log_.warn(now, "a client is cut off, and its requests are taken back: " + std::string{why},
            std::move(fields));
  sessions_.close(s, now)->cut_off();
}

// What one client may leave unread: the less, the more all of them have left.
std::uint64_t write_pressure::share() const {
  const auto left =
      limits_.answers_memory - std::min(limits_.answers_memory, sessions_.unread_bytes());
  return std::min(limits_.unread_answers, std::max(limits::min_unread_answers_bytes, left / 4));
}

// Who was answered in this turn has not been sent that yet, and so has left nothing of it unread. (A
// reply as large as the budget would else be the end of who asked for it, if it came in the turn of a
// sweep.)
void write_pressure::enforce_budget(instant now) {
  if (sessions_.unread_bytes() <= limits_.answers_memory) return;
  std::uint64_t unsent = 0;
  sessions_.for_each([&](const session& s) { unsent += s.dirty ? s.unread_bytes : 0; });
  while (sessions_.unread_bytes() > limits_.answers_memory + unsent) {
    session* worst = nullptr;
    sessions_.for_each([&](session& s) {
      if (!s.dirty && (!worst || s.unread_bytes > worst->unread_bytes)) worst = &s;
    });
    if (!worst || worst->unread_bytes == 0) return;
    end_for_unread(
        *worst, "it has left most unread, and the memory for answers (--answers-memory) is used up",
        now);
  }
}

} // namespace ropewalk
