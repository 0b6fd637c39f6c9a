#include "actors/handlers/command.hpp"

#include "actors/handlers/program_line.hpp"
#include "actors/handlers/start_trouble.hpp"
#include "actors/supervise/spawner.hpp"
#include "net/protocol/frame.hpp"
#include "net/protocol/limits.hpp"
#include "net/protocol/readable.hpp"
#include "net/protocol/trace_context.hpp"
#include "net/transport/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace ropewalk {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How often a running program's invocation is asked whether anybody still wants its answer.
constexpr milliseconds stop_check{50};

// How long the news of a killed program's end may take: more than its spawner waits for what cannot
// be killed.
constexpr milliseconds end_timeout{5000};

struct pipe_ends {
  descriptor read;
  descriptor write;
};

// Our end does not block; the program's does, as programs expect.
std::optional<pipe_ends> make_pipe(bool ours_writes) {
  std::array<int, 2> fds{-1, -1};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return std::nullopt;
  ::fcntl(fds[ours_writes ? 1 : 0], F_SETFL, (ours_writes ? O_WRONLY : O_RDONLY) | O_NONBLOCK);
  return pipe_ends{descriptor{fds[0]}, descriptor{fds[1]}};
}

// When a program is ended, so that what it said is known at the deadline.
steady_clock::time_point with_last_words(steady_clock::time_point deadline) {
  const auto left = deadline - steady_clock::now();
  return deadline - std::clamp<steady_clock::duration>(left / 20, steady_clock::duration{},
                                                       milliseconds{limits::last_words_ms});
}

// One run of a program, from its start until it has come to its end: then `code` says whether that
// was before its time.
class conversation {
public:
  conversation(program_channel& with, const invocation& what, std::size_t max_reply_bytes)
      : with_(with), what_(what), max_reply_bytes_(max_reply_bytes),
        deadline_(with_last_words(what.deadline)), input_(what.payload.view()) {}

  // 0, or as program_channel::start, or what pipe() says.
  int start(std::string_view variables);

  // The program's end decides, not that of its pipes: it may have closed them long before, or left
  // them to others.
  program_channel::event run();

  [[nodiscard]] std::optional<error_code> cut_short() const { return cut_short_; }
  [[nodiscard]] const std::string& reply() const { return reply_; }
  [[nodiscard]] const std::string& complaint() const { return complaint_; }

private:
  void feed();
  bool receive(descriptor& from, std::string& into);
  void take_complaint();
  void end_early(error_code why);
  std::optional<error_code> reason_to_end(steady_clock::time_point now) const;

  program_channel& with_;
  const invocation& what_;
  std::size_t max_reply_bytes_;
  steady_clock::time_point deadline_; // of the program
  std::string_view input_;            // what the program has not got yet
  descriptor in_, out_, error_;
  bool held_ = false; // in_, elsewhere
  std::string reply_;
  std::string complaint_;
  std::optional<error_code> cut_short_; // it was killed: why
};

int conversation::start(std::string_view variables) {
  auto in = make_pipe(true);
  auto out = make_pipe(false);
  auto error = make_pipe(false);
  if (!in || !out || !error) return errno;
  in_ = std::move(in->write);
  out_ = std::move(out->read);
  error_ = std::move(error->read);
  feed(); // most messages fit into the pipe: then all of it is there when the program looks
  held_ = in_.valid();
  return with_.start(variables, std::array{in->read.get(), out->write.get(), error->write.get()},
                     in_.get());
}

// Who starts the program holds the pipe as well: what closes it is the end of the message, and not
// that of this run or of the node, which a program would take for it, and work on a part as if it
// were the whole.
void conversation::feed() {
  while (!input_.empty()) {
    const auto count = ::write(in_.get(), input_.data(), input_.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) break; // a program that does not want all of its input is none the worse for it
    input_.remove_prefix(static_cast<std::size_t>(count));
  }
  in_.close();
  if (std::exchange(held_, false)) with_.release_held();
}

