#include "actors/broker/sessions/answer_writer.hpp"

#include "net/protocol/text.hpp"

namespace ropewalk {

void answer_writer::answer(session& to, std::uint64_t id, error_code code,
                           const shared_bytes& payload, std::uint32_t retry_after_ms) {
  if (to.is(session_state::closing)) return;
  if (to.text()) {
    answer_line(to, id, code, payload);
  } else {
    auto& out = to.connection->output();
    field_writer fields;
    if (retry_after_ms > 0) fields.u32(field::retry_after_ms, retry_after_ms);
    const auto kind = code == error_code::ok ? frame_kind::reply : frame_kind::error;
    append_header(out.tail(), kind, code, id, fields.bytes(), payload.size());
    out.append(payload);
  }
  sessions_.touch(to);
}

void answer_writer::answer_line(session& to, std::uint64_t id, error_code code,
                                const shared_bytes& payload) {
  auto& out = to.connection->output();
  auto& lines = to.lines;
  if (id != 0 && !lines.is_next(id)) return lines.keep(id, code, payload);
  append_text_answer(out.tail(), code, payload.view());
  if (id == 0) return;
  lines.written();
  while (const auto next = lines.take_next()) {
    append_text_answer(out.tail(), next->code, next->payload.view());
    lines.written();
  }
}

void answer_writer::refuse(session& to, std::uint64_t id, error_code code, std::string_view detail,
                           std::uint32_t retry_after_ms) {
  answer(to, id, code, shared_bytes::borrow(detail.empty() ? sentence_of(code) : detail),
         retry_after_ms);
}

void answer_writer::frame(session& to, frame_kind kind, std::uint64_t id, std::string_view fields,
                          const shared_bytes& payload) {
  if (to.is(session_state::closing)) return;
  auto& out = to.connection->output();
  append_header(out.tail(), kind, error_code::ok, id, fields, payload.size());
  out.append(payload);
  sessions_.touch(to);
}

} // namespace ropewalk
