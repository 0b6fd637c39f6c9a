#pragma once

#include "apps/ropewalk/options.hpp"
#include "net/client/client.hpp"
#include "net/protocol/result.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace ropewalk {

/// Asks a broker for its status, or for what `about` says (client::send_status), over one connection for as long as that lasts, and over a new one
/// after it. One thread.
class status_query {
public:
  explicit status_query(connection_options to, std::string about = {})
      : to_(std::move(to)), about_(std::move(about)) {}

  /// The answer, a JSON text (net/STATUS.md, net/MESSAGES.md). Takes at most 5 s to connect, and as long to be
  /// answered. A failure of the kind `refused` is the broker's own word, of any other kind that it is
  /// not reached.
  result<std::string> ask();

private:
  [[nodiscard]] failure no_answer_of(const client& connection) const;

  const connection_options to_;
  const std::string about_;
  std::optional<client> connection_;
};

/// What a broker says that is older or newer than this program may lack what is looked for.
failure not_understood(const std::string& broker);

/// The same again and again, on a thread of its own, so that whoever shows it can do other things
/// meanwhile, however long a broker takes that does not answer. That thread may be in the middle of
/// it when this goes, and is not waited for: end the process with leave_process.
class status_feed {
public:
  /// The first one is asked for at once; then `every` so often, counted from the question.
  status_feed(status_query query, std::chrono::milliseconds every);
  ~status_feed();
  status_feed(const status_feed&) = delete;
  status_feed& operator=(const status_feed&) = delete;

  /// Readable (poll) while `take` has something.
  [[nodiscard]] int fd() const;

  /// What was said last, once.
  [[nodiscard]] std::optional<result<std::string>> take();

  void set_interval(std::chrono::milliseconds every);
  void ask_now();

private:
  struct shared;

  static void work(status_query query, const std::shared_ptr<shared>& with);

  std::shared_ptr<shared> shared_;
};

} // namespace ropewalk