// False when there is nothing more for now.
bool conversation::receive(descriptor& from, std::string& into) {
  if (!from.valid()) return false;
  std::array<char, 65536> buffer;
  const auto count = ::read(from.get(), buffer.data(), buffer.size());
  if (count > 0)
    into.append(buffer.data(), static_cast<std::size_t>(count));
  else if (count == 0 || (errno != EAGAIN && errno != EINTR))
    from.close();
  return count > 0;
}

void conversation::take_complaint() {
  if (complaint_.size() > 2 * limits::max_stderr_bytes)
    complaint_.erase(0, complaint_.size() - limits::max_stderr_bytes);
}

std::optional<error_code> conversation::reason_to_end(steady_clock::time_point now) const {
  if (now >= deadline_) return error_code::timeout;
  if (what_.stop && what_.stop->load()) return error_code::cancelled;
  if (reply_.size() > max_reply_bytes_) return error_code::too_large;
  return std::nullopt;
}

void conversation::end_early(error_code why) {
  cut_short_ = why;
  with_.kill(SIGKILL);
}

program_channel::event conversation::run() {
  auto until = deadline_;
  for (;;) {
    const auto now = steady_clock::now();
    if (!cut_short_) {
      if (const auto why = reason_to_end(now)) {
        end_early(*why);
        until = now + end_timeout;
      }
    } else if (now >= until) {
      with_.abandon();
      return {};
    }
    // Of a program that is on its way out only its end is of interest.
    std::array<pollfd, 4> fds{pollfd{with_.fd(), POLLIN, 0},
                              pollfd{cut_short_ ? -1 : in_.get(), POLLOUT, 0},
                              pollfd{cut_short_ ? -1 : out_.get(), POLLIN, 0},
                              pollfd{cut_short_ ? -1 : error_.get(), POLLIN, 0}};
    const auto timeout = std::min(stop_check, std::chrono::ceil<milliseconds>(until - now));
    ::poll(fds.data(), fds.size(), static_cast<int>(timeout.count()));
    if (fds[1].revents != 0) feed();
    if (fds[2].revents != 0) receive(out_, reply_);
    if (fds[3].revents != 0) receive(error_, complaint_);
    take_complaint();
    if (fds[0].revents == 0) continue;
    const auto event = with_.take_event();
    if (event.what == program_channel::event::kind::none) continue;
    // Nobody is there any more to write: what is in the pipes is all.
    while (reply_.size() <= max_reply_bytes_ && receive(out_, reply_)) {
    }
    while (receive(error_, complaint_)) take_complaint();
    return event;
  }
}

class command final : public handler {
public:
  command(program what, const handler_options& options)
      : max_reply_bytes_(options.max_reply_bytes), program_(std::move(what)) {
    set_surroundings(program_, options.around);
    ::signal(SIGPIPE, SIG_IGN);
  }

  outcome run(invocation& what) override;

private:
  outcome start_failed(const start_failure& why) const {
    return not_started(explain(why, program_));
  }
  outcome answer(const program_channel::event& end, const conversation& had) const;

  std::size_t max_reply_bytes_;
  program program_;
  std::optional<program_channel> channel_; // from the first message on
};

std::string variables_of(const invocation& what) {
  const auto left = std::chrono::ceil<milliseconds>(what.deadline - steady_clock::now());
  std::string result;
  const auto add = [&](std::string_view name, std::string_view value) {
    result.append(name).append(1, '=').append(value).push_back('\0');
  };
  add("ROPEWALK_SERVICE", what.service);
  // What has a 0 in it is nothing for an environment.
  const auto add_text = [&](std::string_view name, std::string_view value) {
    if (!value.empty() && value.find('\0') == std::string_view::npos) add(name, value);
  };
  frame_fields fields;
  if (!what.fields.empty() && read_fields(what.fields, fields)) {
    add_text("ROPEWALK_KEY", fields.key);
    add_text("ROPEWALK_TRACE", fields.trace);
    if (read_traceparent(fields.trace)) add_text("TRACEPARENT", fields.trace);
    add_text("ROPEWALK_CLIENT", fields.client);
  }
  add("ROPEWALK_ID", std::to_string(what.id));
  add("ROPEWALK_ATTEMPT", std::to_string(what.attempt));
  add("ROPEWALK_TIMEOUT_MS", std::to_string(std::max<long long>(left.count(), 0)));
  return result;
}

