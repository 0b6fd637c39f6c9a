#pragma once

#include "net/client/client.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <random>
#include <set>

namespace ropewalk {

/// How a lost broker is looked for.
struct reconnect_settings {
  std::chrono::milliseconds first_pause{50};       ///< between two tries; doubles, with jitter,
  std::chrono::milliseconds max_pause{2000};       ///< up to this
  std::chrono::milliseconds give_up_after{30'000}; ///< since the connection was lost; 0: at once
};

/// The pauses between tries to connect: doubled each time, and each between half of that and all of
/// it, so that clients that lost their broker together do not come back together.
class reconnect_backoff {
public:
  reconnect_backoff(const reconnect_settings& settings, std::uint64_t seed)
      : first_(settings.first_pause), max_(settings.max_pause), next_(first_), random_(seed) {}

  std::chrono::milliseconds next();
  void reset() { next_ = first_; }

private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds max_;
  std::chrono::milliseconds next_;
  std::mt19937_64 random_;
};

/// A client that finds its broker again, such as one that was restarted. What was unanswered when
/// the connection ended is reported, once each, with the code connection_lost: the caller knows
/// whether it may run twice, and sends it again or not. Ids go on from connection to connection, so
/// that each is used once. Blocking; not for two threads at a time.
class reconnecting_client {
public:
  /// Connects and says hello: plainly, with TLS, with a token. A failure of the kind `refused` or
  /// `bad_input` is not tried again.
  using connector = std::function<result<client>()>;

  /// `seed`: of the jitter.
  reconnecting_client(connector connect, const reconnect_settings& settings, std::uint64_t seed);

  /// Connects if there is no connection, trying again until `give_up_after` is over.
  result<void> connect();

  /// As client::send. Connects first if need be; where that fails the request is reported lost by
  /// the next `wait`.
  std::uint64_t send(std::string_view service, const shared_bytes& payload,
                     const request_options& options = {});

  /// The next answer, or the next request whose connection was lost before it had one. Nothing when
  /// `timeout` is over, or nothing is unanswered and there is no connection.
  std::optional<client_answer> wait(std::chrono::milliseconds timeout);

  /// One request and its answer, connection_lost included; other requests' answers are dropped.
  client_answer call(std::string_view service, std::string_view payload,
                     const request_options& options = {});

  /// Ends the connection, for another one to be made: what is unanswered is lost. For a broker that
  /// answers DRAINING.
  void leave(std::string why);

  /// True while the present connection has been there for less than `time` and was not made at the
  /// first try of all: a broker that has just started may not have its workers yet.
  [[nodiscard]] bool just_found_again(std::chrono::milliseconds time) const {
    return tries_ > 1 && std::chrono::steady_clock::now() - connected_at_ < time;
  }

  [[nodiscard]] std::size_t unanswered() const { return unanswered_.size() + lost_.size(); }

  /// Why the last connection ended, or could not be made.
  [[nodiscard]] const std::string& why_lost() const { return why_lost_; }

private:
  const connector connect_;
  const reconnect_settings settings_;
  reconnect_backoff backoff_;
  std::optional<client> connection_;
  std::set<std::uint64_t> unanswered_; // of this connection
  std::deque<std::uint64_t> lost_;     // to be reported
  std::uint64_t last_id_ = 0;
  std::uint64_t tries_ = 0; // to connect
  std::chrono::steady_clock::time_point connected_at_{};
  std::string why_lost_;
};

} // namespace ropewalk
