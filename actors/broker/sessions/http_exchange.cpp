#include "actors/broker/sessions/http_exchange.hpp"

#include "net/http/http_response.hpp"

#include <cassert>
#include <utility>

namespace ropewalk {

std::uint64_t http_exchange::begin(asked what) {
  assert(!ended_);
  if (!what.keep_alive) ended_ = true;
  waiting_.push_back({std::move(what), {}, false});
  kept_bytes_ += cost_of_keeping;
  return first_ + waiting_.size() - 1;
}

http_exchange::request* http_exchange::at(std::uint64_t number) {
  if (number < first_ || number - first_ >= waiting_.size()) return nullptr;
  auto& found = waiting_[static_cast<std::size_t>(number - first_)];
  return found.done ? nullptr : &found;
}

const http_exchange::asked* http_exchange::find(std::uint64_t number) const {
  const auto* found = const_cast<http_exchange*>(this)->at(number);
  return found ? &found->what : nullptr;
}

void http_exchange::finish(std::uint64_t number, answer what) {
  auto* to = at(number);
  if (!to) return;
  to->said = std::move(what);
  if (!to->what.traceparent.empty())
    to->said.more_fields += "traceparent: " + to->what.traceparent + "\r\n";
  if (number != first_) to->said.body = to->said.body.own(); // the next one leaves at once
  to->done = true;
  kept_bytes_ += to->said.body.size();
}

void http_exchange::write(outbox& out) {
  while (!waiting_.empty() && waiting_.front().done) {
    const auto& [what, said, done] = waiting_.front();
    const bool last = ended_ && waiting_.size() == 1;
    append_http_head(out.tail(), {said.status, said.content_type, said.more_fields,
                                  said.body.size(), !last, what.http_1_0});
    if (!what.head) out.append(said.body);
    kept_bytes_ -= said.body.size() + cost_of_keeping;
    waiting_.pop_front();
    ++first_;
  }
  if (waiting_.empty() && std::exchange(body_called_, false))
    append_http_head(out.tail(), {.status = 100});
}

} // namespace ropewalk
