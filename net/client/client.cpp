#include "net/client/client.hpp"

#include "net/protocol/frame.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/receive.hpp"

#include <algorithm>
#include <poll.h>

namespace ropewalk {

client::client(std::unique_ptr<stream> connection)
    : connection_(std::move(connection)),
      decoder_(limits::max_frame_payload_bytes, decoder::mode::binary) {}

result<client> client::connect(const endpoint& broker, std::chrono::milliseconds timeout) {
  auto connected = connect_tcp(broker, timeout);
  if (!connected) {
    auto why = std::move(connected).why();
    if (why.advice.empty())
      why.advice = "is the broker running? (ropewalk broker --listen " + broker.text() + ")";
    return why;
  }
  return client{make_plain_stream(*std::move(connected))};
}

std::uint64_t client::send(std::string_view service, const shared_bytes& payload,
                           const request_options& options) {
  // Most ask for the same again and again.
  if (service != usual_service_ || !options.plain()) write_fields(service, options);
  append_header(outbox_.tail(), frame_kind::request, error_code::ok, ++last_id_, fields_.bytes(),
                payload.size());
  outbox_.append(payload);
  ++unanswered_;
  return last_id_;
}

void client::write_fields(std::string_view service, const request_options& options) {
  fields_ = {};
  fields_.text(field::service, service.substr(0, limits::max_service_bytes));
  if (options.timeout)
    fields_.u32(field::deadline_ms,
                static_cast<std::uint32_t>(std::max<std::int64_t>(options.timeout->count(), 1)));
  if (options.attempts) fields_.u8(field::attempts, *options.attempts);
  if (!options.key.empty()) fields_.text(field::key, std::string_view{options.key}.substr(0, 255));
  if (options.priority) fields_.u8(field::priority, *options.priority);
  if (!options.trace.empty())
    fields_.text(field::trace, std::string_view{options.trace}.substr(0, 255));
  usual_service_.reset();
  if (options.plain()) usual_service_ = service;
}

std::uint64_t client::send_status(std::string_view about) {
  append_frame(outbox_.tail(), frame_kind::status, error_code::ok, ++last_id_, {}, about);
  ++unanswered_;
  return last_id_;
}

void client::cancel(std::uint64_t id) {
  append_frame(outbox_.tail(), frame_kind::cancel, error_code::ok, id, {}, {});
}

void client::close(std::string why) {
  closed_ = true;
  if (why_closed_.empty()) why_closed_ = std::move(why);
}

bool client::flush() {
  if (closed_) return false;
  switch (outbox_.send(*connection_)) {
  case outbox::state::empty:
    blocked_ = false;
    break;
  case outbox::state::blocked:
    blocked_ = true;
    break;
  // There may still be answers to read, and the reason among them.
  case outbox::state::failed:
    blocked_ = false;
    break;
  }
  return true;
}

bool client::read_once() {
  if (closed_) return false;
  if (!buffer_) buffer_ = std::make_shared_for_overwrite<char[]>(limits::read_bytes);
  switch (receive_into(decoder_, *connection_, buffer_.get()).state) {
  case stream::state::ok:
  case stream::state::blocked:
    return true;
  case stream::state::end:
    close("the broker closed the connection");
    return false;
  case stream::state::failed:
    close("the connection to the broker broke: " + connection_->why());
    return false;
  }
  return false;
}

result<void> client::hello(std::string_view token, std::chrono::milliseconds timeout) {
  field_writer fields;
  fields.u8(field::version, protocol_version);
  if (!token.empty()) fields.text(field::token, token.substr(0, 255));
  append_frame(outbox_.tail(), frame_kind::hello, error_code::ok, ++last_id_, fields.bytes(), {});
  ++unanswered_;
  const auto answer = wait(timeout);
  if (!answer)
    return failure{refused_ ? failure_kind::refused : failure_kind::unavailable,
                   closed_ ? why_closed_ : "the broker does not answer",
                   {}};
  if (answer->code == error_code::ok) return {};
  return failure{answer->code == error_code::draining ? failure_kind::unavailable
                                                      : failure_kind::refused,
                 std::string{name_of(answer->code)} + ": " + std::string{answer->payload.view()},
                 {}};
}

std::optional<client_answer> client::next_answer() {
  while (auto* event = decoder_.next()) {
    const auto* frame = std::get_if<incoming_frame>(&*event);
    if (!frame) {
      close("the broker sent something that is not in the protocol");
      return std::nullopt;
    }
    const auto kind = frame->head.kind;
    if (kind == frame_kind::ping) {
      append_frame(outbox_.tail(), frame_kind::pong, error_code::ok, frame->head.id, {},
                   frame->payload.view());
      continue;
    }
    if (kind == frame_kind::error && frame->head.id == 0) {
      refused_ = true;
      close(std::string{name_of(frame->head.code)} + ": " + std::string{frame->payload.view()});
      return std::nullopt;
    }
    if (kind != frame_kind::reply && kind != frame_kind::error && kind != frame_kind::status &&
        kind != frame_kind::hello_ok)
      continue;
    frame_fields fields;
    if (!read_fields(frame->fields, fields)) continue;
    --unanswered_;
    return client_answer{frame->head.id, frame->head.code, frame->payload,
                         fields.retry_after_ms.value_or(0)};
  }
  return std::nullopt;
}

std::optional<client_answer> client::wait(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    if (auto answer = next_answer()) {
      answer->payload = answer->payload.own();
      return answer;
    }
    if (!flush()) return std::nullopt;
    if (connection_->pending()) {
      if (!read_once()) return std::nullopt;
      continue;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() < 0) return std::nullopt;
    pollfd waiting{connection_->fd(), static_cast<short>(blocked_ ? POLLIN | POLLOUT : POLLIN), 0};
    if (::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) continue;
    if ((waiting.revents & ~POLLOUT) != 0 && !read_once()) return std::nullopt;
  }
}

client_answer client::call(std::string_view service, std::string_view payload,
                           const request_options& options) {
  const auto id = send(service, shared_bytes::borrow(payload), options);
  while (auto answer = wait(std::chrono::hours{24}))
    if (answer->id == id) return *answer;
  return {id, error_code::connection_lost, shared_bytes::copy_of(why_closed_), 0};
}

} // namespace ropewalk
