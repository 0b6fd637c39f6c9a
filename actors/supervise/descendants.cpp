#include "actors/supervise/descendants.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

namespace ropewalk {

namespace {

constexpr timespec one_wait{0, std::chrono::nanoseconds{killed_wait}.count()};

// In a PID namespace without a /proc of its own the numbers there are other processes'.
bool is_own_proc() {
  std::array<char, 32> name{};
  const auto count = ::readlink("/proc/self", name.data(), name.size());
  return count > 0 && std::string_view{name.data(), static_cast<std::size_t>(count)} ==
                          std::to_string(::getpid());
}

// From the beginning: such files are made anew when they are read from there. They are given out in
// whole lines or numbers, so that a part that is not the last may lack a few bytes.
std::string read_whole(int fd) {
  std::string text;
  std::array<char, 4096> part;
  for (;;) {
    const auto count = ::pread(fd, part.data(), part.size(), static_cast<off_t>(text.size()));
    if (count <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(count));
    if (static_cast<std::size_t>(count) + 64 < part.size()) return text;
  }
}

} // namespace

child_list::child_list() {
  if (is_own_proc()) list_ = descriptor{::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC)};
}

std::vector<pid_t> child_list::read() const {
  std::vector<pid_t> result;
  if (!list_.valid()) return result;
  const auto text = read_whole(list_.get());
  const char* at = text.data();
  const char* const end = at + text.size();
  for (pid_t pid = 0; at < end; ++at) {
    const auto [next, error] = std::from_chars(at, end, pid);
    if (error != std::errc{}) break;
    result.push_back(pid);
    at = next;
  }
  return result;
}

std::string child_list::environment_of(pid_t pid, const std::string& name) const {
  if (!list_.valid()) return {};
  const descriptor file{
      ::open(("/proc/" + std::to_string(pid) + "/environ").c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file.valid()) return {};
  const auto text = '\0' + read_whole(file.get());
  const auto found = text.find('\0' + name + '=');
  if (found == std::string::npos) return {};
  const auto begin = found + name.size() + 2;
  return text.substr(begin, text.find('\0', begin) - begin);
}

// In our own session a program may join anybody's group, the node's too.
void kill_with_group(pid_t child) {
  const auto group = ::getpgid(child);
  if (group > 0 && (group == child || ::getsid(child) != ::getsid(0))) ::kill(-group, SIGKILL);
  ::kill(child, SIGKILL);
}

void end_descendants(const child_list& children) {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  ::sigaddset(&wanted, SIGCHLD);
  for (int waits = 0; waits < max_killed_waits;) {
    for (const auto pid : children.read()) kill_with_group(pid);
    pid_t ended = 0;
    while ((ended = ::waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    if (ended < 0 && errno == ECHILD) return;
    if (::sigtimedwait(&wanted, nullptr, &one_wait) < 0 && errno == EAGAIN) ++waits;
  }
}

} // namespace ropewalk
