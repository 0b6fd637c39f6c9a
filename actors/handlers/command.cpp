#include "actors/handlers/command.hpp"

#include "actors/handlers/words.hpp"
#include "net/protocol/limits.hpp"
#include "net/tcp/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char** environ;

namespace ropewalk {

namespace {

// How often a running program's call is asked whether anybody still wants its answer.
constexpr std::chrono::milliseconds stop_check{50};

struct pipe_ends {
  descriptor read;
  descriptor write;
};

pipe_ends make_pipe() {
  std::array<int, 2> fds{-1, -1};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0)
    throw std::runtime_error(std::string{"no pipe for a command: "} + std::strerror(errno));
  return {descriptor{fds[0]}, descriptor{fds[1]}};
}

void set_nonblocking(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// As execvp would find it; empty if it would not.
std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos)
    return ::access(name.c_str(), X_OK) == 0 ? name : std::string{};
  const char* path = ::getenv("PATH");
  std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin";
  while (true) {
    const auto colon = rest.find(':');
    std::string candidate = std::string{rest.substr(0, colon)} + '/' + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    if (colon == std::string_view::npos) return {};
    rest.remove_prefix(colon + 1);
  }
}

// One running program: its pid, our ends of its stdin, stdout and stderr. Never outlives this
// object.
class child {
public:
  child(const std::string& program, char* const* arguments, char* const* environment) {
    auto in = make_pipe();
    auto out = make_pipe();
    auto error = make_pipe();
    const auto parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0)
      throw std::runtime_error(std::string{"cannot start a command: "} + std::strerror(errno));
    if (pid_ == 0) { // only async-signal-safe calls from here on
      ::setpgid(0, 0);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(127);
      ::dup2(in.read.get(), 0);
      ::dup2(out.write.get(), 1);
      ::dup2(error.write.get(), 2);
      sigset_t none;
      ::sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      ::signal(SIGPIPE, SIG_DFL);
      ::execve(program.c_str(), arguments, environment);
      ::_exit(127);
    }
    ::setpgid(pid_, pid_);
    death_ = descriptor{static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0))};
    in_ = std::move(in.write);
    out_ = std::move(out.read);
    error_ = std::move(error.read);
    for (const auto* fd : {&in_, &out_, &error_}) set_nonblocking(fd->get());
  }

  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() {
    if (pid_ > 0) {
      kill();
      wait();
    }
  }

  // The whole group: a program may have started others.
  void kill() const { ::kill(-pid_, SIGKILL); }

  // True if the program was killed by a signal. What it had started may live on, and keep its end
  // of our pipes open.
  bool was_killed() const {
    siginfo_t how{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &how, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           how.si_pid == pid_ && how.si_code != CLD_EXITED;
  }

  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return status;
  }

  descriptor in_, out_, error_;
  descriptor death_; // readable when the program has come to its end

private:
  pid_t pid_ = -1;
};

class command final : public handler {
public:
  command(const std::string& line, std::size_t max_reply_bytes)
      : max_reply_bytes_(max_reply_bytes) {
    ::signal(SIGPIPE, SIG_IGN);
    try {
      words_ = split_words(line);
    } catch (const std::invalid_argument& error) {
      throw bad_handler{"cannot split 'cmd:" + line + "' into words: " + error.what()};
    }
    if (words_.empty()) throw bad_handler{"'cmd:' wants a program, such as cmd:sha256sum"};
    program_ = find_program(words_.front());
    if (program_.empty())
      throw bad_handler{"cannot find the program '" + words_.front() + "' of 'cmd:" + line +
                        "'; install it, or write its whole path"};
  }

  outcome run(call& what) override;

private:
  std::vector<std::string> words_;
  std::string program_;
  std::size_t max_reply_bytes_;
};

