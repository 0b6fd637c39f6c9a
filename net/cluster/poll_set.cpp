#include "net/cluster/poll_set.hpp"

#include "net/cluster/checked_cast.hpp"
#include "net/cluster/new_fd.hpp"
#include "net/cluster/shared_loop.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace ropewalk {

namespace {

constexpr int most_at_a_time = 64;

} // namespace

poll_set::poll_set(shared_loop& loop, budget turn)
    : loop_source(loop, new_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")), turn_(turn) {}

std::shared_ptr<poll_set> poll_set::open(shared_loop& loop, budget turn) {
  auto result = std::make_shared<poll_set>(loop, turn);
  result->alive_ = result;
  result->add_to_loop();
  return result;
}

void poll_set::close() {
  watched_.clear();
  again_.clear();
  look_ = {};
  if (timer_ >= 0) ::close(std::exchange(timer_, -1));
  remove_from_loop();
}

void poll_set::on_removed() {
  const auto last = std::move(alive_); // may be the end of this
}

poll_set::id poll_set::watch(int descriptor, std::uint32_t events,
                             std::function<void(std::uint32_t)> what) {
  const auto result = ++last_id_;
  epoll_event event{};
  event.events = events;
  event.data.u64 = result;
  if (::epoll_ctl(fd(), EPOLL_CTL_ADD, descriptor, &event) != 0) return 0;
  watched_[result] = {
      descriptor, std::make_shared<const std::function<void(std::uint32_t)>>(std::move(what)), 0};
  return result;
}

void poll_set::change(id which, std::uint32_t events) {
  const auto found = watched_.find(which);
  if (found == watched_.end()) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = which;
  ::epoll_ctl(fd(), EPOLL_CTL_MOD, found->second.fd, &event);
}

void poll_set::forget(id& which) {
  const auto found = watched_.find(std::exchange(which, 0));
  if (found == watched_.end()) return;
  ::epoll_ctl(fd(), EPOLL_CTL_DEL, found->second.fd, nullptr);
  watched_.erase(found);
}

void poll_set::look_every(std::chrono::milliseconds interval, std::function<bool()> look) {
  assert(!look_);
  timer_ = new_fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create");
  timer_watch_ = watch(timer_, EPOLLIN, [this](std::uint32_t) { on_timer(); });
  if (timer_watch_ == 0) throw std::system_error{errno, std::generic_category(), "epoll_ctl"};
  look_interval_ = interval;
  look_ = std::move(look);
}

void poll_set::expect_look() {
  if (look_ && !std::exchange(looks_, true)) set_timer(look_interval_);
}

void poll_set::set_timer(std::chrono::milliseconds interval) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(interval);
  const std::chrono::nanoseconds rest = interval - seconds;
  const timespec period{seconds.count(), rest.count()};
  const itimerspec when{period, period};
  ::timerfd_settime(timer_, 0, &when, nullptr);
}

void poll_set::on_timer() {
  std::uint64_t times = 0;
  if (::read(timer_, &times, sizeof times) < 0) return;
  const auto look = look_; // which may close all this
  if (look() || timer_ < 0) return;
  looks_ = false;
  set_timer({});
}

void poll_set::on_readable() {
  if (turn_ == budget{})
    serve(most_at_a_time);
  else
    serve_within_budget();
  if (!again_.empty()) expect_turn();
}

void poll_set::serve_again(id which) {
  assert(turn_ != budget{});
  const auto found = watched_.find(which);
  if (found == watched_.end() || std::exchange(found->second.again, true)) return;
  again_.push_back(which);
  expect_turn();
}

void poll_set::expect_turn() {
  if (std::exchange(expects_turn_, true)) return;
  checked_cast<shared_loop>(backend()).defer([self = alive_] {
    self->expects_turn_ = false;
    if (!self->again_.empty()) self->on_readable();
  });
}

// The kernel puts what it has named behind all that it has not: who is named is served, so that they
// are fetched one by one, and everybody has a turn.
void poll_set::serve_within_budget() {
  auto now = std::chrono::steady_clock::now();
  // So many others may be ready that it is long until it is asked for these again.
  const auto rest = now - last_end_;
  const auto end = now + std::min<std::chrono::steady_clock::duration>(
                             rest > 50 * turn_ ? rest / 4 : turn_, 20 * turn_);
  do {
    const auto begin = now;
    if (!serve_next()) {
      begin_round(); // nobody is left
      break;
    }
    now = std::chrono::steady_clock::now();
    round_took_ += now - begin;
    if (round_took_ > 10 * turn_) last_crowded_ = now;
  } while (now < end);
  last_end_ = now;
}

void poll_set::begin_round() {
  ++round_;
  round_took_ = {};
}

// Those that epoll names and those that it does not, in turn.
bool poll_set::serve_next() {
  again_is_next_ = !again_is_next_;
  if (!again_is_next_ || again_.empty()) {
    if (serve(1) > 0) return true;
    if (again_.empty()) return false;
  }
  const auto which = again_.front();
  again_.pop_front();
  if (const auto found = watched_.find(which); found != watched_.end()) found->second.again = false;
  call(which, EPOLLIN);
  return true;
}

int poll_set::serve(int most) {
  std::array<epoll_event, most_at_a_time> events;
  const int count = ::epoll_wait(fd(), events.data(), most, 0);
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    call(event.data.u64, event.events);
  }
  return count;
}

// Whoever is called may forget others that are in the same lot: each is looked up.
void poll_set::call(id which, std::uint32_t events) {
  const auto found = watched_.find(which);
  if (found == watched_.end()) return;
  if (found->second.round == round_) begin_round();
  found->second.round = round_;
  if (which != timer_watch_) expect_look();
  const auto what = found->second.what; // it may forget itself
  (*what)(events);
}

} // namespace ropewalk
