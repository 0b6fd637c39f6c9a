#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ropewalk {

/// One number that bounds something: its option on the command line and in the config file, its
/// unit, what it is unless somebody says otherwise, what may be said, and why. The README's table
/// is printed from here
/// (`ropewalk limits --markdown`), and so are the options of `ropewalk broker` and `ropewalk
/// worker`.
struct limit {
  std::string_view option; ///< without the leading dashes
  std::string_view unit;
  std::uint64_t standard; ///< the default
  std::uint64_t least;
  std::uint64_t most;
  std::string_view reason;
};

namespace limits {

inline constexpr std::uint64_t kib = 1024;
inline constexpr std::uint64_t mib = 1024 * kib;
inline constexpr std::uint64_t gib = 1024 * mib;

inline constexpr limit max_message{"max-message-bytes",
                                   "bytes",
                                   2 * mib,
                                   1 * kib,
                                   256 * mib,
                                   "the largest payload of a request or a reply; the ceiling keeps "
                                   "a frame's first byte below 0x20, "
                                   "by which binary frames are told from text lines"};

inline constexpr limit held_memory{"memory",
                                   "bytes",
                                   512 * mib,
                                   8 * mib,
                                   1024 * gib,
                                   "request bytes that the broker holds until they are answered; "
                                   "beyond it a request is answered BUSY"};

inline constexpr limit service_memory{"service-memory",
                                      "bytes",
                                      384 * mib,
                                      1 * mib,
                                      1024 * gib,
                                      "one service's share of it: one that is stuck must not take "
                                      "the others' memory; beyond it a request is answered BUSY"};

inline constexpr limit connection_memory{"connection-memory",
                                         "bytes",
                                         64 * mib,
                                         1 * mib,
                                         1024 * gib,
                                         "one client's share: beyond it the broker stops reading "
                                         "from that client until half of it is answered"};

inline constexpr limit connection_requests{"connection-requests",
                                           "requests",
                                           16384,
                                           1,
                                           1u << 20,
                                           "requests of one client that wait for an answer; beyond "
                                           "it the broker stops reading from that client"};

inline constexpr limit queued{
    "queue",
    "requests",
    1'000'000,
    1,
    100'000'000,
    "requests that wait for a slot, per service; beyond it a request is answered BUSY"};

inline constexpr limit unread_answers{
    "unread-answers",
    "bytes",
    16 * mib,
    64 * kib,
    1024 * gib,
    "answers that a client has not read yet; beyond it the broker stops reading its requests"};

inline constexpr limit unread_answers_time{"unread-answers-time",
                                           "milliseconds",
                                           30'000,
                                           100,
                                           3'600'000,
                                           "how long a client may leave its answers unread without "
                                           "taking a single byte before it is cut off"};

inline constexpr limit answers_memory{"answers-memory",
                                      "bytes",
                                      256 * mib,
                                      8 * mib,
                                      1024 * gib,
                                      "answers of all clients that were not read yet; the nearer "
                                      "it comes, the less each may leave unread, and beyond it who "
                                      "has left most is cut off"};

inline constexpr limit connections{
    "connections",
    "connections",
    20'000,
    1,
    10'000'000,
    "clients at a time; more are closed at once. Each takes a descriptor (`ulimit -n`, of which "
    "64 are left for nodes) and, while idle, under 16 KiB"};

inline constexpr limit connections_per_address{
    "connections-per-address",
    "connections",
    0,
    0,
    10'000'000,
    "clients at a time from one IPv4 address or IPv6 /64; 0: as many as there may be in all, since "
    "clients behind one proxy share an address"};

inline constexpr limit hello_time{
    "hello-time", "milliseconds",
    10'000,       100,
    3'600'000,    "how long a client may take to shake hands (TLS) and to say who it is (token)"};

inline constexpr limit message_time{"message-time",
                                    "milliseconds",
                                    60'000,
                                    100,
                                    3'600'000,
                                    "how long one message may take to arrive from "
                                    "its first byte on; 2 MiB in a minute is 280 "
                                    "kbit/s"};

inline constexpr limit idle_time{
    "idle-time", "milliseconds",
    3'600'000,   100,
    604'800'000, "how long a client may stay that asks nothing and waits for nothing"};

inline constexpr limit default_timeout{
    "timeout",  "milliseconds",
    30'000,     1,
    86'400'000, "the deadline of a request that names none; after it the answer is TIMEOUT"};

inline constexpr limit attempts{
    "attempts", "runs",
    3,          1,
    100,        "how often a request is started before a lost worker makes its answer WORKER_LOST"};

inline constexpr limit retry_share{
    "retry-share",
    "percent",
    20,
    0,
    10'000,
    "how many of a service's starts may be repeats after a lost worker, besides what "
    "one loss of all its slots costs and ten a second; more of them wait"};

inline constexpr limit drain{"drain-time", "milliseconds",
                             30'000,       0,
                             3'600'000,    "how long running work may go on after SIGTERM"};

inline constexpr limit node_bytes{"node-bytes",
                                  "bytes",
                                  2 * mib,
                                  64 * kib,
                                  1 * gib,
                                  "request bytes of a service that a node may hold and still get "
                                  "more ahead of its free slots: enough for the way there, little "
                                  "enough to stay in a processor's cache"};

inline constexpr limit node_prefetch{"node-prefetch",
                                     "requests",
                                     4096,
                                     0,
                                     1u << 20,
                                     "requests handed to a node ahead of its free slots, per slot; "
                                     "what is used adapts to the service's run time"};

inline constexpr limit node_prefetch_time{"node-prefetch-time",
                                          "microseconds",
                                          2000,
                                          0,
                                          1'000'000,
                                          "work handed to a slot ahead of time: covers the way to "
                                          "the node and back, and is the longest a short message "
                                          "can be stuck behind one like it"};

inline constexpr limit shards{
    "shards",
    "event loops",
    1,
    1,
    64,
    "threads of a broker that own clients and dispatch; the memory and queue limits are of all of "
    "them. More than one pays when the first has a processor of its own and that is not enough"};

inline constexpr limit slots{
    "slots", "slots", 0, 0, 4096, "messages run at the same time, per service; 0: one a processor"};

inline constexpr limit restarts{
    "restarts", "restarts", 5,
    1,          10'000,     "restarts within the restart window before a supervisor gives up"};

inline constexpr limit restart_window{"restart-window", "milliseconds",
                                      10'000,           1,
                                      3'600'000,        "the window in which restarts are counted"};

/// Everything above, in the order in which the README shows it.
inline constexpr std::array all{max_message,
                                held_memory,
                                service_memory,
                                connection_memory,
                                connection_requests,
                                queued,
                                unread_answers,
                                unread_answers_time,
                                answers_memory,
                                connections,
                                connections_per_address,
                                hello_time,
                                message_time,
                                idle_time,
                                default_timeout,
                                attempts,
                                retry_share,
                                drain,
                                node_bytes,
                                node_prefetch,
                                node_prefetch_time,
                                shards,
                                slots,
                                restarts,
                                restart_window};

// -- numbers of the protocol itself: a client may rely on them, so no option changes them ---------

/// Optional fields of one frame, in bytes: a service name, a key and a trace context with room to
/// spare.
inline constexpr std::size_t max_fields_bytes = 4096;

/// What a client may send before it has said who it is, in bytes: a hello, and no more.
inline constexpr std::size_t max_hello_bytes = 512;

/// A service's name, in bytes: long enough for a path-like name, short enough to log.
inline constexpr std::size_t max_service_bytes = 128;

/// Services that one node may offer: their indices travel in 16 bits, and nobody has needed more.
inline constexpr std::size_t max_services = 1000;

/// The end of a handler's stderr that is put into its FAILED answer, in bytes.
inline constexpr std::size_t max_stderr_bytes = 4096;

// -- numbers of the house: reasons beside them, no option because nobody has needed one -----------

/// A payload from this size on has memory of its own and is passed on by reference; below it a copy
/// is cheaper than a reference (measured: the copy of 16 KiB costs about what an extra system call
/// does).
inline constexpr std::size_t large_payload_bytes = 16 * kib;

/// What one read of a client socket asks for at most, in bytes: one buffer an event loop, shared by
/// its connections.
inline constexpr std::size_t read_bytes = 256 * kib;

/// What one read asks for at most of a client that sends frames which ask for no work, in bytes:
/// 256 of the smallest, some 50 us of the loop's time a turn.
inline constexpr std::size_t little_read_bytes = 4 * kib;

/// The same of a client that sends text lines, of which one may be two bytes long: usually, and
/// when most of them ask for no work. No more than 4,096 and 256 of them a turn.
inline constexpr std::size_t lines_read_bytes = 8 * kib;
inline constexpr std::size_t little_lines_bytes = 512;

/// Payloads from this size on are read one by one, each straight to its place, in bytes. Smaller
/// ones come several with a read and are copied, except for the rest of the last: to read 16 KiB or
/// 32 KiB payloads one by one halved what a broker gets done.
inline constexpr std::size_t direct_payload_bytes = 128 * kib;

/// What is read ahead of the next header while a connection sends such payloads, in bytes.
inline constexpr std::size_t read_ahead_bytes = 4 * kib;

/// Connections on the cluster port that have not shaken hands yet; a newcomer takes the place of
/// the oldest. Enough for a rack of workers that start at once.
inline constexpr std::size_t node_handshakes = 128;

/// Descriptors that clients leave free, or an eighth of what there may be if that is less: for
/// nodes that come (back), and for what else a broker opens.
inline constexpr std::size_t kept_descriptors = 64;

/// A SIGTERM or SIGINT that comes so soon after the first one is the same one, in milliseconds. One
/// wish to end arrives several times within moments, at the whole group and from the parent that
/// passes it on (Ctrl-C, `timeout`, a service manager that signals all processes); who has seen a
/// drain and wants no more of it takes longer than a second to say so.
inline constexpr std::uint32_t second_signal_ms = 1000;

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
inline constexpr std::size_t least_ring_batch_bytes = 1 * kib;
inline constexpr std::size_t most_ring_batch_bytes = 2 * mib;

/// Frames kept for one connection whose first bytes are of a text line that never ends.
inline constexpr std::size_t max_text_overhead_bytes = max_service_bytes + 2;

/// A BASP message, in bytes: a batch holds whole messages, so a little over node-bytes plus the
/// largest message.
inline constexpr std::size_t max_basp_bytes = 1 * gib;

} // namespace limits
} // namespace ropewalk
