#include "actors/handlers/start_trouble.hpp"
#include "actors/node/handler_process.hpp"
#include "actors/time/clock.hpp"
#include "net/protocol/readable.hpp"

#include <csignal>
#include <cstring>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/wait.h>

// Time, and how a process comes to its end; its start and what it says: handler_process.cpp.
namespace ropewalk {

namespace {

// How often one that was killed is killed again: the word may have been lost.
constexpr milliseconds kill_interval{1000};

// How long to wait until the process that starts programs has ended all that was lost with it, and
// how long it may live on after it has given up a channel.
constexpr milliseconds lost_time{3500};

bool is_stop(const program_channel::event& event) {
  return event.what == program_channel::event::kind::ended && WIFSIGNALED(event.status) &&
         (WTERMSIG(event.status) == SIGTERM || WTERMSIG(event.status) == SIGINT);
}

} // namespace

void handler_process::stop(instant now) {
  if (state_ == state::down) return;
  wanted_ = true;
  if (state_ == state::stopping || state_ == state::ending) return;
  if (state_ == state::starting) return kill("it was not needed any more");
  state_ = state::stopping;
  state_until_ = now + with_.options.stop_timeout;
  signal_at_ = now + with_.options.stop_timeout / 2;
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
  fork_id_ = 0;
  drop_forks("its fork server was given up");
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
  for (const auto& [id, until] : asked_forks_)
    if (now >= until)
      return kill("it did not answer a FORK within " +
                  std::to_string(with_.options.start_timeout.count()) + " ms (start-timeout)");
  if (channel_over_ && now >= state_until_) return kill("it closed its channel and lives on");
  if (state_ == state::starting && now >= state_until_)
    return kill("it was not ready within " + std::to_string(with_.options.start_timeout.count()) +
                " ms (start-timeout)");
  if (state_ != state::stopping) return;
  if (signal_at_ != instant{} && now >= signal_at_) {
    signal_at_ = {};
    program_->kill(with_.options.stop_signal);
  }
  if (now >= state_until_)
    kill("it did not come to its end within " + std::to_string(with_.options.stop_timeout.count()) +
         " ms (stop-timeout)");
}

void handler_process::measure() {
  if (program_ && (state_ == state::ready || state_ == state::stopping)) program_->measure();
}

void handler_process::on_measured(std::uint64_t bytes) {
  memory_ = bytes;
  const auto max = with_.options.max_memory;
  if (state_ == state::ready && max > 0 && bytes > 2 * max)
    kill("it had " + std::to_string(bytes / limits::mib) +
         " MiB of memory, more than twice its max-memory (" + std::to_string(max / limits::mib) +
         " MiB)");
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
  if (event.what == program_channel::event::kind::measured) return on_measured(event.bytes);
  if (event.what == program_channel::event::kind::adopted) return on_adopted();
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
  if (!lost && (!is_stop(event) || load_.running() == 0 || owner_->is_leaving())) return false;
  state_ = state::ending;
  state_until_ = clock_now() + (lost ? lost_time : milliseconds{limits::stop_spread_ms});
  ended_ = event;
  return true;
}

bool handler_process::knows_enough(instant now) const {
  if (now >= state_until_) return true;
  if (ended_->what == program_channel::event::kind::lost) return program_->is_gone();
  return owner_->is_leaving();
}

std::string handler_process::end_of(const program_channel::event& event) const {
  using kind = program_channel::event::kind;
  if (!not_forked_why_.empty()) return not_forked_why_;
  std::string text;
  if (event.what == kind::not_started)
    text = explain(event.failure, with_.what);
  else if (!killed_why_.empty())
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
  else if (event.what == kind::lost || (is_stop(event) && owner_->is_leaving()))
    how.runs = load_.ended_by_others(now);
  else
    how.runs = load_.died(now);
  printed_.finish([this](std::string_view line) { log_line(line); });
  fork_id_ = 0;
  close_all();
  if (event.what == kind::lost) program_.reset();
  state_ = state::down;
  channel_over_ = program_over_ = false;
  drop_forks(how.why);
  owner_->on_down(*this, std::move(how));
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
