#include "net/cluster/shared_loop.hpp"

#include "net/cluster/checked_cast.hpp"
#include "net/cluster/compact_basp.hpp"
#include "net/cluster/new_fd.hpp"
#include "net/protocol/limits.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/network/event_handler.hpp>
#include <caf/resumable.hpp>
#include <cassert>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace ropewalk {

using caf::io::network::operation;

namespace {

// How long sockets may wait for a handler that takes longer than its service's messages usually do.
// Looking whether somebody leads costs a processor about 5 us.
constexpr std::chrono::milliseconds fallback_interval{2};

// Who posts without an end must not keep the sockets from being served. What a slot sends passes
// two actors.
constexpr int max_rounds = 16;

class shared_middleman final : public caf::io::middleman {
public:
  static caf::actor_system::module* make(caf::actor_system& system, caf::detail::type_list<>) {
    return new shared_middleman{system}; // CAF's to delete
  }
  caf::io::network::multiplexer& backend() override { return loop_; }
  void start() override {
    (void)named_broker<compact_basp>(caf::atom("BASP")); // which CAF then takes for its own
    middleman::start();
  }
  void stop() override {
    loop_.stop();
    middleman::stop();
  }

private:
  explicit shared_middleman(caf::actor_system& system) : middleman(system), loop_(&system) {}

  shared_loop loop_;
};

} // namespace

class shared_loop::wake_up final : public caf::io::network::event_handler {
public:
  explicit wake_up(shared_loop& loop)
      : event_handler(loop, new_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
        loop_(loop) {}

  void notify() const {
    const std::uint64_t one = 1;
    if (::write(fd(), &one, sizeof one) < 0 && errno != EAGAIN) std::abort();
  }

  void handle_event(operation) override {
    std::uint64_t times = 0;
    if (::read(fd(), &times, sizeof times) < 0) return;
    loop_.take_inbox();
  }
  void removed_from_loop(operation) override {}
  void graceful_shutdown() override {}

private:
  shared_loop& loop_;
};

class shared_loop::timer final : public caf::io::network::event_handler {
public:
  explicit timer(shared_loop& loop)
      : event_handler(loop, new_fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
                                   "timerfd_create")) {}

  // Once, or again and again.
  void set(std::chrono::microseconds after, std::function<void()> what, bool repeats) {
    what_ = std::move(what);
    repeats_ = repeats;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(after);
    const std::chrono::nanoseconds rest = after - seconds;
    itimerspec when{}; // zero would turn it off
    when.it_value.tv_sec = seconds.count();
    when.it_value.tv_nsec = std::max<long>(rest.count(), 1);
    if (repeats_) when.it_interval = when.it_value;
    if (::timerfd_settime(fd(), 0, &when, nullptr) != 0) std::abort();
  }

  void handle_event(operation) override {
    std::uint64_t times = 0;
    if (::read(fd(), &times, sizeof times) < 0) return; // set anew before it was looked at
    const auto what = repeats_ ? what_ : std::exchange(what_, {});
    if (what) what();
  }
  void removed_from_loop(operation) override {}
  void graceful_shutdown() override {}

  void stop() {
    what_ = {};
    const itimerspec never{};
    ::timerfd_settime(fd(), 0, &never, nullptr);
  }

private:
  std::function<void()> what_;
  bool repeats_ = false;
};

shared_loop::shared_loop(caf::actor_system* system)
    : default_multiplexer(system), wake_up_(std::make_unique<wake_up>(*this)),
      turns_(*this, fallback_interval) {
  add(operation::read, wake_up_->fd(), wake_up_.get());
  add_timer(); // who has only one finds it there, whatever the descriptors are like by then
  handle_internal_events();
}

shared_loop::~shared_loop() = default;

void shared_loop::use_for(caf::actor_system_config& config) {
  config.load<shared_middleman>();
  config.set("middleman.manual-multiplexing", true); // no thread of CAF's own
}

shared_loop& shared_loop::of(caf::actor_system& system) {
  return checked_cast<shared_loop>(system.middleman().backend());
}

void shared_loop::stop() {
  turns_.stop();
  thread_id(std::this_thread::get_id());
}

bool shared_loop::acquire_leadership(leader_id who) {
  if (!turns_.acquire_leadership(who)) return false;
  thread_id(std::this_thread::get_id()); // for CAF's dispatch()
  return true;
}

void shared_loop::poll_once() {
  thread_id(std::this_thread::get_id());
  handle_events();
}

void shared_loop::interrupt() {
  wake_up_->notify();
}

void shared_loop::handle_events() {
  const auto due = std::exchange(deferred_, {});
  default_multiplexer::poll_once(posted_.empty() && due.empty() && released_.empty());
  for (const auto& one : due) one();
  if (!released_.empty()) release_some();
  handle_posted();
}

void shared_loop::defer(std::function<void()> what) {
  assert(is_leading());
  deferred_.push_back(std::move(what));
}

void shared_loop::release_later(caf::intrusive_ptr<caf::ref_counted> what) {
  assert(is_leading());
  released_.push_back(std::move(what));
}

void shared_loop::release_some() {
  using clock = std::chrono::steady_clock;
  const auto end = clock::now() + std::chrono::microseconds{limits::release_time_us};
  do released_.pop_front();
  while (!released_.empty() && clock::now() < end);
}

void shared_loop::handle_posted() {
  for (int round = 0; round < max_rounds && !posted_.empty(); ++round) {
    running_.swap(posted_);
    for (auto& one : running_) resume(std::move(one));
    running_.clear();
  }
  handle_internal_events();
}

void shared_loop::add_timer() {
  free_timers_.push_back(static_cast<timer_id>(timers_.size()));
  auto& added = *timers_.emplace_back(std::make_unique<timer>(*this));
  add(operation::read, added.fd(), &added);
}

shared_loop::timer& shared_loop::timer_of(timer_id which) {
  return *timers_[static_cast<std::size_t>(which)];
}

shared_loop::timer_id shared_loop::take_timer() {
  assert(is_leading());
  if (free_timers_.empty()) add_timer();
  const auto taken = free_timers_.back();
  free_timers_.pop_back();
  return taken;
}

void shared_loop::give_back(timer_id which) {
  timer_of(which).stop();
  free_timers_.push_back(which);
}

void shared_loop::remind(timer_id which, std::chrono::microseconds after,
                         std::function<void()> what) {
  timer_of(which).set(after, std::move(what), false);
}

void shared_loop::repeat(timer_id which, std::chrono::microseconds interval,
                         std::function<void()> what) {
  timer_of(which).set(interval, std::move(what), true);
}

void shared_loop::exec_later(caf::resumable* what) {
  const auto kind = what->subtype();
  if (kind != caf::resumable::io_actor && kind != caf::resumable::function_object)
    return system().scheduler().enqueue(what);
  if (turns_.is_leading()) {
    posted_.emplace_back(what, false);
    return;
  }
  bool first = false;
  {
    const std::lock_guard lock{inbox_mutex_};
    first = inbox_.empty();
    inbox_.emplace_back(what, false);
  }
  if (first) wake_up_->notify();
}

void shared_loop::take_inbox() {
  std::vector<caf::intrusive_ptr<caf::resumable>> all;
  {
    const std::lock_guard lock{inbox_mutex_};
    all.swap(inbox_);
  }
  for (auto& one : all) resume(std::move(one));
}

} // namespace ropewalk
