#pragma once

#include "actors/admin/operator_action.hpp"
#include "actors/broker/sessions/access_list.hpp"
#include "net/bytes/shared_bytes.hpp"
#include "net/transport/outbox.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace ropewalk {

/// What a connection over HTTP has asked and not been answered. Answers leave in the order of the
/// requests, so those that are ready early are kept.
class http_exchange {
public:
  enum class page : std::uint8_t {
    none,
    status,
    metrics,
    action,
    ready,        ///< of a worker: 503 with what it lacks
    ready_or_not, ///< the same for strangers, who are not shown what that is
  };

  /// A request, as far as its answer depends on it.
  struct asked {
    bool head = false;      ///< HEAD: no body goes with the answer
    bool keep_alive = true; ///< false: the connection ends behind the answer
    bool http_1_0 = false;
    page shows = page::none;           ///< what numbers it wants
    std::string traceparent = {};      ///< to be said again with the answer
    operator_action action{};          ///< and, of page::action, what is to be done with them
    std::shared_ptr<const access> who; ///< null: nobody was asked, or it does not matter
  };

  struct answer {
    int status = 200;
    std::string_view content_type{}; ///< a literal
    std::string more_fields{};       ///< whole lines
    shared_bytes body;               ///< copied if borrowed, and not next to leave
  };

  /// A request comes in; its number, from 1 on. None may come after one that ends the connection.
  std::uint64_t begin(asked what);

  /// Null if there is no such request, or it is answered.
  [[nodiscard]] const asked* find(std::uint64_t number) const;

  /// Its answer, of which the first is taken; `write` is to follow at once.
  void finish(std::uint64_t number, answer what);

  /// The client waits for this before it sends a body (100 Continue).
  void call_for_body() { body_called_ = true; }

  /// Moves to `out` what may leave now.
  void write(outbox& out);

  /// Nothing more is asked: the connection ends when what was asked is answered.
  void end() { ended_ = true; }
  [[nodiscard]] bool ended() const { return ended_; }

  /// Who asked last, where somebody wants to know; null: nobody has said.
  void known_as(std::shared_ptr<const access> who) { who_ = std::move(who); }
  [[nodiscard]] const access* who() const { return who_.get(); }

  /// Nothing was ever asked.
  [[nodiscard]] bool unused() const { return first_ == 1 && waiting_.empty(); }

  /// All is answered that was asked.
  [[nodiscard]] bool idle() const { return waiting_.empty(); }

  /// What is kept, with what keeping it costs, in bytes.
  [[nodiscard]] std::uint64_t kept_bytes() const { return kept_bytes_; }

private:
  // What a request costs while it waits, about.
  static constexpr std::uint64_t cost_of_keeping = 256;

  struct request {
    asked what;
    answer said;
    bool done = false;
  };

  [[nodiscard]] request* at(std::uint64_t number);

  std::deque<request> waiting_;
  std::shared_ptr<const access> who_;
  std::uint64_t first_ = 1; // the number of the one that is answered next
  std::uint64_t kept_bytes_ = 0;
  bool body_called_ = false;
  bool ended_ = false;
};

} // namespace ropewalk
