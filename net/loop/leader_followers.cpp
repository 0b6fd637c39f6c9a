#include "net/loop/leader_followers.hpp"

#include <pthread.h>
#include <utility>

namespace ropewalk {

void leader_followers::start() {
  fallback_poller_ = std::thread{[this] {
    ::pthread_setname_np(::pthread_self(), "fallback-poller");
    run_fallback_poller();
  }};
}

void leader_followers::stop() {
  end_fallback_poller();
  while (!acquire_leadership(leader_id::fallback_poller)) std::this_thread::yield();
}

void leader_followers::end_fallback_poller() {
  {
    const std::lock_guard lock{watch_mutex_};
    watch_ = watch::ending;
    watch_changed_.notify_one();
  }
  if (!fallback_poller_.joinable()) return;
  polled_.interrupt();
  fallback_poller_.join();
}

leader_id leader_followers::enlist() {
  return static_cast<leader_id>(static_cast<std::uint32_t>(leader_id::first_enlisted) +
                                enlisted_.fetch_add(1, std::memory_order_relaxed));
}

// The fallback poller falls asleep only while somebody leads, and looks again after it has said so:
// one of the two sees the other.
void leader_followers::release_leadership() {
  leader_ = leader_id::nobody;
  leading_thread_.store(std::thread::id{});
  if (watch_.load() != watch::asleep) return;
  const std::lock_guard lock{watch_mutex_};
  if (watch_ == watch::asleep) watch_ = watch::awake;
  watch_changed_.notify_one();
}

void leader_followers::call_fallback_poller() {
  if (!nobody_leads()) return;
  const std::lock_guard lock{watch_mutex_};
  called_ = true;
  watch_changed_.notify_one();
}

void leader_followers::run_fallback_poller() {
  while (watch_ != watch::ending) {
    if (acquire_leadership(leader_id::fallback_poller)) {
      yielded_ = false;
      while (!yielded_ && watch_ != watch::ending) polled_.poll_once();
      release_leadership();
    }
    if (!is_to_lead()) return;
  }
}

// Returns true when nobody led for a whole interval, or the fallback poller is called; false at the
// end of all.
bool leader_followers::is_to_lead() {
  auto seen = terms_.load();
  std::unique_lock lock{watch_mutex_};
  for (;;) {
    watch_changed_.wait_for(lock, interval_, [this] { return called_ || watch_ == watch::ending; });
    if (watch_ == watch::ending) return false;
    if (std::exchange(called_, false)) return true;
    const auto now = terms_.load();
    if (std::exchange(seen, now) != now) continue;
    if (nobody_leads()) return true;
    watch_ = watch::asleep;
    if (nobody_leads()) {
      watch_ = watch::awake;
      continue;
    }
    watch_changed_.wait(lock, [this] { return watch_ != watch::asleep || called_; });
    if (watch_ == watch::asleep) watch_ = watch::awake;
  }
}

} // namespace ropewalk
