#pragma once

#include "actors/admin/http_guard.hpp"
#include "actors/admin/http_routes.hpp"
#include "actors/broker/sessions/event_stream.hpp"
#include "actors/broker/sessions/request_intake.hpp"
#include "net/http/http_decoder.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace ropewalk {

/// What clients ask by HTTP: each request is answered at once, or becomes one of the dispatcher's
/// or of whoever collects the numbers, under the number that http_exchange gave it.
class http_intake {
public:
  http_intake(const broker_tuning& limits, http_guard guard, http_side side,
              request_intake::shards others, const client_access& gate,
              request_intake::dependencies with, event_stream& events)
      : limits_(limits), guard_(std::move(guard)), side_(side), shards_(std::move(others)),
        gate_(gate), with_(with), events_(events) {}

  /// A client has come.
  static void begin(session& with);

  /// It has bytes, or its end. Returns how many events these were: heads, and whole requests.
  std::uint64_t read(session& from, instant now);

  void begin_drain() { draining_ = true; }

private:
  // A request that may go on, and as whom.
  struct admitted {
    http_place place;
    std::shared_ptr<const access> who; // null: nobody asks who it is
  };

  // Why one may not.
  struct rejection {
    int status;
    std::string_view code; // of the protocol's errors; empty: none of these
    std::string why;
    std::string more_fields{};
    bool ends_connection = false;
  };

  [[nodiscard]] std::variant<admitted, rejection> admit(const session& from,
                                                        const http_request& what) const;
  [[nodiscard]] std::optional<rejection> may_not(const access& who, const http_place& place) const;
  void handle(session& from, const http_head& head, instant now);
  void handle(session& from, const http_request& what, instant now);
  void handle(session& from, const http_refusal& what, instant now);
  void show(session& from, const http_request& what, const admitted& as);
  void explain(session& from, const http_request& what, const admitted& as, instant now);
  void cancel(session& from, const http_request& what, const admitted& as, instant now);
  void ask(session& from, const http_request& what, message_query query, const access* rights);
  void refuse_page(session& from, std::uint64_t id);
  [[nodiscard]] static handler_fields extras_of(const http_request& what, const admitted& as,
                                                bool traced);
  void listen(session& from, const http_request& what, const admitted& as, instant now);
  void submit(session& from, const http_request& what, const admitted& as, instant now);
  void reject(session& from, const http_request& what, const rejection& why, instant now);
  void hear_end(session& from, instant now);
  void count_incoming(session& from);

  const broker_tuning& limits_;
  const http_guard guard_;
  const http_side side_;
  const request_intake::shards shards_;
  const client_access& gate_;
  const request_intake::dependencies with_;
  event_stream& events_;
  bool draining_ = false;
};

} // namespace ropewalk
