#include "net/cluster/shared_loop.hpp"

#include "net/cluster/compact_basp.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/network/event_handler.hpp>
#include <caf/resumable.hpp>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace ropewalk {

using caf::io::network::operation;

namespace {

// How long sockets may wait for a handler that takes longer than its service's messages usually do.
// Looking costs a processor about 5 us.
constexpr std::chrono::milliseconds watch_interval{2};

// Who posts without an end must not keep the sockets from being served. What a slot sends passes
// two actors.
constexpr int most_rounds = 16;

int made(int fd, const char* what) {
  if (fd < 0) throw std::system_error{errno, std::generic_category(), what};
  return fd;
}

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

class shared_loop::bell final : public caf::io::network::event_handler {
public:
  explicit bell(shared_loop& loop)
      : event_handler(loop, made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
        loop_(loop) {}

  void ring() const {
    const std::uint64_t one = 1;
    if (::write(fd(), &one, sizeof one) < 0 && errno != EAGAIN) std::abort();
  }

  void handle_event(operation) override {
    std::uint64_t rung = 0;
    if (::read(fd(), &rung, sizeof rung) < 0) return;
    loop_.take_inbox();
  }
  void removed_from_loop(operation) override {}
  void graceful_shutdown() override {}

private:
  shared_loop& loop_;
};

class shared_loop::alarm final : public caf::io::network::event_handler {
public:
  explicit alarm(shared_loop& loop)
      : event_handler(loop, made(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
                                 "timerfd_create")) {}

  // Once, or again and again.
  void set(std::chrono::microseconds after, std::function<void()> what, bool again = false) {
    what_ = std::move(what);
    again_ = again;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(after);
    const std::chrono::nanoseconds rest = after - seconds;
    itimerspec when{}; // zero would turn it off
    when.it_value.tv_sec = seconds.count();
    when.it_value.tv_nsec = std::max<long>(rest.count(), 1);
    if (again) when.it_interval = when.it_value;
    if (::timerfd_settime(fd(), 0, &when, nullptr) != 0) std::abort();
  }

  void handle_event(operation) override {
    std::uint64_t times = 0;
    if (::read(fd(), &times, sizeof times) < 0) return; // set anew before it was looked at
    const auto what = again_ ? what_ : std::exchange(what_, {});
    if (what) what();
  }
  void removed_from_loop(operation) override {}
  void graceful_shutdown() override {}

private:
  std::function<void()> what_;
  bool again_ = false;
};

shared_loop::shared_loop(caf::actor_system* system)
    : default_multiplexer(system), bell_(std::make_unique<bell>(*this)),
      alarm_(std::make_unique<alarm>(*this)), beat_(std::make_unique<alarm>(*this)) {
  add(operation::read, bell_->fd(), bell_.get());
  add(operation::read, alarm_->fd(), alarm_.get());
  add(operation::read, beat_->fd(), beat_.get());
  handle_internal_events();
}

shared_loop::~shared_loop() = default;

void shared_loop::use_for(caf::actor_system_config& config) {
  config.load<shared_middleman>();
  config.set("middleman.manual-multiplexing", true); // no thread of CAF's own
}

shared_loop& shared_loop::of(caf::actor_system& system) {
  return static_cast<shared_loop&>(system.middleman().backend());
}

void shared_loop::start() {
  watchman_ = std::thread{[this] {
    ::pthread_setname_np(::pthread_self(), "watchman");
    keep_watch();
  }};
}

void shared_loop::stop() {
  {
    const std::lock_guard lock{watch_mutex_};
    watch_ = watch::ending;
    watch_changed_.notify_one();
  }
  bell_->ring();
  if (watchman_.joinable()) watchman_.join();
  while (!attend(nullptr)) std::this_thread::yield();
}

bool shared_loop::attend(const void* who) {
  std::thread::id nobody;
  if (!attendant_.compare_exchange_strong(nobody, std::this_thread::get_id())) return false;
  thread_id(std::this_thread::get_id()); // for CAF's dispatch()
  shifts_.store(shifts_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  who_ = who;
  return true;
}

void shared_loop::turn() {
  poll_once(posted_.empty());
  settle();
}

void shared_loop::settle() {
  for (int round = 0; round < most_rounds && !posted_.empty(); ++round) {
    running_.swap(posted_);
    for (auto& one : running_) resume(std::move(one));
    running_.clear();
  }
  handle_internal_events();
}

// The watchman falls asleep only while somebody attends, and looks again after it has said so: one
// of the two sees the other.
void shared_loop::leave() {
  who_ = nullptr;
  attendant_.store(std::thread::id{});
  if (watch_.load() != watch::asleep) return;
  const std::lock_guard lock{watch_mutex_};
  if (watch_ == watch::asleep) watch_ = watch::awake;
  watch_changed_.notify_one();
}

void shared_loop::remind(std::chrono::microseconds after, std::function<void()> what) {
  alarm_->set(after, std::move(what));
}

void shared_loop::repeat(std::chrono::microseconds interval, std::function<void()> what) {
  beat_->set(interval, std::move(what), true);
}

void shared_loop::call_watchman() {
  if (attendant_.load() != std::thread::id{}) return;
  const std::lock_guard lock{watch_mutex_};
  called_ = true;
  watch_changed_.notify_one();
}

void shared_loop::exec_later(caf::resumable* what) {
  const auto kind = what->subtype();
  if (kind != caf::resumable::io_actor && kind != caf::resumable::function_object)
    return system().scheduler().enqueue(what);
  if (attendant_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    posted_.emplace_back(what, false);
    return;
  }
  bool first = false;
  {
    const std::lock_guard lock{inbox_mutex_};
    first = inbox_.empty();
    inbox_.emplace_back(what, false);
  }
  if (first) bell_->ring();
}

void shared_loop::take_inbox() {
  std::vector<caf::intrusive_ptr<caf::resumable>> all;
  {
    const std::lock_guard lock{inbox_mutex_};
    all.swap(inbox_);
  }
  for (auto& one : all) resume(std::move(one));
}

void shared_loop::keep_watch() {
  while (watch_ != watch::ending) {
    if (!attend(nullptr)) {
      if (!look()) return;
      continue;
    }
    handed_over_ = false;
    while (!handed_over_ && watch_ != watch::ending) turn();
    leave();
    if (!look()) return;
  }
}

// Returns true when the loop was alone for a whole interval, or the watchman is called; false at
// the end of all.
bool shared_loop::look() {
  const auto alone = std::thread::id{};
  auto seen = shifts_.load();
  std::unique_lock lock{watch_mutex_};
  for (;;) {
    watch_changed_.wait_for(lock, watch_interval,
                            [this] { return called_ || watch_ == watch::ending; });
    if (watch_ == watch::ending) return false;
    if (std::exchange(called_, false)) return true;
    const auto now = shifts_.load();
    if (std::exchange(seen, now) != now) continue;
    if (attendant_.load() == alone) return true;
    watch_ = watch::asleep;
    if (attendant_.load() == alone) {
      watch_ = watch::awake;
      continue;
    }
    watch_changed_.wait(lock, [this] { return watch_ != watch::asleep || called_; });
    if (watch_ == watch::asleep) watch_ = watch::awake;
  }
}

} // namespace ropewalk
