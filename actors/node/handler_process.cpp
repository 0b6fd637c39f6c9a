#include "actors/node/handler_process.hpp"

#include "actors/time/clock.hpp"
#include "net/protocol/readable.hpp"
#include "net/transport/receive.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// A process that has closed its channel is on its way out; how long that may take.
constexpr milliseconds exit_time{1000};

// One look at what a handler prints reads so much at most, in bytes: the others wait meanwhile.
constexpr std::size_t output_bytes = 64 * limits::kib;

struct both_ends {
  descriptor ours;
  descriptor theirs;
};

both_ends make_channel() {
  std::array<int, 2> fds{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) return {};
  ::fcntl(fds[0], F_SETFL, O_RDWR | O_NONBLOCK);
  for (const int fd : fds) {
    const int bytes = limits::local_socket_bytes;
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  }
  return {descriptor{fds[0]}, descriptor{fds[1]}};
}

both_ends make_output() {
  std::array<int, 2> fds{-1, -1};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return {};
  ::fcntl(fds[0], F_SETFL, O_RDONLY | O_NONBLOCK);
  return {descriptor{fds[0]}, descriptor{fds[1]}};
}

} // namespace

handler_process::handler_process(settings with, std::shared_ptr<poll_set> loop, owner& mine,
                                 char* read_buffer)
    : with_(std::move(with)), loop_(std::move(loop)), owner_(&mine), buffer_(read_buffer) {}

handler_process::~handler_process() {
  asked_forks_.clear(); // their owner goes, too
  give_up(instant{});
  loop_->forget(program_watch_);
}

// -- its start --------------------------------------------------------------------------------------

void handler_process::begin(instant now) {
  state_ = state::starting;
  state_until_ = now + with_.options.start_timeout;
  was_ready_ = wanted_ = overdue_ = channel_over_ = program_over_ = wants_write_ = false;
  forks_ = false;
  killed_why_.clear();
  not_forked_why_.clear();
  ended_.reset();
  requests_ = answered_ = memory_ = 0;
}

void handler_process::start(instant now) {
  begin(now);
  // The second time is for a spawner that was ended since the last start.
  for (int tries = 0; tries < 2; ++tries) {
    if (!open_channel()) return;
    const int error = launch();
    if (error == 0) {
      channel_->hello(with_.service, !with_.is_server);
      return flush();
    }
    close_all();
    loop_->forget(program_watch_);
    program_.reset();
    if (error != ESRCH || tries > 0) return not_launched(error);
  }
}

void handler_process::not_launched(int error) {
  const start_failure failure{error == ESRCH ? start_step::spawner : start_step::pipes, error};
  went_down({program_channel::event::kind::not_started, 0, failure, 0});
}

bool handler_process::open_channel() {
  if (program_) return true;
  auto opened = spawner::of_process().open(with_.what);
  if (const auto* failure = std::get_if<start_failure>(&opened)) {
    went_down({program_channel::event::kind::not_started, 0, *failure, 0});
    return false;
  }
  program_.emplace(std::move(std::get<program_channel>(opened)));
  program_watch_ = loop_->watch(program_->fd(), EPOLLIN, [this](std::uint32_t) { on_program(); });
  if (program_watch_ != 0) return true;
  const start_failure failure{start_step::pipes, errno};
  program_.reset();
  went_down({program_channel::event::kind::not_started, 0, failure, 0});
  return false;
}

// NAME=VALUE, each with a 0 behind it.
std::string handler_process::variables() const {
  return "ROPEWALK_SERVICE=" + with_.service + '\0' +
         "ROPEWALK_PROCESS=" + std::to_string(with_.number) + '\0';
}

