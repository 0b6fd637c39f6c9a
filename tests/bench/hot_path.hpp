#pragma once

#include "actors/dispatch/dispatcher.hpp"
#include "net/protocol/batch.hpp"
#include "net/protocol/decoder.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace ropewalk::bench {

/// What a broker does with a message, less sockets and CAF: frames in, dispatcher, batch to the
/// node; batch back, dispatcher, frames out. `turn` takes so many messages through all of it.
class hot_path {
public:
  explicit hot_path(std::size_t payload_bytes, std::uint32_t in_flight = 64)
      : payload_(payload_bytes, 'x'), in_flight_(in_flight) {
    dispatch_settings with;
    with.connection_requests = with.queue = 10'000'000;
    with.connection_memory = with.memory = with.service_memory = std::uint64_t{1} << 40;
    with.node_bytes = std::uint64_t{1} << 40;
    dispatcher_ = dispatcher{with, now_, 1};
    node_ = dispatcher_.join({{"echo", in_flight}}, now_);
    connection_ = dispatcher_.connect();
    service_ = *dispatcher_.find_service("echo");
  }

  /// As many messages as may be in flight.
  void turn() {
    now_ += microseconds{50};
    in_.clear();
    field_writer fields;
    fields.text(field::service, "echo");
    for (std::uint32_t i = 0; i < in_flight_; ++i)
      append_frame(in_, frame_kind::request, error_code::ok, ++last_id_, fields.bytes(), payload_);
    requests_in();
    answers_back();
  }

  [[nodiscard]] std::uint32_t messages_a_turn() const { return in_flight_; }

private:
  void requests_in() {
    decoder_.feed({in_.data(), in_.size()});
    while (auto* event = decoder_.next()) {
      const auto& frame = std::get<incoming_frame>(*event);
      frame_fields fields;
      if (!read_fields(frame.fields, fields)) throw std::logic_error{"fields"};
      submission what;
      what.connection = connection_;
      what.request_id = frame.head.id;
      what.service = service_;
      what.payload = frame.payload;
      dispatcher_.submit(what, now_);
    }
    dispatcher_.take_placed([&](node_number, token which, const request& r, std::uint16_t service) {
      work_.add({which, 30'000, r.fence, service, r.attempt(), r.alone}, r.payload);
    });
  }

  void answers_back() {
    batch_reader work{work_.take().flat()};
    while (const auto* item = work.next_work()) {
      answer_head answer;
      answer.token = item->token;
      answer.fence = item->fence;
      answer.run_us = 2;
      answers_.add(answer, item->payload);
    }
    out_.clear();
    batch_reader answers{answers_.take().flat(), batch_reader::payloads::lent};
    while (const auto* item = answers.next_answer()) {
      const auto whom =
          dispatcher_.complete(node_, item->token, item->fence, microseconds{item->run_us}, now_,
                               {static_cast<std::uint32_t>(item->payload.size()), item->code});
      if (!whom) throw std::logic_error{"an answer was refused"};
      append_frame(out_, frame_kind::reply, error_code::ok, whom->request_id, {},
                   item->payload.view());
    }
  }

  std::string payload_;
  std::uint32_t in_flight_;
  instant now_{};
  dispatcher dispatcher_{{}, {}, 1};
  decoder decoder_{limits::default_max_message_bytes};
  batch_builder work_;
  batch_builder answers_;
  std::vector<char> in_;
  std::vector<char> out_;
  node_number node_ = 0;
  connection_id connection_;
  service_index service_ = 0;
  std::uint64_t last_id_ = 0;
};

} // namespace ropewalk::bench
