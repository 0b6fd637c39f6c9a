#pragma once

#include "actors/node/handler_process.hpp"
#include "actors/node/start_pause.hpp"
#include "actors/supervise/restart_policy.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ropewalk {

/// Supervises the fork server of one service: a process that has loaded its program and takes no
/// requests, but from which the service's processes are forked. There is one that is in use, and
/// while the service is reloaded one that is to take its place.
///
/// Its death is no loss to those that it has forked, which are the spawner's children. It is started
/// again, with a pause that grows; what is not ready within start-timeout is ended and tried again,
/// and a new version that never is leaves the old one at work. Lives on the event loop, as its
/// processes do; never waits.
class fork_server final : private handler_process::owner {
public:
  /// Who wants processes of it, and is told. Must not destroy it from within.
  class owner {
  public:
    /// It can be asked. `fresh`: it has been loaded anew, because that was wanted.
    virtual void on_fork_server_ready(bool fresh) = 0;

    /// `on_forked` of the process that awaits this is to be called.
    virtual void on_fork_answered(std::uint64_t id, pid_t pid, const std::string& why) = 0;

    /// Its program is no fork server any more: it ends, and forks nothing.
    virtual void on_no_fork_server() = 0;

    [[nodiscard]] virtual bool is_leaving() const = 0;

  protected:
    ~owner() = default;
  };

  /// `first` has just said that it is a fork server.
  fork_server(std::unique_ptr<handler_process> first, std::shared_ptr<poll_set> loop, owner& mine,
              char* read_buffer);

  [[nodiscard]] bool is_ready() const { return process_->is_ready(); }

  /// One that is ready: has `which`, which is down, forked from it.
  void start(handler_process& which, instant now);

  /// Loads its program anew, and forks from that once it is ready.
  void replace(instant now);

  void stop(instant now);
  [[nodiscard]] bool is_down() const;

  /// Kills it.
  void give_up(instant now);

  /// To be called every so often while `needs_time`.
  void check_time(instant now);
  [[nodiscard]] bool needs_time() const;

private:
  // handler_process::owner
  void on_ready(handler_process& which, std::uint32_t concurrency) override;
  void on_answer(handler_process&, process_load::ended, error_code, shared_bytes&&) override {}
  void on_down(handler_process& which, handler_process::ending&& how) override;
  void on_forked(handler_process& which, std::uint64_t id, pid_t pid,
                 const std::string& why) override;
  [[nodiscard]] bool is_leaving() const override { return owner_.is_leaving(); }

  void start_due(instant now);
  void schedule_start(const handler_process::ending& how, instant now);
  [[nodiscard]] std::vector<handler_process*> all() const;
  [[nodiscard]] const std::string& service() const { return process_->what().service; }

  std::shared_ptr<poll_set> loop_;
  owner& owner_;
  char* const buffer_;
  std::unique_ptr<handler_process> process_;
  std::unique_ptr<handler_process> next_;              // is to take its place, once it is ready
  std::unique_ptr<handler_process> old_;               // gave its place up
  std::vector<std::unique_ptr<handler_process>> gone_; // are over; not destroyed from within
  std::optional<instant> start_at_; // of `process_`, which is down; or, if `replaces_`, of `next_`
  bool replaces_ = false;
  bool fresh_start_ = false;    // of `process_`: it was to be loaded anew
  bool replaces_again_ = false; // what is being loaded may be older than the wish
  bool stopping_ = false;
  start_pause pause_;                                        // of starts that came to nothing
  backoff restart_{milliseconds{20}, milliseconds{5000}, 1}; // of ends after it was ready
  start_failures failures_;
};

} // namespace ropewalk
