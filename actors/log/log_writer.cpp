#include "actors/log/log_writer.hpp"

#include "actors/log/background_thread.hpp"
#include "actors/log/log_queue.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace ropewalk {

namespace {

// A disk that was full is tried again so often, to say what is missing.
constexpr std::chrono::seconds retry_interval{1};

// 0, or the error because of which the rest was not written. A pipe of which poll says that it has
// room takes PIPE_BUF bytes at once; so a line that is not longer is never cut by another process.
int write_all(int fd, std::string_view what, bool& begun) {
  while (!what.empty()) {
    pollfd waiting{fd, POLLOUT, 0};
    if (::poll(&waiting, 1, -1) < 0 && errno != EINTR) return errno;
    const auto count = ::write(fd, what.data(), std::min<std::size_t>(what.size(), PIPE_BUF));
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return errno;
    begun = true;
    what.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

} // namespace

class log_writer::state {
public:
  explicit state(settings how) : settings_(std::move(how)), queue_(settings_.max_bytes) {}

  void push(std::string line) {
    {
      const std::lock_guard lock{mutex_};
      queue_.push(std::move(line));
    }
    changed_.notify_all();
  }

  void end() {
    {
      const std::lock_guard lock{mutex_};
      ended_ = true;
    }
    changed_.notify_all();
  }

  bool wait_until_written(std::chrono::milliseconds timeout) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, timeout, [this] { return queue_.empty() && !writing_; });
  }

  void run() {
    std::unique_lock lock{mutex_};
    for (;;) {
      const auto has_work = [this] { return !queue_.empty() || ended_; };
      if (missing_ > 0 && !gone_)
        changed_.wait_for(lock, retry_interval, has_work);
      else
        changed_.wait(lock, has_work);
      if (queue_.empty() && ended_) return;
      const auto next = queue_.empty() ? log_queue::entry{} : queue_.pop();
      writing_ = true;
      lock.unlock();
      handle(next);
      lock.lock();
      writing_ = false;
      if (queue_.empty()) changed_.notify_all();
    }
  }

private:
  // An entry without anything is a retry: it only says what is missing.
  void handle(const log_queue::entry& next) {
    if (next.dropped > 0) {
      missing_ += next.dropped;
      why_ = "they were not read in time";
    }
    if (missing_ > 0 && put(settings_.missing(missing_, why_))) missing_ = 0;
    if (next.line.empty()) return;
    if (missing_ > 0 || !put(next.line)) ++missing_;
  }

  bool put(std::string_view line) {
    bool begun = false;
    const int error = broken_line_ ? write_all(settings_.fd, "\n", begun) : 0;
    if (error == 0) broken_line_ = false;
    begun = false;
    const int then = error != 0 ? error : write_all(settings_.fd, line, begun);
    if (then == 0) {
      gone_ = false;
      return true;
    }
    broken_line_ = broken_line_ || begun;
    gone_ = then == EPIPE || then == EBADF;
    why_ = std::string{"they could not be written: "} + std::strerror(then);
    return false;
  }

  const settings settings_;
  std::mutex mutex_;
  std::condition_variable changed_;
  log_queue queue_;
  bool writing_ = false;
  bool ended_ = false;

  // The thread's own.
  std::uint64_t missing_ = 0; // lines, since it was said last
  std::string why_;
  bool broken_line_ = false; // the last one was written in part
  bool gone_ = false;        // nobody will ever read: not to be tried but with a line to write
};

log_writer::log_writer(settings how) : state_(std::make_shared<state>(std::move(how))) {
  start_background_thread([mine = state_] { mine->run(); });
}

log_writer::~log_writer() {
  state_->end();
}

void log_writer::write(std::string line) {
  state_->push(std::move(line));
}

bool log_writer::finish(std::chrono::milliseconds timeout) {
  return state_->wait_until_written(timeout);
}

} // namespace ropewalk
