#include "actors/supervise/child_process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// The process's side of a fork.
[[noreturn]] void become(const std::vector<char*>& arguments, int control_pipe, pid_t parent) {
  // The signal comes when the thread that forked ends; a master has only this one. It is not all
  // that there is to it: a node process sees its control pipe break as well (run_until_done).
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  ::fcntl(control_pipe, F_SETFD, 0);
  ::execv("/proc/self/exe", arguments.data());
  // No /proc: by the name that this program was started by, which may be another release by now.
  // NOLINTNEXTLINE(performance-no-int-to-ptr): so the kernel hands it over.
  ::execv(reinterpret_cast<const char*>(::getauxval(AT_EXECFN)), arguments.data());
  ::_exit(127);
}

} // namespace

std::optional<child_process> child_process::start(const command& words) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return std::nullopt;
  descriptor ours{ends[0]};
  descriptor theirs{ends[1]};
  auto line = words(theirs.get());
  std::vector<char*> arguments;
  for (auto& word : line) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const auto parent = ::getpid();
  const auto pid = ::fork();
  if (pid == 0) become(arguments, theirs.get(), parent);
  const int error = errno;
  theirs.close();
  errno = error;
  if (pid < 0) return std::nullopt;
  return child_process{pid, std::move(ours)};
}

std::vector<std::string> child_process::read_lines() {
  std::array<char, 256> buffer;
  const auto count = ::read(control_pipe_.get(), buffer.data(), buffer.size());
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) control_pipe_.close();
  if (count <= 0) return {};
  line_.append(buffer.data(), static_cast<std::size_t>(count));
  std::vector<std::string> result;
  for (auto end = line_.find('\n'); end != std::string::npos; end = line_.find('\n')) {
    result.push_back(line_.substr(0, end));
    line_.erase(0, end + 1);
  }
  return result;
}

} // namespace ropewalk
