#pragma once

#include "net/bytes/byte_order.hpp"

#include <caf/config.hpp>
#include <caf/io/basp/header.hpp>
#include <cstddef>
#include <cstdint>
#include <type_traits>

/// The header in front of every BASP message, as CAF 0.17.6 writes it:
///
///     operation u8 | 0 u16 | flags u8 | payload bytes u32 | operation data u64 | from u64 | to u64
///
/// This is the only place that knows where its fields are, and it does not compile with a CAF that
/// has them elsewhere. (tests/actor/basp_header_test.cpp compares it with what CAF writes.)
namespace ropewalk::basp_header {

inline constexpr std::size_t bytes = caf::io::basp::header_size;
inline constexpr std::size_t operation_at = 0;
inline constexpr std::size_t flags_at = 3;
inline constexpr std::size_t payload_bytes_at = 4;
inline constexpr std::size_t operation_data_at = 8;
inline constexpr std::size_t to_at = 24;

// Flags of ours, of those that BASP does not use. The header of a compact frame has the first: its
// payload is what a compact_form wrote, its operation data the form's number. With the second one
// the payload says where in memory that both sides share (shared_ring.hpp) the values lie.
inline constexpr std::uint8_t compact_flag = 0x80;
inline constexpr std::uint8_t in_ring_flag = 0x40;

namespace believed { // of CAF's own struct, whose fields are written in order and without gaps

using caf_header = caf::io::basp::header;
static_assert(CAF_VERSION == 1706, "net/cluster/ was written for the insides of CAF 0.17.6");
static_assert(std::is_standard_layout_v<caf_header>);
static_assert(sizeof(caf_header) == bytes && bytes == 32);
static_assert(offsetof(caf_header, operation) == operation_at);
static_assert(sizeof(caf_header::operation) == 1);
static_assert(offsetof(caf_header, flags) == flags_at);
static_assert(offsetof(caf_header, payload_len) == payload_bytes_at);
static_assert(sizeof(caf_header::payload_len) == 4);
static_assert(offsetof(caf_header, operation_data) == operation_data_at);
static_assert(offsetof(caf_header, dest_actor) == to_at);
static_assert(sizeof(caf_header::dest_actor) == 8);
static_assert(static_cast<int>(caf::io::basp::message_type::server_handshake) == 0 &&
              static_cast<int>(caf::io::basp::message_type::client_handshake) == 1);
static_assert(((compact_flag | in_ring_flag) &
               (caf_header::named_receiver_flag | caf_header::select_connection_flag)) == 0);

} // namespace believed

// `header`: so many `bytes`.

/// True of the two by which nodes shake hands.
[[nodiscard]] inline bool is_handshake(const char* header) {
  using caf::io::basp::message_type;
  const auto operation = static_cast<message_type>(header[operation_at]);
  return operation == message_type::server_handshake || operation == message_type::client_handshake;
}
[[nodiscard]] inline std::uint8_t flags(const char* header) {
  return static_cast<std::uint8_t>(header[flags_at]);
}
[[nodiscard]] inline std::uint32_t payload_bytes(const char* header) {
  return load_be<std::uint32_t>(header + payload_bytes_at);
}
[[nodiscard]] inline std::uint64_t operation_data(const char* header) {
  return load_be<std::uint64_t>(header + operation_data_at);
}
[[nodiscard]] inline std::uint64_t to(const char* header) {
  return load_be<std::uint64_t>(header + to_at);
}

/// Where a compact frame goes.
struct compact_address {
  std::uint64_t form = 0;  ///< its number
  std::uint64_t actor = 0; ///< the receiver's id on its node
};

/// Writes the header of a compact frame to memory that is all zeros.
inline void write_compact(char* header, const compact_address& where, std::uint8_t more_flags,
                          std::uint32_t payload_bytes) {
  header[operation_at] = static_cast<char>(caf::io::basp::message_type::direct_message);
  header[flags_at] = static_cast<char>(compact_flag | more_flags);
  store_be(header + payload_bytes_at, payload_bytes);
  store_be(header + operation_data_at, where.form);
  store_be(header + to_at, where.actor);
}

} // namespace ropewalk::basp_header
