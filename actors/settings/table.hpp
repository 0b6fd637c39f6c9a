#pragma once

#include "actors/settings/setting.hpp"

#include <array>
#include <string>
#include <vector>

namespace ropewalk {

template <auto Field>
inline constexpr auto of_dispatch = kept_in<&broker_tuning::dispatch, Field>;

/// The table of settings, in the order in which the README shows them: what `ropewalk broker` and
/// `ropewalk worker` take as options and as keys of the config file, how shards share it, and what
/// `ropewalk limits` prints. To add one: a line here, and its field with the default.
inline constexpr std::array all_settings{
    setting{"max-message-bytes",
            unit::bytes,
            {1 * limits::kib, limits::max_frame_payload_bytes},
            sharing::same_for_each,
            kept_in<&broker_tuning::max_message_bytes>,
            kept_in<&node_tuning::max_message_bytes>,
            "the largest payload of a request or a reply; the ceiling keeps a frame's first byte "
            "below 0x20, by which binary frames are told from text lines"},
    setting{
        "memory",
        unit::bytes,
        {8 * limits::mib, 1024 * limits::gib},
        sharing::divided,
        of_dispatch<&dispatch_settings::memory>,
        "request bytes that the broker holds until they are answered; beyond it a request is "
        "answered BUSY. Where less than 1 GiB of memory is there for the broker (in a container, "
        "or by `ulimit -v`), the standard is half of that"},
    setting{"service-memory",
            unit::bytes,
            {1 * limits::mib, 1024 * limits::gib},
            sharing::divided,
            of_dispatch<&dispatch_settings::service_memory>,
            "one service's share of it: one that is stuck must not take the others' memory; beyond "
            "it a request is answered BUSY"},
    setting{"connection-memory",
            unit::bytes,
            {1 * limits::mib, 1024 * limits::gib},
            sharing::same_for_each,
            of_dispatch<&dispatch_settings::connection_memory>,
            "one client's share: beyond it the broker stops reading from that client until half of "
            "it is answered"},
    setting{"connection-requests",
            unit::requests,
            {1, 1u << 20},
            sharing::same_for_each,
            of_dispatch<&dispatch_settings::connection_requests>,
            "requests of one client that wait for an answer; beyond it the broker stops reading "
            "from that client"},
    setting{"queue",
            unit::requests,
            {1, 100'000'000},
            sharing::divided_to_min,
            of_dispatch<&dispatch_settings::queue>,
            "requests that wait for a slot, per service; beyond it a request is answered BUSY"},
    setting{
        "unread-answers",
        unit::bytes,
        {limits::min_unread_answers_bytes, 1024 * limits::gib},
        sharing::same_for_each,
        kept_in<&broker_tuning::unread_answers>,
        "answers that a client has not read yet; beyond it the broker stops reading its requests"},
    setting{"unread-answers-time",
            unit::milliseconds,
            {100, 3'600'000},
            sharing::same_for_each,
            kept_in<&broker_tuning::unread_answers_time>,
            "how long a client may leave its answers unread without taking a single byte before it "
            "is cut off"},
    setting{"answers-memory",
            unit::bytes,
            {8 * limits::mib, 1024 * limits::gib},
            sharing::divided,
            kept_in<&broker_tuning::answers_memory>,
            "answers of all clients that were not read yet; the nearer it comes, the less each may "
            "leave unread, and beyond it who has left most is cut off"},
    setting{"connections",
            unit::connections,
            {1, 10'000'000},
            sharing::by_the_process,
            kept_in<&broker_tuning::clients, &connection_settings::connections>,
            "clients at a time; more are closed at once. Each takes a descriptor (`ulimit -n`, of "
            "which 64 are left for nodes) and, while idle, under 16 KiB"},
    setting{"connections-per-address",
            unit::connections,
            {0, 10'000'000},
            sharing::by_the_process,
            kept_in<&broker_tuning::clients, &connection_settings::connections_per_address>,
            "clients at a time from one IPv4 address or IPv6 /64; 0: as many as there may be in "
            "all, since clients behind one proxy share an address"},
    setting{"hello-time",
            unit::milliseconds,
            {100, 3'600'000},
            sharing::same_for_each,
            kept_in<&broker_tuning::hello_time>,
            "how long a client may take to shake hands (TLS) and to say who it is (token), and a "
            "worker at the cluster port to shake hands"},
    setting{"message-time",
            unit::milliseconds,
            {100, 3'600'000},
            sharing::same_for_each,
            kept_in<&broker_tuning::message_time>,
            "how long one message may take to arrive from its first byte on; 2 MiB in a minute is "
            "280 kbit/s"},
    setting{"idle-time",
            unit::milliseconds,
            {100, 604'800'000},
            sharing::same_for_each,
            kept_in<&broker_tuning::idle_time>,
            "how long a client may stay that asks nothing and waits for nothing"},
    setting{"timeout",
            unit::milliseconds,
            {1, 86'400'000},
            sharing::same_for_each,
            of_dispatch<&dispatch_settings::timeout>,
            "the deadline of a request that names none; after it the answer is TIMEOUT"},
    setting{"max-deadline",
            unit::milliseconds,
            {1, 4'294'967'295},
            sharing::same_for_each,
            of_dispatch<&dispatch_settings::max_deadline>,
            "the longest deadline that a request gets, whatever it asks for: so long a client that "
            "waits may hold its place and its message's memory. A day is more than most jobs take "
            "that somebody waits for; the most that a request can say is 49 days"},
    setting{"attempts",
            unit::runs,
            {1, 100},
            sharing::same_for_each,
            of_dispatch<&dispatch_settings::attempts>,
            "how often a request is started before a lost worker makes its answer WORKER_LOST"},
    setting{"startup-grace",
            unit::milliseconds,
            {0, 3'600'000},
            sharing::same_for_each,
            of_dispatch<&dispatch_settings::startup_grace>,
            "how long after the broker's start a request may wait for a service that no worker has "
            "offered yet, since workers need a moment to find it; after that NO_SERVICE is said at "
            "once"},
    setting{"retry-share",
            unit::percent,
            {0, 10'000},
            sharing::same_for_each,
            of_dispatch<&dispatch_settings::retry_share>,
            "how many of a service's starts may be repeats after a lost worker, besides what one "
            "loss of all its slots costs and ten a second; more of them wait"},
    setting{"drain-time",
            unit::milliseconds,
            {0, 3'600'000},
            sharing::same_for_each,
            kept_in<&broker_tuning::drain_time>,
            kept_in<&node_tuning::drain_time>,
            "how long running work may go on after SIGTERM"},
    setting{"node-bytes",
            unit::bytes,
            {64 * limits::kib, 1 * limits::gib},
            sharing::divided_to_min,
            of_dispatch<&dispatch_settings::node_bytes>,
            "request bytes of a service that a node may hold and still get more ahead of its free "
            "slots: enough for the way there, little enough to stay in a processor's cache"},
    setting{"node-prefetch",
            unit::requests,
            {0, 1u << 20},
            sharing::divided,
            of_dispatch<&dispatch_settings::node_prefetch>,
            "requests handed to a node ahead of its free slots, per slot; what is used adapts to "
            "the service's run time"},
    setting{"node-prefetch-time",
            unit::microseconds,
            {0, 1'000'000},
            sharing::divided,
            of_dispatch<&dispatch_settings::node_prefetch_time>,
            "work handed to a slot ahead of time: covers the way to the node and back, and is the "
            "longest a short message can be stuck behind one like it"},
    setting{
        "history-memory",
        unit::bytes,
        {0, 256 * limits::mib},
        sharing::divided,
        of_dispatch<&dispatch_settings::history_memory>,
        "what became of messages (`ropewalk explain`): half of it for failures and retries, a "
        "quarter for attempts of those under way, the rest for the slowest five of every minute "
        "and service and for a sample, one a second; 16 MiB hold some 19,000 failures. More "
        "would take longer to look through than a question may hold up the broker; 0: nothing "
        "is kept"},
    setting{"shards",
            unit::event_loops,
            {1, 64},
            sharing::by_the_process,
            kept_in<&broker_tuning::shards>,
            "threads of a broker that own clients and dispatch; the memory and queue limits are of "
            "all of them. More than one pays when the first has a processor of its own and that is "
            "not enough"},
    setting{
        "slots",
        unit::slots,
        {0, limits::max_slots},
        kept_in<&node_tuning::slots>,
        "messages run at the same time, per service; 0: one a processor that the worker may use "
        "(its affinity, and the quota of its container)"},
    setting{"restarts",
            unit::restarts,
            {1, 10'000},
            sharing::same_for_each,
            kept_in<&broker_tuning::restarts, &restart_policy::settings::restarts>,
            kept_in<&node_tuning::restarts, &restart_policy::settings::restarts>,
            "restarts within the restart window before a supervisor gives up"},
    setting{"restart-window",
            unit::milliseconds,
            {1, 3'600'000},
            sharing::same_for_each,
            kept_in<&broker_tuning::restarts, &restart_policy::settings::window>,
            kept_in<&node_tuning::restarts, &restart_policy::settings::window>,
            "the window in which restarts are counted"}};

/// What one of as many shards as `process` says has of what the process was told.
broker_tuning share_of(const broker_tuning& process);

/// The command line by which another process gets the same settings: "--slots", "4", ...
std::vector<std::string> arguments_for(const node_tuning& settings);

} // namespace ropewalk
