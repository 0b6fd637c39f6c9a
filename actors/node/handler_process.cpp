#include "actors/node/handler_process.hpp"

#include "actors/handlers/start_trouble.hpp"
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

instant clock_now() {
  return std::chrono::steady_clock::now();
}

// A process that has closed its channel is on its way out; how long that may take.
constexpr milliseconds exit_time{1000};

// How often one that was killed is killed again: the word may have been lost.
constexpr milliseconds kill_interval{1000};

// How long to wait until the process that starts programs has ended all that was lost with it, and
// how long it may live on after it has given up a channel.
constexpr milliseconds lost_time{3500};

// One look at what a handler prints reads so much at most, in bytes: the others wait meanwhile.
constexpr std::size_t output_bytes = 64 * limits::kib;

bool is_stop(const program_channel::event& event) {
  return event.what == program_channel::event::kind::ended && WIFSIGNALED(event.status) &&
         (WTERMSIG(event.status) == SIGTERM || WTERMSIG(event.status) == SIGINT);
}

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
    : with_(std::move(with)), loop_(std::move(loop)), owner_(mine), buffer_(read_buffer) {}

handler_process::~handler_process() {
  give_up(instant{});
  loop_->forget(program_watch_);
}

// -- its start --------------------------------------------------------------------------------------

void handler_process::start(instant now) {
  state_ = state::starting;
  state_until_ = now + with_.options.start_timeout;
  was_ready_ = wanted_ = overdue_ = channel_over_ = program_over_ = wants_write_ = false;
  killed_why_.clear();
  ended_.reset();
  requests_ = answered_ = 0;
  // The second time is for a spawner that was ended since the last start.
  for (int tries = 0; tries < 2; ++tries) {
    if (!open_channel()) return;
    const int error = launch();
    if (error == 0) {
      channel_->hello(with_.service);
      return flush();
    }
    close_all();
    loop_->forget(program_watch_);
    program_.reset();
    if (error == ESRCH && tries == 0) continue;
    const start_failure failure{error == ESRCH ? start_step::spawner : start_step::pipes, error};
    return went_down({program_channel::event::kind::not_started, 0, failure});
  }
}

bool handler_process::open_channel() {
  if (program_) return true;
  auto opened = spawner::of_process().open(with_.what);
  if (const auto* failure = std::get_if<start_failure>(&opened)) {
    went_down({program_channel::event::kind::not_started, 0, *failure});
    return false;
  }
  program_.emplace(std::move(std::get<program_channel>(opened)));
  program_watch_ = loop_->watch(program_->fd(), EPOLLIN, [this](std::uint32_t) { on_program(); });
  if (program_watch_ != 0) return true;
  const start_failure failure{start_step::pipes, errno};
  program_.reset();
  went_down({program_channel::event::kind::not_started, 0, failure});
  return false;
}

// 0, or an errno as of program_channel::start.
int handler_process::launch() {
  auto channel = make_channel();
  auto output = make_output();
  const descriptor nothing{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  if (!channel.ours.valid() || !output.ours.valid() || !nothing.valid()) return errno;
  std::string variables;
  const auto add = [&](std::string_view name, std::string_view value) {
    variables.append(name).append(1, '=').append(value).push_back('\0');
  };
  add("ROPEWALK_SERVICE", with_.service);
  add("ROPEWALK_FD", "3");
  add("ROPEWALK_PROCESS", std::to_string(with_.number));
  const std::array open{nothing.get(), output.theirs.get(), output.theirs.get(),
                        channel.theirs.get()};
  socket_ = std::move(channel.ours);
  output_ = std::move(output.ours);
  socket_watch_ =
      loop_->watch(socket_.get(), EPOLLIN, [this](std::uint32_t events) { on_channel(events); });
  output_watch_ = loop_->watch(output_.get(), EPOLLIN, [this](std::uint32_t) { on_output(); });
  if (socket_watch_ == 0 || output_watch_ == 0) return errno;
  stream_ = make_plain_stream(socket_.get());
  channel_.emplace(with_.max_message_bytes);
  return program_->start(variables, open);
}

// -- its channel ------------------------------------------------------------------------------------

void handler_process::request(const process_load::request& what, const shared_bytes& payload,
                              std::uint8_t attempt, instant now) {
  ++requests_;
  const auto id = load_.begin(what, now);
  channel_->request(id, payload, std::chrono::ceil<milliseconds>(what.deadline - now), attempt);
}

void handler_process::flush() {
  if (!channel_ || !stream_ || channel_over_) return;
  load_.said();
  // One that takes nothing any more may have answers, or the reason, on the way.
  const bool blocked = channel_->out().send(*stream_) == outbox::state::blocked;
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
    const auto got = receive_into(channel_->in(), *stream_, buffer_);
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
    ready_since_ = clock_now();
    owner_.on_ready(*this, ready->concurrency);
  } else if (auto* answer = std::get_if<handler_channel::answer>(&said)) {
    const auto what = load_.end(answer->id, clock_now());
    if (!what) {
      violated("it answered a request that it was not asked, or twice: '" +
               one_line(answer->payload.view(), 64) + "'");
      return false;
    }
    ++answered_;
    owner_.on_answer(*this, *what, answer->code, std::move(answer->payload));
  } else {
    violated(std::get<handler_channel::violation>(said).what);
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
                 [this](std::string_view line) {
                   spdlog::info("service {}, process {} says: {}", with_.service, with_.number,
                                one_line(line, handler_output::max_line_bytes));
                 });
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    loop_->forget(output_watch_);
    output_.close();
  }
  return count > 0;
}

// Nobody is there any more to print: what is in the pipe is all.
void handler_process::print_rest() {
  for (int most = 16; most > 0 && output_.valid() && on_output(); --most) {
  }
}

