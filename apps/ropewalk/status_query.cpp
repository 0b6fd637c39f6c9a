#include "apps/ropewalk/status_query.hpp"

#include "actors/log/background_thread.hpp"
#include "net/transport/socket.hpp"

#include <condition_variable>
#include <mutex>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace ropewalk {

namespace {

constexpr std::chrono::seconds answer_timeout{5};

} // namespace

result<std::string> status_query::ask() {
  if (!connection_) {
    auto connected = connect(to_);
    if (!connected) return std::move(connected).why();
    connection_ = *std::move(connected);
  }
  connection_->send_status(about_);
  const auto answer = connection_->wait(answer_timeout);
  if (!answer) {
    auto why = no_answer_of(*connection_);
    connection_.reset();
    return why;
  }
  if (answer->code == error_code::ok) return std::string{answer->payload.view()};
  connection_.reset();
  auto why = std::string{name_of(answer->code)} + ": " + std::string{answer->payload.view()};
  if (answer->code == error_code::unauthorized && to_.token_file.empty())
    why += " (--token-file FILE, of `ropewalk token`)";
  return failure{failure_kind::refused, std::move(why), {}};
}

failure status_query::no_answer_of(const client& connection) const {
  if (connection.refused()) return {failure_kind::refused, connection.why_closed(), {}};
  return {failure_kind::unavailable,
          "no answer from " + to_.broker + " within 5 s" +
              (connection.closed() ? ": " + connection.why_closed() : std::string{}),
          {}};
}

failure not_understood(const std::string& broker) {
  return {failure_kind::refused,
          "what the broker at " + broker + " says is not understood: it is of another release",
          "use the `ropewalk` of that release"};
}

// -- again and again ----------------------------------------------------------------------------------

struct status_feed::shared {
  descriptor ready{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex; // of all below
  std::condition_variable changed;
  std::optional<result<std::string>> said;
  std::chrono::milliseconds interval{};
  bool asked = false;
  bool ended = false;
};

status_feed::status_feed(status_query query, std::chrono::milliseconds every)
    : shared_(std::make_shared<shared>()) {
  shared_->interval = every;
  start_background_thread(
      [query = std::move(query), with = shared_]() mutable { work(std::move(query), with); });
}

status_feed::~status_feed() {
  const std::lock_guard lock{shared_->mutex};
  shared_->ended = true;
  shared_->changed.notify_all();
}

void status_feed::work(status_query query, const std::shared_ptr<shared>& with) {
  for (;;) {
    const auto begin = std::chrono::steady_clock::now();
    auto said = query.ask();
    std::unique_lock lock{with->mutex};
    with->said = std::move(said);
    const std::uint64_t one = 1;
    (void)!::write(with->ready.get(), &one, sizeof one);
    // What is set meanwhile holds at once.
    while (!with->ended && !with->asked &&
           with->changed.wait_until(lock, begin + with->interval) == std::cv_status::no_timeout) {
    }
    with->asked = false;
    if (with->ended) return;
  }
}

int status_feed::fd() const {
  return shared_->ready.get();
}

std::optional<result<std::string>> status_feed::take() {
  const std::lock_guard lock{shared_->mutex};
  std::uint64_t count = 0;
  (void)!::read(shared_->ready.get(), &count, sizeof count);
  return std::exchange(shared_->said, std::nullopt);
}

void status_feed::set_interval(std::chrono::milliseconds every) {
  const std::lock_guard lock{shared_->mutex};
  shared_->interval = every;
  shared_->changed.notify_all();
}

void status_feed::ask_now() {
  const std::lock_guard lock{shared_->mutex};
  shared_->asked = true;
  shared_->changed.notify_all();
}

} // namespace ropewalk
