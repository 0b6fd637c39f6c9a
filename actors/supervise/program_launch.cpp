#include "actors/supervise/program_launch.hpp"

#include <cerrno>
#include <csignal>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// What the child knows until its program takes over. `failure` is how it says why it did not get
// there.
struct launch {
  const program_launch::what& program;
  pid_t parent;
  start_failure failure;
};

int fail(launch& l, start_step step) {
  l.failure = {step, errno};
  return 127;
}

// The system's own calls: the library's would ask the threads of the process whose memory this is
// to follow.
bool become(const program_user& who) {
  return ::syscall(SYS_setgroups, who.groups.size(), who.groups.data()) == 0 &&
         ::syscall(SYS_setresgid, who.group, who.group, who.group) == 0 &&
         ::syscall(SYS_setresuid, who.user, who.user, who.user) == 0;
}

// In the child, on a stack of its own. Nothing here may take a lock or allocate.
int child(void* what) {
  auto& l = *static_cast<launch*>(what);
  ::setpgid(0, 0);
  if (l.program.nice > 0)
    ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + l.program.nice);
  if (l.program.user && !become(*l.program.user)) return fail(l, start_step::user);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);      // behind that, by which the kernel forgets it
  if (::getppid() != l.parent) return 127; // it died before that was arranged
  int number = 0;
  for (const int fd : l.program.open) {
    if (fd >= 0 && ::dup2(fd, number) < 0) return fail(l, start_step::stdio);
    ++number;
  }
  ::setrlimit(RLIMIT_NOFILE, l.program.descriptors);
  if (*l.program.folder != '\0' && ::chdir(l.program.folder) != 0)
    return fail(l, start_step::folder);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(l.program.path, l.program.arguments, l.program.environment);
  return fail(l, start_step::program);
}

} // namespace

pid_t program_launch::start(const what& program, start_failure& failure) {
  launch l{program, ::getpid(), {}};
  // Not fork(): a child that shares the memory until it has a program of its own costs the same
  // however much there is.
  const auto pid = ::clone(child, stack_.get() + stack_bytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &l);
  if (pid < 0) {
    failure = {start_step::process, errno};
    return -1;
  }
  if (l.failure.error == 0) return pid;
  ::waitpid(pid, nullptr, 0);
  failure = l.failure;
  return -1;
}

} // namespace ropewalk