// 0, or an errno as of program_channel::start.
int handler_process::launch() {
  program_ends ends;
  const descriptor nothing{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  if (!nothing.valid()) return errno;
  if (const int error = open_pipes(ends); error != 0) return error;
  const bool stdio = with_.options.speaks_over == service_options::channel::stdio;
  const int theirs = ends.channel.get();
  const int prints = ends.output.get();
  std::vector<int> open{nothing.get(), prints, prints, theirs};
  if (stdio) open = {theirs, theirs, prints};
  const auto number = std::string{"ROPEWALK_FD="} + (stdio ? '0' : '3') + '\0';
  return program_->start(variables() + number, open);
}

// The node's ends of channel and output, and the other ones; 0 or errno.
int handler_process::open_pipes(program_ends& theirs) {
  auto channel = make_channel();
  auto output = make_output();
  if (!channel.ours.valid() || !output.ours.valid()) return errno;
  theirs = {std::move(channel.theirs), std::move(output.theirs)};
  socket_ = std::move(channel.ours);
  output_ = std::move(output.ours);
  socket_watch_ =
      loop_->watch(socket_.get(), EPOLLIN, [this](std::uint32_t events) { on_channel(events); });
  output_watch_ = loop_->watch(output_.get(), EPOLLIN, [this](std::uint32_t) { on_output(); });
  if (socket_watch_ == 0 || output_watch_ == 0) return errno;
  stream_ = make_plain_stream(socket_.get());
  channel_.emplace(with_.max_message_bytes);
  return 0;
}

// -- its channel ------------------------------------------------------------------------------------

void handler_process::request(const process_load::request& what, const shared_bytes& payload,
                              const handler_channel::about& about, instant now) {
  ++requests_;
  const auto id = load_.begin(what, now);
  channel_->request(id, payload, std::chrono::ceil<milliseconds>(what.deadline - now), about);
}

void handler_process::flush() {
  if (!channel_ || !stream_ || channel_over_) return;
  load_.said();
  // One that takes nothing any more may have answers, or the reason, on the way.
  const bool blocked = channel_->out().send(*stream_) == outbox::state::blocked || !send_forks();
  if (blocked == wants_write_) return;
  wants_write_ = blocked;
  loop_->change(socket_watch_, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void handler_process::on_channel(std::uint32_t events) {
  if ((events & ~EPOLLOUT) != 0) read_channel(false);
  flush();
}

// Once, or all that there is.
void handler_process::read_channel(bool all) {
  while (stream_ && !channel_over_) {
    const auto got = receive_into(channel_->in(), *stream_, buffer_).state;
    if (got == stream::state::blocked) return;
    if (got != stream::state::ok) {
      channel_over_ = true;
      loop_->forget(socket_watch_);
      if (state_ != state::stopping && state_ != state::ending)
        state_until_ = clock_now() + exit_time;
      return;
    }
    for (auto said = channel_->next(); !std::holds_alternative<std::monostate>(said);
         said = channel_->next())
      if (!take(said)) return;
    if (!all) return;
  }
}

// False if nothing is heard of it any more.
bool handler_process::take(handler_channel::event& said) {
  if (const auto* ready = std::get_if<handler_channel::ready>(&said)) {
    if (state_ != state::starting) return true; // it is to end already
    state_ = state::ready;
    was_ready_ = true;
    forks_ = ready->forks;
    ready_since_ = clock_now();
    owner_->on_ready(*this, ready->concurrency);
  } else if (const auto* forked = std::get_if<handler_channel::forked>(&said)) {
    return take_forked(forked->id, static_cast<pid_t>(forked->pid), {});
  } else if (auto* answer = std::get_if<handler_channel::answer>(&said)) {
    if (forks_)
      return take_forked(answer->id, 0,
                         readable_end(answer->payload.view(), limits::max_stderr_bytes));
    const auto what = load_.end(answer->id, clock_now());
    if (!what) {
      violated("it answered a request that it was not asked, or twice: '" +
               one_line(answer->payload.view(), 64) + "'");
      return false;
    }
    ++answered_;
    owner_->on_answer(*this, *what, answer->code, std::move(answer->payload));
  } else {
    const auto& wrong = std::get<handler_channel::violation>(said);
    if (wrong.refused)
      kill(wrong.what);
    else
      violated(wrong.what);
    return false;
  }
  return true;
}

void handler_process::violated(const std::string& what) {
  kill("it broke the protocol: " + what);
}

// -- what it prints ---------------------------------------------------------------------------------

// False if there was nothing.
bool handler_process::on_output() {
  std::array<char, output_bytes> buffer;
  const auto count = ::read(output_.get(), buffer.data(), buffer.size());
  if (count > 0) {
    printed_.add({buffer.data(), static_cast<std::size_t>(count)}, clock_now(),
                 [this](std::string_view line) { log_line(line); });
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    loop_->forget(output_watch_);
    output_.close();
  }
  return count > 0;
}

void handler_process::log_line(std::string_view line) const {
  const auto who = with_.is_fork_server ? std::string{"fork server"} : with_.name();
  spdlog::info("service {}, {} says: {}", with_.service, who,
               one_line(line, handler_output::max_line_bytes));
}

// Nobody is there any more to print: what is in the pipe is all.
void handler_process::print_rest() {
  for (int most = 16; most > 0 && output_.valid() && on_output(); --most) {
  }
}

} // namespace ropewalk
