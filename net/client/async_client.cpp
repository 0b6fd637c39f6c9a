#include "net/client/async_client.hpp"

#include "net/bytes/shared_string.hpp"
#include "net/client/client.hpp"
#include "net/client/reconnecting_client.hpp"
#include "net/protocol/limits.hpp"
#include "net/tls/tls.hpp"

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <optional>
#include <poll.h>
#include <random>
#include <stdexcept>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>

namespace ropewalk {

namespace {

using clock = std::chrono::steady_clock;

static_assert(static_cast<int>(async_client::status::failed) ==
              static_cast<int>(error_code::failed));
static_assert(static_cast<int>(async_client::status::cancelled) == error_codes - 1);
static_assert(static_cast<int>(async_client::status::connection_lost) ==
              static_cast<int>(error_code::connection_lost));

async_client::answer lost(const std::string& why) {
  return {async_client::status::connection_lost, why, {}};
}

request_options options_of(const async_client::request& what) {
  request_options options;
  if (what.timeout.count() > 0) options.timeout = what.timeout;
  if (what.attempts > 0)
    options.attempts = static_cast<std::uint8_t>(std::min(what.attempts, 255u));
  options.key = what.key;
  if (what.priority != 1)
    options.priority = static_cast<std::uint8_t>(std::min(what.priority, 255u));
  return options;
}

// What the protocol has no place for is not sent.
std::optional<async_client::answer> refusal_of(const async_client::request& what) {
  using status = async_client::status;
  if (what.service.empty() || what.service.size() > limits::max_service_bytes)
    return async_client::answer{status::bad_request, "a service's name has 1 to 128 bytes", {}};
  if (what.key.size() > 255)
    return async_client::answer{status::bad_request, "a key has at most 255 bytes", {}};
  if (what.payload.size() > limits::max_frame_payload_bytes)
    return async_client::answer{status::too_large, "no broker takes so large a message", {}};
  return std::nullopt;
}

} // namespace

class async_client::connection_thread {
public:
  using answer_function = std::function<void(answer&&)>;

  connection_thread(settings with, endpoint broker)
      : with_(std::move(with)), broker_(std::move(broker)),
        backoff_(reconnect_settings{}, std::random_device{}()),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), thread_([this] { run(); }) {}

  connection_thread(const connection_thread&) = delete;
  connection_thread& operator=(const connection_thread&) = delete;

  ~connection_thread() {
    {
      const std::lock_guard lock{mutex_};
      stopping_ = true;
    }
    wake();
    thread_.join();
  }

  void send(request&& what, answer_function on_answer) {
    {
      std::unique_lock lock{mutex_};
      if (std::this_thread::get_id() != thread_.get_id())
        room_.wait(lock, [this] { return unanswered_ < with_.max_unanswered; });
      if (stopping_) return; // from within an answer that says so
      ++unanswered_;
      queued_.push_back({std::move(what), std::move(on_answer), clock::now()});
    }
    wake();
  }

private:
  struct queued_request {
    request what;
    answer_function on_answer;
    clock::time_point since;
  };

  void wake() const {
    const std::uint64_t one = 1;
    // It is full only if it was not read for 2^64 times.
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
  }

  void run() {
    // What signals the process is the program's to see, and a pipe that broke is an error here.
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (take_queued()) {
      if (!connection_ && !waiting_.empty() && clock::now() >= next_try_) try_to_connect();
      if (connection_) send_waiting();
      wait();
    }
    const std::string why = "the client was closed";
    lose_open(why);
    lose_waiting(why, clock::time_point::max());
  }

  // False: all is to end.
  bool take_queued() {
    const std::lock_guard lock{mutex_};
    for (auto& one : queued_) waiting_.push_back(std::move(one));
    queued_.clear();
    return !stopping_;
  }

  void answer_with(const answer_function& on_answer, answer&& what) {
    on_answer(std::move(what));
    {
      const std::lock_guard lock{mutex_};
      --unanswered_;
    }
    room_.notify_one();
  }

  result<client> open_connection() {
    if (with_.tls_authority.empty()) return client::connect(broker_, with_.connect_timeout);
    const auto context = tls_context::for_client(
        {with_.tls_certificate, with_.tls_key, with_.tls_authority}, roles::client_to_broker);
    if (!context) return context.why();
    auto connected = connect_tls(broker_, **context, with_.connect_timeout);
    if (!connected) return std::move(connected).why();
    return client{*std::move(connected)};
  }

