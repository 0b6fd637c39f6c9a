#pragma once

#include "actors/broker/sessions/authenticator.hpp"
#include "actors/broker/sessions/message_questions.hpp"
#include "actors/broker/sessions/status_queue.hpp"
#include "actors/broker/sessions/turn_share.hpp"
#include "actors/settings/tuning.hpp"

#include <functional>
#include <string_view>

namespace ropewalk {

/// Takes what a client sent out of its connection: requests go to the dispatcher, with the rights
/// and the fields that they come with checked; everything else is answered here.
class request_intake {
public:
  /// What is known of the broker's other shards.
  struct shards {
    bool several = false;
    /// Whether a node has offered the service to one of them, and so will to this one in a moment.
    std::function<bool(std::string_view service)> has_service;
  };

  struct dependencies {
    dispatcher& work;
    session_table& sessions;
    answer_writer& answers;
    authenticator& access;
    status_queue& statuses;
    message_questions& questions;
    rejection_log& rejections;
  };

  request_intake(const broker_tuning& limits, shards others, const dependencies& with)
      : limits_(limits), shards_(std::move(others)), with_(with) {}

  /// The connection has bytes, or its end.
  void read(session& from, instant now);

  /// What was read of it last brought so many frames, or lines, or events of HTTP, of which so many
  /// ask for no work: whether it is bulk, and how much is read of it next, follows from that.
  void share_turn(session& from, std::uint64_t frames, std::uint64_t unpaid);

  /// What was read until now is one turn of the loop.
  [[nodiscard]] turn_share& turn() { return turn_; }
  [[nodiscard]] const turn_share& turn() const { return turn_; }

  /// From now on requests are refused.
  void begin_drain() { draining_ = true; }

private:
  void handle(session& from, const decoder_event& event, instant now);
  void take_last_line(session& from, instant now);
  void handle(session& from, const incoming_frame& frame, instant now);
  void handle_hello(session& from, const frame_fields& fields, std::uint64_t id, instant now);
  void handle_request(session& from, const incoming_frame& frame, const frame_fields& fields,
                      instant now);
  void handle_malformed(session& from, std::string_view reason, instant now);
  void refuse_worker(session& from, instant now);
  void handle_oversized(session& from, const frame_header& head, instant now);
  [[nodiscard]] bool find_service(session& from, std::uint64_t id, std::string_view name,
                                  instant now);
  void submit(const session& from, const incoming_frame& frame, const frame_fields& fields,
              instant now);
  void handle_status(session& from, const incoming_frame& frame);
  const handler_fields* extras_of(const session& from, const frame_fields& said);
  void charge(session& from, std::uint64_t frames);
  void count_incoming(session& from);
  void refuse_and_close(session& from, std::uint64_t id, error_code code, std::string_view why,
                        instant now);

  const broker_tuning& limits_;
  const shards shards_;
  const dependencies with_;
  turn_share turn_;
  handler_fields fields_; // of the request that is submitted
  bool draining_ = false;
};

} // namespace ropewalk
