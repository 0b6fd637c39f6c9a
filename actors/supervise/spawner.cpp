#include "actors/supervise/spawner.hpp"

#include "actors/supervise/spawner_process.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// What the spawner takes at most to end what cannot be ended, and some more.
constexpr int end_timeout_ms = 3000;

// A process that is killed has closed all its descriptors within this.
constexpr int end_of_all_ms = 500;

void wait_readable(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  while (::poll(&waiting, 1, end_timeout_ms) < 0 && errno == EINTR) {
  }
}

bool is_readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

bool is_over(int socket) {
  pollfd p{socket, 0, 0};
  return ::poll(&p, 1, 0) == 1;
}

// Errors of this process, after which the spawner is as good as before.
bool is_ours(int error) {
  return error == 0 || error == EAGAIN || error == ENOBUFS || error == ENOMEM ||
         error == EMSGSIZE || error == ETOOMANYREFS || error == EMFILE || error == ENFILE;
}

struct socket_pair {
  descriptor ours;
  descriptor theirs;
};

socket_pair make_pair() {
  std::array<int, 2> fds{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) != 0) return {};
  return {descriptor{fds[0]}, descriptor{fds[1]}};
}

} // namespace

// -- a channel ------------------------------------------------------------------------------------

program_channel::~program_channel() {
  if (!socket_.valid() || !running_) return;
  kill(SIGKILL);
  wait_readable(socket_.get());
}

int program_channel::start(std::string_view variables, std::span<const int> open, int held) {
  const auto beside = open.size() | (held >= 0 ? spawner_wire::one_held : 0u);
  std::string text{spawner_wire::start, static_cast<char>(beside)};
  if (variables.size() > spawner_wire::max_start_bytes - text.size()) return E2BIG;
  text += variables;
  std::array<int, max_passed_descriptors> all{};
  const auto end = std::copy(open.begin(), open.end(), all.begin());
  auto count = open.size();
  if (held >= 0) {
    assert(count < all.size());
    *end = held;
    ++count;
  }
  const int error = send_packet(socket_.get(), text, std::span{all}.first(count));
  running_ = error == 0;
  return is_ours(error) ? error : ESRCH;
}

int program_channel::adopt(pid_t pid, std::string_view mark) {
  std::string text{spawner_wire::adopt};
  text.append(reinterpret_cast<const char*>(&pid), sizeof pid).append(mark);
  const int error = send_packet(socket_.get(), text);
  running_ = error == 0;
  return is_ours(error) ? error : ESRCH;
}

program_channel::event program_channel::take_event(wait how) {
  spawner_wire::event said;
  const auto p = take_packet(socket_.get(), {reinterpret_cast<char*>(&said), sizeof said});
  if (p.state == packet::state::none) return {};
  if (p.state == packet::state::taken && said.what == spawner_wire::event::kind::measured)
    return {event::kind::measured, 0, {}, static_cast<std::uint64_t>(said.number) * 1024};
  if (p.state == packet::state::taken && said.what == spawner_wire::event::kind::adopted)
    return {event::kind::adopted, 0, {}, 0};
  running_ = false;
  if (p.state == packet::state::over) {
    if (how == wait::yes) by_->wait_for_end(generation_);
    return {event::kind::lost, 0, {}, 0};
  }
  if (said.what == spawner_wire::event::kind::not_started)
    return {event::kind::not_started, 0, {said.step, said.number}, 0};
  return {event::kind::ended, said.number, {}, 0};
}

bool program_channel::is_gone() const {
  return by_->is_gone(generation_);
}

void program_channel::kill(int signal) {
  const std::array<char, 2> text{spawner_wire::kill, static_cast<char>(signal)};
  send_packet(socket_.get(), {text.data(), text.size()});
}

void program_channel::release_held() {
  send_packet(socket_.get(), {&spawner_wire::release, 1});
}

void program_channel::measure() {
  send_packet(socket_.get(), {&spawner_wire::measure, 1});
}

// -- the process ----------------------------------------------------------------------------------

spawner::spawner() {
  ::getrlimit(RLIMIT_NOFILE, &descriptors_);
}

spawner::~spawner() {
  stop();
}