  result<client> connect() {
    auto made = open_connection();
    if (!made || with_.token.empty()) return made;
    if (auto welcome = made->hello(with_.token, with_.connect_timeout); !welcome)
      return std::move(welcome).why();
    return made;
  }

  void try_to_connect() {
    auto made = connect();
    if (made) {
      backoff_.reset();
      connection_.emplace(*std::move(made));
      return;
    }
    next_try_ = clock::now() + backoff_.next();
    const bool may_come_back =
        made.why().kind == failure_kind::unavailable || made.why().kind == failure_kind::exhausted;
    // Who would have to wait beyond the next try has waited long enough.
    lose_waiting("it was not sent: " + made.why().text(),
                 may_come_back ? next_try_ - with_.give_up_after : clock::time_point::max());
  }

  void send_waiting() {
    for (; !waiting_.empty(); waiting_.pop_front()) {
      auto& one = waiting_.front();
      if (auto refused = refusal_of(one.what)) {
        answer_with(one.on_answer, *std::move(refused));
        continue;
      }
      const auto options = options_of(one.what);
      const auto id =
          connection_->send(one.what.service, share(std::move(one.what.payload)), options);
      open_.emplace(id, std::move(one.on_answer));
    }
    connection_->flush();
  }

  void wait() {
    std::array<pollfd, 2> fds{pollfd{wake_.get(), POLLIN, 0}, pollfd{-1, 0, 0}};
    if (connection_)
      fds[1] = {connection_->fd(),
                static_cast<short>(connection_->wants_write() ? POLLIN | POLLOUT : POLLIN), 0};
    int timeout_ms = -1;
    if (!connection_ && !waiting_.empty()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_try_ - clock::now());
      timeout_ms = static_cast<int>(std::max<std::int64_t>(left.count(), 0));
    }
    ::poll(fds.data(), fds.size(), timeout_ms);
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
    if (connection_ && (fds[1].revents & ~POLLOUT) != 0) read();
  }

  void read() {
    const bool goes_on = connection_->receive([this](const client_answer& got) {
      const auto found = open_.find(got.id);
      if (found == open_.end()) return;
      const auto on_answer = std::move(found->second);
      open_.erase(found);
      answer_with(on_answer, {static_cast<status>(got.code), std::string{got.payload.view()},
                              std::chrono::milliseconds{got.retry_after_ms}});
    });
    if (!goes_on) lose_open(connection_->why_closed() + "; what was asked may have run");
  }

  void lose_open(const std::string& why) {
    connection_.reset();
    for (auto& [id, on_answer] : std::exchange(open_, {})) answer_with(on_answer, lost(why));
  }

  // Those that have waited since then or longer.
  void lose_waiting(const std::string& why, clock::time_point since) {
    while (!waiting_.empty() && waiting_.front().since <= since) {
      const auto on_answer = std::move(waiting_.front().on_answer);
      waiting_.pop_front();
      answer_with(on_answer, lost(why));
    }
  }

  const settings with_;
  const endpoint broker_;

  std::mutex mutex_; // of these four
  std::condition_variable room_;
  std::deque<queued_request> queued_; // that the thread has not taken yet
  std::size_t unanswered_ = 0;
  bool stopping_ = false;

  // The thread's own.
  std::deque<queued_request> waiting_; // for a connection
  std::optional<client> connection_;
  std::unordered_map<std::uint64_t, answer_function> open_; // by id: sent, and without an answer
  reconnect_backoff backoff_;
  clock::time_point next_try_{};

  const descriptor wake_;
  std::thread thread_; // the last: all else is there when it begins
};

async_client::async_client(settings with) {
  auto broker = parse_endpoint(with.broker);
  if (!broker) throw std::invalid_argument{"'" + with.broker + "' is no HOST:PORT"};
  with.max_unanswered = std::max<std::size_t>(with.max_unanswered, 1);
  thread_ = std::make_unique<connection_thread>(std::move(with), *std::move(broker));
}

async_client::~async_client() = default;

async_client::answer async_client::call(request what) {
  return send(std::move(what)).get();
}

std::future<async_client::answer> async_client::send(request what) {
  auto promised = std::make_shared<std::promise<answer>>(); // a std::function is copied
  auto result = promised->get_future();
  send(std::move(what), [promised](answer&& got) { promised->set_value(std::move(got)); });
  return result;
}

void async_client::send(request what, std::function<void(answer&&)> on_answer) {
  thread_->send(std::move(what), std::move(on_answer));
}

std::string_view async_client::name_of(status which) {
  return ropewalk::name_of(static_cast<error_code>(which));
}

} // namespace ropewalk
