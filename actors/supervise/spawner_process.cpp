#include "actors/supervise/spawner_process.hpp"

#include "actors/supervise/descendants.hpp"
#include "actors/supervise/program_runs.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ropewalk {

namespace {

constexpr int control_fd = program_runs::control_fd;
constexpr int lifeline_fd = program_runs::lifeline_fd;

// Everything from `first` on.
void close_from(int first) {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 0U) == 0) return;
#endif
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto end = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20));
  for (int fd = first; fd < end; ++fd) ::close(fd);
}

void open_nothing(int as, int flags) {
  int fd = ::open("/dev/null", flags | O_CLOEXEC);
  if (fd < 0) fd = ::eventfd(0, EFD_CLOEXEC); // no /dev: the number is taken all the same
  if (fd == as) return;
  ::dup2(fd, as);
  ::close(fd);
}

void keep_no_descriptor_but(int control) {
  const int safe = ::fcntl(control, F_DUPFD_CLOEXEC, lifeline_fd + 1);
  ::dup3(safe, control_fd, O_CLOEXEC);
  close_from(control_fd + 1);
  open_nothing(0, O_RDONLY);
  open_nothing(1, O_WRONLY);
  if (::fcntl(2, F_GETFD) < 0) open_nothing(2, O_WRONLY);
}

[[noreturn]] void keep(pid_t spawner, const child_list& children) {
  while (::waitpid(spawner, nullptr, 0) < 0 && errno == EINTR) {
  }
  end_descendants(children);
  ::_exit(0);
}

} // namespace

void become_spawner(int control, const rlimit& descriptors) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_NAME, "ropewalk-keeper");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // Blocked signals wait; ignored ones would stay ignored in programs.
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  keep_no_descriptor_but(control);
  std::array<int, 2> lifeline{};
  if (::pipe2(lifeline.data(), O_CLOEXEC) != 0) ::_exit(1);
  const auto spawner = ::fork();
  if (spawner < 0) ::_exit(1);
  if (spawner > 0) {
    ::close(control_fd);
    ::close(lifeline[0]);
    keep(spawner, child_list{});
  }
  ::close(lifeline[1]);
  if (lifeline[0] != lifeline_fd) {
    ::dup3(lifeline[0], lifeline_fd, O_CLOEXEC);
    ::close(lifeline[0]);
  }
  ::prctl(PR_SET_NAME, "ropewalk-spawn");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  rlimit wide = descriptors;
  wide.rlim_cur = wide.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &wide);
  program_runs{descriptors}.work();
}

} // namespace ropewalk