void spawner::stop() {
  const std::lock_guard lock{mutex_};
  stopped_ = true;
  if (control_.valid()) bury();
}

spawner& spawner::of_process() {
  static spawner one;
  return one;
}

bool spawner::start() {
  const std::lock_guard lock{mutex_};
  return control_.valid() || start_locked();
}

// The child goes on without an exec, also where this process has threads by now: all that it does
// is system calls, and memory, which glibc keeps usable in such a child. An exec would need a
// program of its own, or know that this process's has a word for it, which a unit test's has not.
bool spawner::start_locked() {
  if (stopped_) {
    errno = ECANCELED;
    return false;
  }
  auto ends = make_pair();
  if (!ends.ours.valid()) return false;
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before); // no handler of ours runs in the child
  const auto pid = ::fork();
  if (pid == 0) become_spawner(ends.theirs.get(), descriptors_);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  if (pid < 0) return false;
  keeper_ = pid;
  keeper_end_ = descriptor{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  control_ = std::move(ends.ours);
  ++generation_;
  std::erase_if(held_, [](const descriptor& d) { return is_over(d.get()); });
  for (const auto& socket : held_) {
    const int fd = socket.get();
    send_packet(control_.get(), {&spawner_wire::hold, 1}, {&fd, 1});
  }
  return true;
}

pid_t spawner::keeper() {
  const std::lock_guard lock{mutex_};
  return keeper_;
}

void spawner::bury() {
  control_.close();
  if (keeper_end_.valid()) wait_readable(keeper_end_.get());
  // Somebody who cannot be killed keeps nobody waiting here.
  while (::waitpid(keeper_, nullptr, keeper_end_.valid() ? WNOHANG : 0) < 0 && errno == EINTR) {
  }
  keeper_ = -1;
  keeper_end_.close();
}

void spawner::wait_for_end(std::uint64_t generation) {
  const std::lock_guard lock{mutex_};
  if (!control_.valid() || generation != generation_) return;
  // A process that ends closes one descriptor after another. If it goes on living, this channel was
  // all that it gave up, and the others' programs are none of its business.
  pollfd p{control_.get(), 0, 0};
  if (::poll(&p, 1, end_of_all_ms) == 1) bury();
}

bool spawner::is_gone(std::uint64_t generation) {
  const std::unique_lock lock{mutex_, std::try_to_lock};
  if (!lock) return false; // somebody waits for that at this moment
  if (!control_.valid() || generation != generation_) return true;
  if (!is_over(control_.get())) return false;
  if (keeper_end_.valid() && !is_readable(keeper_end_.get())) return false;
  bury();
  return true;
}

// 0, or an error of this process's own; starts another spawner if this one is gone.
int spawner::give(std::string_view bytes, std::span<const int> descriptors) {
  for (int tries = 0; tries < 2; ++tries) {
    if (!control_.valid() && !start_locked()) return errno;
    const int error = send_packet(control_.get(), bytes, descriptors);
    if (is_ours(error)) return error;
    bury();
  }
  return ESRCH;
}

std::variant<program_channel, start_failure> spawner::open(const program& what) {
  auto ends = make_pair();
  const descriptor file{::memfd_create("ropewalk program", MFD_CLOEXEC)};
  const auto text = spawner_wire::write(what);
  if (!ends.ours.valid() || !file.valid() ||
      ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return start_failure{start_step::pipes, errno};
  const std::lock_guard lock{mutex_};
  const std::array<int, 2> fds{ends.theirs.get(), file.get()};
  if (const int error = give({&spawner_wire::open_channel, 1}, fds); error != 0)
    return start_failure{start_step::spawner, error};
  return program_channel{*this, generation_, std::move(ends.ours)};
}

void spawner::hold(int socket) {
  const std::lock_guard lock{mutex_};
  std::erase_if(held_, [](const descriptor& d) { return is_over(d.get()); });
  descriptor own{::fcntl(socket, F_DUPFD_CLOEXEC, 0)};
  if (!own.valid()) return;
  const int fd = own.get();
  held_.push_back(std::move(own));
  if (control_.valid()) send_packet(control_.get(), {&spawner_wire::hold, 1}, {&fd, 1});
}

} // namespace ropewalk
