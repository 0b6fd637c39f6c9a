#include "actors/node/handler_process.hpp"

#include "net/protocol/readable.hpp"
#include "net/transport/descriptor_passing.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <utility>

// Processes that are forked: what the new one does, and what the one that forks it is asked. Who
// decides that it is so: fork_server.hpp.
namespace ropewalk {

// -- the process that comes about -------------------------------------------------------------------

void handler_process::start_from(handler_process& server, std::uint64_t id, instant now) {
  begin(now);
  if (!open_channel()) return;
  if (const int error = launch_from(server, id, now); error != 0) {
    close_all();
    not_launched(error);
  }
}

// 0 or errno.
int handler_process::launch_from(handler_process& server, std::uint64_t id, instant now) {
  program_ends ends;
  if (const int error = open_pipes(ends); error != 0) return error;
  const int again = ::fcntl(ends.output.get(), F_DUPFD_CLOEXEC, 0);
  if (again < 0) return errno;
  fork_id_ = id;
  mark_ = spawner_wire::mark_of('f', id);
  const auto mark = std::string{spawner_wire::mark_name} + '=' + mark_ + '\0';
  server.ask_fork(id, variables() + mark,
                  {std::move(ends.channel), std::move(ends.output), descriptor{again}}, now);
  return 0;
}

void handler_process::on_forked(pid_t pid, const std::string& why) {
  fork_id_ = 0;
  if (pid > 0) {
    const int error = program_->adopt(pid, mark_);
    if (error == 0) {
      if (state_ == state::ending) program_->kill(SIGKILL); // it is not wanted any more
      return;
    }
    close_all();
    if (error == ESRCH) {
      loop_->forget(program_watch_);
      program_.reset();
    }
    return not_launched(error);
  }
  not_forked_why_ = "it is not forked: " + why;
  went_down({program_channel::event::kind::not_started, 0, {start_step::process, 0}, 0});
}

// Only now: what is said to it has it run, and it would not be known how that ended.
void handler_process::on_adopted() {
  if (state_ != state::starting) return;
  channel_->hello(with_.service, false);
  flush();
}

// -- the fork server --------------------------------------------------------------------------------

void handler_process::ask_fork(std::uint64_t id, std::string_view environment,
                               std::array<descriptor, fork_descriptors>&& with, instant now) {
  asked_forks_.emplace(id, now + with_.options.start_timeout);
  unsent_forks_.push_back({id, handler_channel::fork(id, environment), std::move(with)});
  flush();
}

// False: there is no room for the next one. A frame goes whole, with its descriptors, or not at all.
bool handler_process::send_forks() {
  while (!unsent_forks_.empty()) {
    const auto& next = unsent_forks_.front();
    std::array<int, fork_descriptors> with{};
    for (std::size_t i = 0; i < with.size(); ++i) with[i] = next.with[i].get();
    const int error = send_packet(socket_.get(), {next.frame.data(), next.frame.size()}, with);
    if (error == EAGAIN) return false;
    const auto id = next.id;
    unsent_forks_.pop_front();
    if (error != 0) // one that is gone says so by itself
      take_forked(id, 0, std::string{"its fork server cannot be asked: "} + std::strerror(error));
  }
  return true;
}

// It is gone: what it was asked and has not answered comes to nothing.
void handler_process::drop_forks(const std::string& why) {
  unsent_forks_.clear();
  for (const auto& [id, until] : std::exchange(asked_forks_, {}))
    owner_->on_forked(*this, id, 0, "its fork server is gone: " + why);
}

// False if nothing is heard of it any more.
bool handler_process::take_forked(std::uint64_t id, pid_t pid, const std::string& why) {
  if (asked_forks_.erase(id) == 0) {
    violated("it answered a FORK that it was not asked, or twice");
    return false;
  }
  owner_->on_forked(*this, id, pid, why.empty() ? "its fork server did not say why" : why);
  return true;
}

} // namespace ropewalk