// -- time and its end -------------------------------------------------------------------------------

void handler_process::stop(instant now) {
  if (state_ == state::down) return;
  wanted_ = true;
  if (state_ == state::stopping || state_ == state::ending) return;
  if (state_ == state::starting) return kill("it was not needed any more");
  state_ = state::stopping;
  state_until_ = now + with_.options.stop_timeout;
  ::shutdown(socket_.get(), SHUT_WR);
}

std::vector<process_load::verdict> handler_process::give_up(instant now) {
  if (program_ && state_ != state::down) {
    loop_->forget(program_watch_);
    program_->kill(SIGKILL);
    program_->abandon(); // nothing here waits; the spawner sees to its end
    program_.reset();
  }
  close_all();
  state_ = state::down;
  return load_.ended_by_others(now);
}

void handler_process::check_time(instant now) {
  if (ended_ && knows_enough(now)) return went_down(*std::exchange(ended_, std::nullopt));
  if (state_ == state::down || ended_) return;
  if (state_ == state::ending) {
    if (now < state_until_) return;
    state_until_ = now + kill_interval;
    return program_->kill(SIGKILL);
  }
  for (const auto id : load_.take_unwanted(now, with_.options.stop_timeout)) channel_->cancel(id);
  flush();
  if (load_.is_overdue(now)) {
    overdue_ = true;
    return kill("it did not answer a request in time, nor when it was told to stop");
  }
  if (channel_over_ && now >= state_until_) return kill("it closed its channel and lives on");
  if (state_ == state::starting && now >= state_until_)
    return kill("it was not ready within " + std::to_string(with_.options.start_timeout.count()) +
                " ms (start-timeout)");
  if (state_ == state::stopping && now >= state_until_)
    kill("it did not come to its end within " + std::to_string(with_.options.stop_timeout.count()) +
         " ms (stop-timeout)");
}

void handler_process::kill(std::string why) {
  killed_why_ = std::move(why);
  state_ = state::ending;
  state_until_ = clock_now() + kill_interval;
  loop_->forget(socket_watch_);
  program_->kill(SIGKILL); // on_program hears of it
}

void handler_process::on_program() {
  if (!program_) return;
  const auto event = program_->take_event(program_channel::wait::no);
  if (event.what == program_channel::event::kind::none) return;
  if (event.what == program_channel::event::kind::lost) loop_->forget(program_watch_);
  if (state_ == state::down) return program_.reset(); // the spawner is gone, and nothing ran
  program_over_ = true;
  if (state_ != state::ending) read_channel(true); // what it answered before it went
  print_rest();
  if (!waits_for_more(event)) went_down(event);
}

// Before what ran there is run elsewhere, all of it must be gone that may still be at it. And who
// stops a node and all that it started (a service manager that signals every process) reaches the
// one and the other within moments, in any order.
bool handler_process::waits_for_more(const program_channel::event& event) {
  const bool lost = event.what == program_channel::event::kind::lost;
  if (!lost && (!is_stop(event) || load_.running() == 0 || owner_.is_leaving())) return false;
  state_ = state::ending;
  state_until_ = clock_now() + (lost ? lost_time : milliseconds{limits::stop_spread_ms});
  ended_ = event;
  return true;
}

bool handler_process::knows_enough(instant now) const {
  if (now >= state_until_) return true;
  if (ended_->what == program_channel::event::kind::lost) return program_->is_gone();
  return owner_.is_leaving();
}

std::string handler_process::end_of(const program_channel::event& event) const {
  using kind = program_channel::event::kind;
  if (event.what == kind::not_started) return explain(event.failure, with_.what);
  std::string text;
  if (!killed_why_.empty())
    text = killed_why_ + ", and was ended";
  else if (event.what == kind::lost)
    text = "it was ended together with the process that starts programs";
  else if (WIFSIGNALED(event.status))
    text = "it was killed by signal " + std::to_string(WTERMSIG(event.status)) + " (" +
           ::strsignal(WTERMSIG(event.status)) + ")";
  else
    text = "it ended with exit status " + std::to_string(WEXITSTATUS(event.status));
  if (channel_ && killed_why_.empty() && channel_->in_message())
    text += ", in the middle of a frame";
  const auto said = readable_end(printed_.tail(), limits::max_stderr_bytes);
  return said.empty() ? text : text + "; it had said: " + said;
}

void handler_process::went_down(const program_channel::event& event) {
  using kind = program_channel::event::kind;
  ending how;
  how.was_ready = was_ready_;
  how.wanted = wanted_;
  how.not_started = event.what == kind::not_started;
  how.answered = answered_;
  if (was_ready_) how.lived = std::chrono::duration_cast<milliseconds>(clock_now() - ready_since_);
  how.why = end_of(event);
  const auto now = clock_now();
  if (overdue_)
    how.runs = load_.ended_overdue(now);
  else if (event.what == kind::lost || (is_stop(event) && owner_.is_leaving()))
    how.runs = load_.ended_by_others(now);
  else
    how.runs = load_.died(now);
  printed_.finish([this](std::string_view line) {
    spdlog::info("service {}, process {} says: {}", with_.service, with_.number,
                 one_line(line, handler_output::max_line_bytes));
  });
  close_all();
  if (event.what == kind::lost) program_.reset();
  state_ = state::down;
  channel_over_ = program_over_ = false;
  owner_.on_down(*this, std::move(how));
}

void handler_process::close_all() {
  loop_->forget(socket_watch_);
  loop_->forget(output_watch_);
  stream_.reset();
  channel_.reset();
  socket_.close();
  output_.close();
}

} // namespace ropewalk
