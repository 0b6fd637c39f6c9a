#include "net/client/reconnecting_client.hpp"

#include <algorithm>
#include <thread>

namespace ropewalk {

std::chrono::milliseconds reconnect_backoff::next() {
  const auto whole = std::min(next_, max_);
  next_ = std::min(whole * 2, max_);
  std::uniform_int_distribution<std::int64_t> some{whole.count() / 2, whole.count()};
  return std::chrono::milliseconds{some(random_)};
}

reconnecting_client::reconnecting_client(connector connect, const reconnect_settings& settings,
                                         std::uint64_t seed)
    : connect_(std::move(connect)), settings_(settings), backoff_(settings, seed) {}

result<void> reconnecting_client::connect() {
  const auto end = std::chrono::steady_clock::now() + settings_.give_up_after;
  while (!connection_) {
    auto made = connect_();
    ++tries_;
    if (made) {
      connected_at_ = std::chrono::steady_clock::now();
      made->continue_ids_after(last_id_);
      connection_.emplace(*std::move(made));
      break;
    }
    why_lost_ = made.why().text();
    const bool may_come_back =
        made.why().kind == failure_kind::unavailable || made.why().kind == failure_kind::exhausted;
    const auto pause = backoff_.next();
    if (!may_come_back || std::chrono::steady_clock::now() + pause > end)
      return std::move(made).why();
    std::this_thread::sleep_for(pause);
  }
  return {};
}

std::uint64_t reconnecting_client::send(std::string_view service, const shared_bytes& payload,
                                        const request_options& options) {
  if (!connect()) {
    lost_.push_back(++last_id_);
    return last_id_;
  }
  last_id_ = connection_->send(service, payload, options);
  unanswered_.insert(last_id_);
  return last_id_;
}

std::optional<client_answer> reconnecting_client::wait(std::chrono::milliseconds timeout) {
  if (connection_ && lost_.empty()) {
    if (auto answer = connection_->wait(timeout)) {
      unanswered_.erase(answer->id);
      backoff_.reset(); // this broker does answer
      return answer;
    }
    if (!connection_->closed()) return std::nullopt;
    leave(connection_->why_closed());
  }
  if (lost_.empty()) return std::nullopt;
  const auto id = lost_.front();
  lost_.pop_front();
  return client_answer{id, error_code::connection_lost, shared_bytes::copy_of(why_lost_), 0};
}

client_answer reconnecting_client::call(std::string_view service, std::string_view payload,
                                        const request_options& options) {
  const auto id = send(service, shared_bytes::borrow(payload), options);
  while (auto answer = wait(std::chrono::hours{24}))
    if (answer->id == id) return *answer;
  return {id, error_code::connection_lost, shared_bytes::copy_of(why_lost_), 0};
}

void reconnecting_client::leave(std::string why) {
  connection_.reset();
  why_lost_ = std::move(why);
  lost_.insert(lost_.end(), unanswered_.begin(), unanswered_.end());
  unanswered_.clear();
}

} // namespace ropewalk
