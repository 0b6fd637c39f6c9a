#include "apps/ropewalk/screen_signals.hpp"

#include <csignal>
#include <sys/signalfd.h>
#include <unistd.h>

namespace ropewalk {

screen_signals::screen_signals() {
  sigset_t ours;
  ::sigemptyset(&ours);
  for (const int number : {SIGINT, SIGTERM, SIGWINCH}) ::sigaddset(&ours, number);
  ::pthread_sigmask(SIG_BLOCK, &ours, nullptr);
  fd_ = descriptor{::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK)};
}

screen_signals::seen screen_signals::take() const {
  seen result;
  signalfd_siginfo one{};
  while (::read(fd_.get(), &one, sizeof one) == sizeof one) {
    if (one.ssi_signo == SIGWINCH)
      result.resized = true;
    else
      result.end = true;
  }
  return result;
}

} // namespace ropewalk