outcome command::run(invocation& what) {
  const auto variables = variables_of(what);
  // The second time is for a spawner that was ended since the last message.
  for (int tries = 0;; ++tries) {
    if (!channel_) {
      auto opened = spawner::of_process().open(program_);
      if (const auto* failure = std::get_if<start_failure>(&opened)) return start_failed(*failure);
      channel_.emplace(std::move(std::get<program_channel>(opened)));
    }
    conversation talk{*channel_, what, max_reply_bytes_};
    const int error = talk.start(variables);
    if (error == ESRCH) channel_.reset();
    if (error == ESRCH && tries == 0) continue;
    if (error != 0)
      return start_failed({error == ESRCH ? start_step::spawner : start_step::pipes, error});
    const auto end = talk.run();
    // Not before its time, though the program had somewhat less.
    if (talk.cut_short() == error_code::timeout) std::this_thread::sleep_until(what.deadline);
    using kind = program_channel::event::kind;
    if (end.what == kind::lost || end.what == kind::none) channel_.reset();
    return end.what == kind::not_started ? start_failed(end.failure) : answer(end, talk);
  }
}

// What a service manager or a terminal sends to all that there is of a node.
bool is_stop(int signal) {
  return signal == SIGTERM || signal == SIGINT;
}

outcome command::answer(const program_channel::event& end, const conversation& had) const {
  auto said = readable_end(had.complaint(), limits::max_stderr_bytes);
  while (said.ends_with('\n')) said.pop_back(); // logs and tables would show it as a '?'
  const auto with_what_it_said = [&](const std::string& text, const char* between) {
    return said.empty() ? text : text + between + said;
  };
  if (had.cut_short() == error_code::timeout)
    return {error_code::timeout, shared_bytes::copy_of(with_what_it_said(
                                     "the program was ended at the deadline", "; it had said: "))};
  if (had.cut_short() == error_code::cancelled) return {error_code::cancelled, {}};
  if (had.cut_short() || had.reply().size() > max_reply_bytes_)
    return {error_code::too_large,
            shared_bytes::copy_of("the program's output is over the cap on messages")};
  if (end.what == program_channel::event::kind::lost)
    return lost(with_what_it_said(
        "the program was ended together with the process that starts programs", ": "));
  if (WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0)
    return {error_code::ok, shared_bytes::copy_of(had.reply())};
  if (WIFEXITED(end.status)) {
    auto result =
        failed(with_what_it_said("exit status " + std::to_string(WEXITSTATUS(end.status)), ": "));
    // A shell says so of what it ran.
    if (is_stop(WEXITSTATUS(end.status) - 128)) result.what = outcome::kind::stopped;
    return result;
  }
  // It did not say that it failed: it crashed, or somebody killed it (out of memory, perhaps).
  const int signal = WTERMSIG(end.status);
  auto result =
      lost(with_what_it_said("the program was killed by signal " + std::to_string(signal) + " (" +
                                 ::strsignal(signal) + ")",
                             ": "));
  if (is_stop(signal)) result.what = outcome::kind::stopped;
  return result;
}

} // namespace

result<handler_maker> parse_command(const std::string& line) {
  auto what = parse_program("cmd", line);
  if (!what) return std::move(what).why();
  return handler_maker{[what = *std::move(what)](const handler_options& options) {
    return std::make_unique<command>(what, options);
  }};
}

std::string command_usage() {
  return "cmd:PROGRAM ARG...";
}

} // namespace ropewalk
