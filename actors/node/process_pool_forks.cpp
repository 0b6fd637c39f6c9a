#include "actors/node/process_pool.hpp"

#include <spdlog/spdlog.h>
#include <utility>

// How the processes of a pool come about: by a start, or from a fork server, which the first process
// may turn out to be. And those that are for one request alone.
namespace ropewalk {

void process_pool::start(handler_process& which, instant now) {
  if (forks_)
    forks_->start(which, now);
  else
    which.start(now);
}

void process_pool::start_others(instant now) {
  if (std::exchange(others_started_, true) || draining_) return;
  for (auto& m : members_) {
    if (!m.wanted || !m.process->is_down() || m.start_at) continue;
    m.start_at = now;
    start_due(m, now);
  }
}

// -- a fork server ------------------------------------------------------------------------------------

// A member's process, or the one that was to take its place, has said that it is one. What it was to
// be is forked from it.
void process_pool::fork_from(handler_process& server) {
  const auto now = clock_now();
  auto& m = of(server);
  if (forks_) return server.stop(now); // one is enough
  auto& place = &server == m.process.get() ? m.process : m.next;
  fork_server::owner& mine = *this;
  if (&place == &m.next) m.replaces = m.replaces_again = false; // that is what came of it
  auto first = std::exchange(place, make_process(server.what().number));
  forks_ = std::make_unique<fork_server>(std::move(first), polls_, mine, buffer_.get());
  others_started_ = true;
  on_fork_server_ready(true);
}

// What is not there is forked; with a fresh server all that is there is replaced, too.
void process_pool::on_fork_server_ready(bool fresh) {
  const auto now = clock_now();
  for (auto& m : members_)
    if (m.wanted && m.process->is_down() && !m.start_at) m.start_at = now;
  if (fresh) replace_all();
  for (auto& m : members_) start_due(m, now);
}

// False: what is due of starts has to wait. What is offered for a process that is spent would wait
// with it.
bool process_pool::may_start(member& m, instant now) {
  if (!forks_ || forks_->is_ready()) return true;
  if (is_spent(m) && !m.offered.empty()) close_all(m, 0, now);
  return false;
}

void process_pool::on_fork_answered(std::uint64_t id, pid_t pid, const std::string& why) {
  for (auto& m : members_) // one that is on its way out waits for its process, too
    for (auto* p : all_of(m))
      if (p->awaits_fork() == id) return p->on_forked(pid, why);
}

void process_pool::on_no_fork_server() {
  spdlog::info("service {}: its program is no fork server any more, and its processes are started",
               settings_.process.service);
  forks_gone_.push_back(std::move(forks_));
  replace_all();
}

void process_pool::check_fork_servers(instant now) {
  std::erase_if(forks_gone_, [](const auto& server) { return server->is_down(); });
  for (const auto& server : forks_gone_) server->check_time(now);
  if (forks_) forks_->check_time(now); // and may be one of the others by then
}

// -- for one request alone ----------------------------------------------------------------------------

// With `recycle-after=1` each request has a process of its own.
bool process_pool::is_spent(const member& m) const {
  return settings_.process.options.recycle_after == 1 && m.process->requests() > 0;
}

void process_pool::end_spent(member& m, instant now) {
  if (is_spent(m) && m.process->load().running() == 0) m.process->stop(now);
}

} // namespace ropewalk
