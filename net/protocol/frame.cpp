#include "net/protocol/frame.hpp"

#include "net/bytes/byte_order.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace ropewalk {

void read_header(const char* bytes, frame_header& into) {
  into.length = load_be<std::uint32_t>(bytes);
  into.kind = static_cast<frame_kind>(bytes[4]);
  into.code = static_cast<error_code>(bytes[5]);
  into.fields_bytes = load_be<std::uint16_t>(bytes + 6);
  into.id = load_be<std::uint64_t>(bytes + 8);
}

bool read_fields(std::string_view bytes, frame_fields& out) {
  auto number = [](std::string_view value, auto& into) {
    using T = typename std::decay_t<decltype(into)>::value_type;
    if (value.size() != sizeof(T)) return false;
    into = load_be<T>(value.data());
    return true;
  };
  while (!bytes.empty()) {
    if (bytes.size() < 2) return false;
    const auto type = static_cast<field>(bytes[0]);
    const std::size_t size = static_cast<std::uint8_t>(bytes[1]);
    if (bytes.size() < 2 + size) return false;
    const auto value = bytes.substr(2, size);
    bytes.remove_prefix(2 + size);
    switch (type) {
    case field::version:
      if (size != 1) return false;
      out.version = static_cast<std::uint8_t>(value[0]);
      break;
    case field::service:
      out.service = value;
      break;
    case field::token:
      out.token = value;
      break;
    case field::deadline_ms:
      if (!number(value, out.deadline_ms)) return false;
      break;
    case field::attempts:
      if (!number(value, out.attempts)) return false;
      break;
    case field::key:
      out.key = value;
      break;
    case field::trace:
      out.trace = value;
      break;
    case field::client:
      out.client = value;
      break;
    case field::priority:
      if (!number(value, out.priority)) return false;
      break;
    case field::retry_after_ms:
      if (!number(value, out.retry_after_ms)) return false;
      break;
    case field::max_message_bytes:
      if (!number(value, out.max_message_bytes)) return false;
      break;
    case field::concurrency:
      if (!number(value, out.concurrency)) return false;
      break;
    case field::attempt:
      if (!number(value, out.attempt)) return false;
      break;
    default:
      break; // a later version's: skipped
    }
  }
  return true;
}

std::string_view find_field(std::string_view bytes, field type) {
  while (bytes.size() >= 2) {
    const std::size_t size = static_cast<std::uint8_t>(bytes[1]);
    if (static_cast<field>(bytes[0]) == type) return bytes.substr(2, size);
    bytes.remove_prefix(std::min(bytes.size(), 2 + size));
  }
  return {};
}

bool read_fork_fields(std::string_view bytes, fork_fields& out) {
  while (!bytes.empty()) {
    if (bytes.size() < 2) return false;
    const auto type = static_cast<field>(bytes[0]);
    const std::size_t size = static_cast<std::uint8_t>(bytes[1]);
    if (bytes.size() < 2 + size) return false;
    if (type == field::forks) {
      if (size != 1) return false;
      out.forks = bytes[2] != 0;
    } else if (type == field::pid) {
      if (size != 4) return false;
      out.pid = load_be<std::uint32_t>(bytes.data() + 2);
    }
    bytes.remove_prefix(2 + size);
  }
  return true;
}

field_writer& field_writer::text(field type, std::string_view value) {
  assert(value.size() <= 255);
  bytes_.push_back(static_cast<char>(type));
  bytes_.push_back(static_cast<char>(value.size()));
  bytes_.append(value);
  return *this;
}

field_writer& field_writer::u8(field type, std::uint8_t value) {
  const char byte = static_cast<char>(value);
  return text(type, {&byte, 1});
}

field_writer& field_writer::u32(field type, std::uint32_t value) {
  char bytes[4];
  store_be(bytes, value);
  return text(type, {bytes, 4});
}

namespace {

void write_header(char* head, frame_kind kind, error_code code, std::uint64_t id,
                  std::size_t field_bytes, std::size_t payload_bytes) {
  store_be(head, static_cast<std::uint32_t>(frame_header_rest + field_bytes + payload_bytes));
  head[4] = static_cast<char>(kind);
  head[5] = static_cast<char>(code);
  store_be(head + 6, static_cast<std::uint16_t>(field_bytes));
  store_be(head + 8, id);
}

} // namespace

void append_header(std::vector<char>& out, frame_kind kind, error_code code, std::uint64_t id,
                   std::string_view fields, std::size_t payload_bytes) {
  const auto at = out.size();
  out.resize(at + frame_header_bytes + fields.size());
  write_header(out.data() + at, kind, code, id, fields.size(), payload_bytes);
  std::copy(fields.begin(), fields.end(), out.data() + at + frame_header_bytes);
}

void append_frame(std::vector<char>& out, frame_kind kind, error_code code, std::uint64_t id,
                  std::string_view fields, std::string_view payload) {
  append_header(out, kind, code, id, fields, payload.size());
  out.insert(out.end(), payload.begin(), payload.end());
}

} // namespace ropewalk
