#include "actors/node/fork_server.hpp"

#include "actors/time/clock.hpp"

#include <algorithm>
#include <spdlog/spdlog.h>
#include <utility>

namespace ropewalk {

namespace {

// Nobody else's in this process: what is forked is marked by it.
std::uint64_t next_fork() {
  static std::uint64_t last = 0; // the event loop's
  return ++last;
}

} // namespace

fork_server::fork_server(std::unique_ptr<handler_process> first, std::shared_ptr<poll_set> loop,
                         owner& mine, char* read_buffer)
    : loop_(std::move(loop)), owner_(mine), buffer_(read_buffer), process_(std::move(first)) {
  process_->belongs_to(*this);
  spdlog::info("service {}: its program is loaded, and its processes are forked from it",
               service());
}

void fork_server::start(handler_process& which, instant now) {
  which.start_from(*process_, next_fork(), now);
}

std::vector<handler_process*> fork_server::all() const {
  std::vector<handler_process*> result;
  for (auto* p : {process_.get(), next_.get(), old_.get()})
    if (p) result.push_back(p);
  return result;
}

// -- what its processes say ---------------------------------------------------------------------------

void fork_server::on_ready(handler_process& which, std::uint32_t) {
  pause_.reset();
  if (stopping_) return which.stop(clock_now());
  if (!which.is_fork_server()) {
    stop(clock_now());
    return owner_.on_no_fork_server();
  }
  const bool is_next = &which == next_.get();
  if (is_next) {
    old_ = std::exchange(process_, std::move(next_));
    replaces_ = false;
    if (old_->is_down())
      gone_.push_back(std::move(old_));
    else
      old_->stop(clock_now());
    if (std::exchange(replaces_again_, false)) replace(clock_now());
  }
  spdlog::info("service {}: its fork server is ready", service());
  owner_.on_fork_server_ready(is_next || fresh_start_);
}

void fork_server::on_forked(handler_process&, std::uint64_t id, pid_t pid, const std::string& why) {
  if (pid > 0) restart_.reset();
  owner_.on_fork_answered(id, pid, why);
}

void fork_server::on_down(handler_process& which, handler_process::ending&& how) {
  const auto now = clock_now();
  if (&which == old_.get()) {
    gone_.push_back(std::move(old_));
    return start_due(now);
  }
  if (!stopping_) schedule_start(how, now);
}

// Nothing was offered, and so nothing lost, whatever it died of.
void fork_server::schedule_start(const handler_process::ending& how, instant now) {
  const auto pause = how.was_ready ? restart_.next() : pause_.next();
  start_at_ = now + pause;
  if (!failures_.is_to_be_said(now)) return;
  const auto* const what = how.was_ready     ? "is gone"
                           : how.not_started ? "cannot be started"
                                             : "ended before it was ready";
  spdlog::error("service {}: its fork server {}: {}; trying again in {} ms{}", service(), what,
                how.why, pause.count(),
                process_->is_down() ? "" : ", and the one that it was to replace goes on");
}

// -- one in place of another --------------------------------------------------------------------------

void fork_server::replace(instant now) {
  replaces_again_ = next_ && !next_->is_down();
  if (std::exchange(replaces_, true) || stopping_) return;
  if (process_->is_down() && start_at_) return; // a fresh one comes anyway
  start_at_ = now;
  start_due(now);
}

void fork_server::start_due(instant now) {
  if (!start_at_ || now < *start_at_ || stopping_) return;
  if (next_ && !next_->is_down()) return start_at_.reset(); // it comes in any case
  if (old_) return;                                         // one after the other
  start_at_.reset();
  if (process_->is_down()) {
    fresh_start_ = std::exchange(replaces_, false);
    replaces_again_ = false;
    return process_->start(now);
  }
  handler_process::owner& me = *this;
  if (!next_) next_ = std::make_unique<handler_process>(process_->what(), loop_, me, buffer_);
  next_->start(now);
}

void fork_server::check_time(instant now) {
  gone_.clear();
  start_due(now);
  for (auto* p : all()) p->check_time(now);
}

bool fork_server::needs_time() const {
  const auto processes = all();
  return start_at_ || !gone_.empty() ||
         std::any_of(processes.begin(), processes.end(),
                     [](const handler_process* p) { return p->needs_time(); });
}

// -- the end ------------------------------------------------------------------------------------------

void fork_server::stop(instant now) {
  stopping_ = true;
  start_at_.reset();
  for (auto* p : all()) p->stop(now);
}

bool fork_server::is_down() const {
  const auto processes = all();
  return std::all_of(processes.begin(), processes.end(),
                     [](const handler_process* p) { return p->is_down(); });
}

void fork_server::give_up(instant now) {
  stopping_ = true;
  start_at_.reset();
  for (auto* p : all()) p->give_up(now);
}

} // namespace ropewalk
