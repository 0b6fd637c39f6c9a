#include "actors/broker/sessions/event_stream.hpp"

#include "actors/admin/page_events.hpp"
#include "net/http/http_response.hpp"

#include <algorithm>
#include <map>

namespace ropewalk {

namespace {

// So many events in a row that a listener did not take: half a minute of them, or more.
constexpr std::uint32_t max_missed = 30;

// A proxy (nginx) is not to collect them.
constexpr std::string_view stream_fields = "X-Accel-Buffering: no\r\n";

} // namespace

// The texts of one round, each made when it is first asked for.
class event_stream::round {
public:
  round(const broker_report& all, const load_points& history, instant now)
      : all_(all), history_(history), now_(now) {}

  const shared_bytes& status() {
    if (status_.empty()) status_ = shared_bytes::copy_of(status_event(all_));
    return status_;
  }

  // The points that one has not had who is to have this one next; nothing: there are none.
  const shared_bytes& points_from(std::uint64_t next) {
    auto [text, fresh] = points_.try_emplace(next);
    const auto first = history_.next - history_.list.size();
    if (fresh && next < history_.next) {
      const auto had = std::max(next, first) - first;
      const std::vector<load_point> wanted{history_.list.begin() + static_cast<std::ptrdiff_t>(had),
                                           history_.list.end()};
      text->second = shared_bytes::copy_of(points_event(wanted, now_));
    }
    return text->second;
  }

  [[nodiscard]] std::uint64_t next_point() const { return history_.next; }

private:
  const broker_report& all_;
  const load_points& history_;
  const instant now_;
  shared_bytes status_;
  std::map<std::uint64_t, shared_bytes> points_;
};

bool event_stream::add(session& who, bool http_1_0, std::shared_ptr<const access> as) {
  if (listeners_.size() == max_listeners) return false;
  auto& out = who.connection->output();
  append_http_head(out.tail(), {.content_type = events_type,
                                .more_fields = stream_fields,
                                .keep_alive = false,
                                .http_1_0 = http_1_0,
                                .until_close = true});
  out.append(shared_bytes::copy_of(hello_event(as ? as->name : "", !as || as->may_act, limits_)));
  sessions_.touch(who);
  listeners_.push_back({who.id, std::move(as)});
  due_ = true; // it has waited long enough
  return true;
}

std::uint64_t event_stream::needs_points_from() const {
  auto first = UINT64_MAX;
  for (const auto& one : listeners_) first = std::min(first, one.next_point);
  return first;
}

// The access file may have been read again since it came.
bool event_stream::may_stay(listener& one) const {
  if (!gate_.asks_who()) return true;
  if (!one.as) return false;
  const auto list = gate_.list();
  const auto* now = list->same_as(*one.as);
  if (!now || !now->may_see) return false;
  one.as = {list, now};
  return true;
}

// False if it is not to be spoken to any more.
bool event_stream::send_to(listener& one, round& what, instant now) {
  auto* to = sessions_.find(one.who);
  if (!to || !to->is(session_state::open)) return false;
  if (!may_stay(one)) {
    sessions_.begin_closing(*to, now);
    return false;
  }
  auto& out = to->connection->output();
  if (one.greeted && (!out.empty() || to->connection->unacknowledged() > 0)) {
    if (++one.missed < max_missed) return true;
    sessions_.close(*to, now)->cut_off();
    return false;
  }
  one.missed = 0;
  out.append(what.points_from(one.next_point));
  out.append(what.status());
  one.next_point = what.next_point();
  one.greeted = true;
  sessions_.touch(*to);
  return true;
}

void event_stream::send(const broker_report& all, const load_points& history, instant now) {
  due_ = false;
  sent_ = now;
  round what{all, history, now};
  std::erase_if(listeners_, [&](listener& one) { return !send_to(one, what, now); });
}

} // namespace ropewalk
