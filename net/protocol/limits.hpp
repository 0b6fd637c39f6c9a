#pragma once

#include <cstddef>
#include <cstdint>

namespace ropewalk {

/// Numbers that no option changes, with unit and reason. Those that an option does are in
/// actors/settings.
namespace limits {

inline constexpr std::uint64_t kib = 1024;
inline constexpr std::uint64_t mib = 1024 * kib;
inline constexpr std::uint64_t gib = 1024 * mib;

// -- numbers of the protocol itself: a client may rely on them, so no option changes them ---------

/// The largest payload that a frame may have, in bytes: it keeps a frame's first byte below 0x20,
/// by which binary frames are told from text lines. The cap on messages (--max-message-bytes) is
/// under it.
inline constexpr std::uint64_t max_frame_payload_bytes = 256 * mib;

/// Optional fields of one frame, in bytes: a service name, a key and a trace context with room to
/// spare.
inline constexpr std::size_t max_fields_bytes = 4096;

/// What a client may send before it has said who it is, in bytes: a hello, and no more.
inline constexpr std::size_t max_hello_bytes = 512;

/// A service's name, in bytes: long enough for a path-like name, short enough to log.
inline constexpr std::size_t max_service_bytes = 128;

/// Services that one node may offer: their indices travel in 16 bits, and nobody has needed more.
inline constexpr std::size_t max_services = 1000;

/// What one service of one node may run at the same time; beyond it a node is not let in.
inline constexpr std::uint32_t max_slots = 4096;

/// The end of a handler's stderr that is put into its FAILED answer, in bytes.
inline constexpr std::size_t max_stderr_bytes = 4096;

/// What a person may write into a configuration or an access file, in bytes: tens of thousands of
/// lines; more is another file's name.
inline constexpr std::size_t max_text_file_bytes = 16 * mib;

// -- what several parts of a program start from: a setting's default in each of them --------------

/// The cap on messages, in bytes, unless somebody says otherwise.
inline constexpr std::uint64_t default_max_message_bytes = 2 * mib;

/// How long running work may go on after SIGTERM, in milliseconds, unless somebody says otherwise.
inline constexpr std::uint32_t default_drain_time_ms = 30'000;

// -- numbers of the house: reasons beside them, no option because nobody has needed one -----------

/// What every client may leave unread however near the answers of all come to their limit, in
/// bytes, and the least that may be said for it.
inline constexpr std::uint64_t min_unread_answers_bytes = 64 * kib;

/// A payload from this size on has memory of its own and is passed on by reference; below it a copy
/// is cheaper than a reference (measured: the copy of 16 KiB costs about what an extra system call
/// does).
inline constexpr std::size_t large_payload_bytes = 16 * kib;

/// What one read of a client socket asks for at most, in bytes: one buffer an event loop, shared by
/// its connections.
inline constexpr std::size_t read_bytes = 256 * kib;

/// What one read asks for at the least, in bytes, of a client that sends frames which ask for no
/// work, or more of any than the loop has time for: 21 of the smallest, so that a hundred such
/// clients are two milliseconds of a turn.
inline constexpr std::size_t little_read_bytes = 512;

/// The same of a client that sends text lines, of which one may be two bytes long: usually, and
/// when most of them ask for no work. No more than 4,096 and 64 of them a turn.
inline constexpr std::size_t lines_read_bytes = 8 * kib;
inline constexpr std::size_t little_lines_bytes = 128;

/// The same of the heads of HTTP requests: 25 of the shortest, each worth an answer.
inline constexpr std::size_t little_heads_bytes = kib;

/// How long clients that bring much are read in a turn of the event loop, all of them together, when
/// they bring more than it has time for, in microseconds (bulk: client_connection): what the others
/// wait for in it. A turn costs some 10 us besides. (A modest client among a hundred that flood has a
/// p99 of 9 ms, and 19 to 27 without bulk; 200 and 500 us made it 6 and 8 where 100 made it 5 to 6.)
inline constexpr std::uint32_t bulk_time_us = 100;

/// Which part of the event loop's time STATUS, /status, /metrics and the page may take at most: who
/// asks while they have had that waits: nine times as long as the last answer took to make, and up to
/// a tick more. (Four clients that asked a broker with 200 services without a pause made everybody's
/// p50 2.6 ms, from 0.3.)
inline constexpr int status_share = 10;

/// And how long that is at most, in milliseconds: an answer that took 20 ms to make took them because
/// the machine was busy with something else, and probes and scrapes have time-outs. (With a thousand
/// services it takes 5.)
inline constexpr int status_wait_ms = 100;

/// A connection whose kernel buffers hold more than this, in bytes, is closed on a later turn of the
/// event loop: to free a megabyte takes about a millisecond, and many may be cut off together.
inline constexpr std::size_t costly_close_bytes = 128 * kib;

/// For how long such connections are closed in a turn, in microseconds; one at least.
inline constexpr std::uint32_t release_time_us = 500;

/// How much is ended in a turn of the event loop of what ends together, in requests: those of a client
/// that goes away, or whose time is up; as many as have come in the meantime, if these are more. Some
/// 0.3 milliseconds. (A client may have 16,384 of them, which took 11 ms, and many clients may go at
/// the same time.)
inline constexpr std::uint32_t ends_per_turn = 512;

/// When a round of all of them has not taken longer than ten times that for so long, in milliseconds,
/// they are read like everybody.
inline constexpr std::uint32_t bulk_rest_ms = 100;

/// Payloads from this size on are read one by one, each straight to its place, in bytes. Smaller
/// ones come several with a read and are copied, except for the rest of the last: to read 16 KiB or
/// 32 KiB payloads one by one halved what a broker gets done.
inline constexpr std::size_t direct_payload_bytes = 128 * kib;

/// What is read ahead of the next header while a connection sends such payloads, in bytes.
inline constexpr std::size_t read_ahead_bytes = 4 * kib;

/// Connections on the cluster port that have not shaken hands yet, by TLS or without; a newcomer
/// takes the place of the oldest. Enough for a rack of workers that start at once.
inline constexpr std::size_t node_handshakes = 128;

/// What who connects to the cluster port may say at once before it is known, in bytes: BASP's
/// handshake is some 100 bytes.
inline constexpr std::size_t max_node_hello_bytes = 4 * kib;

/// Descriptors that clients leave free, or an eighth of what there may be if that is less: for
/// nodes that come (back), and for what else a broker opens.
inline constexpr std::size_t kept_descriptors = 64;

/// A SIGTERM or SIGINT that comes so soon after the first one is the same one, in milliseconds. One
/// wish to end arrives several times within moments, at the whole group and from the parent that
/// passes it on (Ctrl-C, `timeout`, a service manager that signals all processes); who has seen a
/// drain and wants no more of it takes longer than a second to say so.
inline constexpr std::uint32_t second_signal_ms = 1000;

/// When it is worth trying again after a DRAINING, over another connection, in milliseconds: about
/// what a process takes to be started in the place of one that was told to stop.
inline constexpr std::uint32_t draining_retry_ms = 500;

/// How often a client that has closed its sending half, and waits for answers, is asked whether it is
/// still there, in milliseconds. One that was killed does not run a handler on for longer, and who
/// asks for something short is never asked. (The kernel's own keep-alive would not do: for a minute
/// after a client's death its kernel answers that as if it were there; to bytes it says the truth.)
inline constexpr std::uint32_t half_closed_ping_ms = 2000;
/// A program is ended so long before its message's deadline, in milliseconds (but not sooner than a
/// twentieth of its time): what it said of its trouble is to reach the client before the broker's own
/// TIMEOUT, which leaves at the deadline and up to 30 ms after it.
inline constexpr std::uint32_t last_words_ms = 20;
/// How long after a program that SIGTERM or SIGINT has ended its node may get the same, in
/// milliseconds: then that was no fault of the message. A service manager signals all processes of
/// a service within one, a loaded machine takes some more to let the node hear of it.
inline constexpr std::uint32_t stop_spread_ms = 100;
/// How long what is to run alone waits for its slot to have nothing else, in milliseconds; then it
/// goes back to the broker, and may begin elsewhere. Less, and it would go back from every slot that is
/// busy with ordinary messages; more, and a free slot elsewhere would stand unused for longer.
inline constexpr std::uint32_t parked_ms = 1000;
/// What a process keeps of its log while nobody takes it, in bytes; what comes after that is counted
/// and dropped. Some 8,000 lines: minutes of a reader that stalls, and little beside a message.
inline constexpr std::size_t log_queue_bytes = 1 * mib;

/// How long a process that ends tries to write the rest of its log, in milliseconds: a disk or a
/// pipe that works takes a few, and one that does not must not hold up who waits for the end.
inline constexpr std::uint32_t log_end_ms = 500;

/// Memory for answers that a connection keeps while it has none to send, in bytes: there may be
/// 10,000 of them.
inline constexpr std::size_t client_buffer_bytes = 8 * kib;

/// The same for the connection between broker and node: there are few, and batches are large.
inline constexpr std::size_t node_buffer_bytes = 4 * mib;

/// What the kernel may hold of a node's connection within a machine, in bytes, if the system allows
/// it (net.core.wmem_max): what TCP grows to by itself (net.ipv4.tcp_wmem).
inline constexpr int local_socket_bytes = 4 * mib;

/// Memory that broker and node share within a machine, each way, in bytes: some batches under way
/// and one that is being worked off. Taken up as it is used.
inline constexpr std::size_t ring_bytes = 4 * mib;

/// Batches of such a size go through it, in bytes: below, the kernel's copy is cheaper; above it is
/// a single message that is in no cache anyway.
inline constexpr std::size_t min_ring_batch_bytes = 1 * kib;
inline constexpr std::size_t max_ring_batch_bytes = 2 * mib;

/// Frames kept for one connection whose first bytes are of a text line that never ends.
inline constexpr std::size_t max_text_overhead_bytes = max_service_bytes + 2;

/// A BASP message, in bytes: a batch holds whole messages, so a little over node-bytes plus the
/// largest message.
inline constexpr std::size_t max_basp_bytes = 1 * gib;

} // namespace limits
} // namespace ropewalk
