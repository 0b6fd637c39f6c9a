#pragma once

#include <csignal>
#include <thread>
#include <utility>

namespace ropewalk {

/// Runs `work` on a thread of its own that nobody waits for. No signal is for that thread: one that
/// its process reads (signalfd), such as a master's SIGCHLD, would be thrown away there if it alone
/// had it unblocked.
template <class Work>
void start_background_thread(Work&& work) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread{std::forward<Work>(work)}.detach();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

} // namespace ropewalk
