#include "actors/broker/sessions/answer_writer.hpp"

#include "actors/admin/http_problem.hpp"
#include "net/protocol/text.hpp"

namespace ropewalk {

void answer_writer::answer(session& to, std::uint64_t id, error_code code,
                           const shared_bytes& payload, std::uint32_t retry_after_ms) {
  if (to.is(session_state::closing)) return;
  if (to.http) [[unlikely]]
    return answer_http(to, id, code, payload, retry_after_ms);
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

// A word about the connection (id 0) has no place in HTTP: it just ends.
void answer_writer::answer_http(session& to, std::uint64_t id, error_code code,
                                const shared_bytes& payload, std::uint32_t retry_after_ms) {
  if (id == 0) return;
  if (code == error_code::ok) return page(to, id, {200, "application/octet-stream", {}, payload});
  const auto status = http_status_of(code);
  std::string fields;
  if (retry_after_ms > 0)
    fields = "Retry-After: " + std::to_string((retry_after_ms + 999) / 1000) + "\r\n";
  const auto problem = http_problem(status, name_of(code), payload.view());
  page(to, id, {status, http_problem_type, std::move(fields), shared_bytes::borrow(problem)});
}

void answer_writer::page(session& to, std::uint64_t id, http_exchange::answer what) {
  if (to.is(session_state::closing)) return;
  to.http->finish(id, std::move(what));
  to.http->write(to.connection->output());
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