// Talks to the child until it has closed its stdout and stderr; says why it stopped earlier.
error_code converse(child& with, const call& what, std::size_t max_reply_bytes, std::string& reply,
                    std::string& complaint) {
  auto input = what.payload.view();
  std::array<char, 65536> buffer;
  if (input.empty()) with.in_.close();
  while (with.out_.valid() || with.error_.valid()) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= what.deadline) return error_code::timeout;
    if (what.stop && what.stop->load()) return error_code::cancelled;
    std::array<pollfd, 4> fds{
        pollfd{with.in_.get(), POLLOUT, 0}, pollfd{with.out_.get(), POLLIN, 0},
        pollfd{with.error_.get(), POLLIN, 0}, pollfd{with.death_.get(), POLLIN, 0}};
    const auto patience =
        std::min(stop_check, std::chrono::ceil<std::chrono::milliseconds>(what.deadline - now));
    ::poll(fds.data(), fds.size(), static_cast<int>(patience.count()));
    if (fds[0].revents != 0) {
      const auto count = ::write(with.in_.get(), input.data(), input.size());
      if (count > 0) input.remove_prefix(static_cast<std::size_t>(count));
      // A program that does not want all of its input is none the worse for it.
      if (input.empty() || (count < 0 && errno != EAGAIN && errno != EINTR)) with.in_.close();
    }
    auto receive = [&](descriptor& from, short events, std::string& into) {
      if (events == 0) return;
      const auto count = ::read(from.get(), buffer.data(), buffer.size());
      if (count > 0)
        into.append(buffer.data(), static_cast<std::size_t>(count));
      else if (count == 0 || (errno != EAGAIN && errno != EINTR))
        from.close();
    };
    receive(with.out_, fds[1].revents, reply);
    receive(with.error_, fds[2].revents, complaint);
    if (fds[3].revents != 0 && fds[1].revents == 0 && fds[2].revents == 0) {
      if (with.was_killed()) return error_code::worker_lost;
      with.death_
          .close(); // it came to its end by itself; what it started may still have to say something
    }
    if (reply.size() > max_reply_bytes) return error_code::too_large;
    if (complaint.size() > 2 * limits::max_stderr_bytes)
      complaint.erase(0, complaint.size() - limits::max_stderr_bytes);
  }
  return error_code::ok;
}

outcome command::run(call& what) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(what.deadline -
                                                                 std::chrono::steady_clock::now());
  std::vector<std::string> own{"ROPEWALK_SERVICE=" + std::string{what.service},
                               "ROPEWALK_ATTEMPT=" + std::to_string(what.attempt),
                               "ROPEWALK_TIMEOUT_MS=" +
                                   std::to_string(std::max<long long>(left.count(), 0))};
  std::vector<char*> environment;
  for (char** e = environ; *e; ++e)
    if (!std::string_view{*e}.starts_with("ROPEWALK_")) environment.push_back(*e);
  for (auto& text : own) environment.push_back(text.data());
  environment.push_back(nullptr);
  std::vector<char*> arguments;
  for (auto& word : words_) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  child running{program_, arguments.data(), environment.data()};
  std::string reply;
  std::string complaint;
  const auto end = converse(running, what, max_reply_bytes_, reply, complaint);
  if (end != error_code::ok && end != error_code::worker_lost) {
    running.kill();
    running.wait();
    return {end, end == error_code::too_large
                     ? shared_bytes::copy_of("the program's output is over the cap on messages")
                     : shared_bytes{}};
  }
  if (end == error_code::worker_lost) running.kill(); // what it had started
  const int status = running.wait();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return {error_code::ok, shared_bytes::copy_of(reply)};
  if (complaint.size() > limits::max_stderr_bytes)
    complaint.erase(0, complaint.size() - limits::max_stderr_bytes);
  if (!complaint.empty()) complaint = ": " + complaint;
  if (WIFEXITED(status))
    return failed("exit status " + std::to_string(WEXITSTATUS(status)) + complaint);
  // It did not say that it failed: it crashed, or somebody killed it (out of memory, perhaps).
  return lost(std::string{"the program was killed by signal "} + std::to_string(WTERMSIG(status)) +
              " (" + ::strsignal(WTERMSIG(status)) + ")" + complaint);
}

} // namespace

std::unique_ptr<handler> make_command(const std::string& line, std::size_t max_reply_bytes) {
  return std::make_unique<command>(line, max_reply_bytes);
}

} // namespace ropewalk
