#include "actors/broker/front.hpp"
#include "actors/settings/units.hpp"

#include <spdlog/spdlog.h>

/// What nodes say of the messages that they had: answers, and runs that ended otherwise.
namespace ropewalk {

namespace {

run_facts run_of(const answer_item& item) {
  return {microseconds{item.run_us}, item.slot};
}

std::string said_by(const node_table::member& node, const answer_item& item) {
  return "on node " + node.description.name + ": " + std::string{item.payload.view()};
}

} // namespace

void front::take_answers(node_number node, const batch& answers) {
  const auto* from = nodes_.find(node);
  if (!from) return; // it was declared lost: refused
  const auto now = std::chrono::steady_clock::now();
  batch_reader reader{answers.flat(), batch_reader::payloads::lent};
  while (const auto* item = reader.next_answer()) {
    switch (item->end) {
    case item_end::failed:
      if (dispatcher_.start_failed_again(node, item->token, item->fence, now, item->payload.view(),
                                         run_of(*item)))
        break;
      [[fallthrough]];
    case item_end::answered:
      if (item->code != error_code::ok) [[unlikely]]
        note_error(node, *item, from->description.name, now);
      if (const auto whom = dispatcher_.complete(
              node, item->token, item->fence, microseconds{item->run_us}, now,
              {static_cast<std::uint32_t>(item->payload.size()), item->code, item->slot})) {
        if (item->payload.size() <= settings_.max_message_bytes) [[likely]]
          clients_.answer(*whom, item->code, item->payload);
        else
          refuse_reply(*whom, from->description, item->payload.size(), now);
      }
      break;
    case item_end::returned:
      dispatcher_.give_back(node, item->token, item->fence, now);
      break;
    case item_end::crashed:
    case item_end::suspect:
    case item_end::interrupted: {
      const auto refused_before = dispatcher_.pending().refuse.size();
      lose_run(node, *item, said_by(*from, *item), now);
      log_lost(from->description.name, refused_before, now);
      break;
    }
    }
  }
  if (reader.malformed()) {
    spdlog::error("node {} sent a batch that makes no sense; it is let go", from->description.name);
    lose_node(node, "it sent a batch that makes no sense", now);
  }
  carry_out();
}

// Of a node with another cap, or one that has none. Clients rely on this broker's.
void front::refuse_reply(const completion& whom, const node_description& from, std::size_t bytes,
                         instant now) {
  const auto cap = size_text(settings_.max_message_bytes);
  failures_.warn(now, "a reply over the cap on messages is answered TOO_LARGE",
                 {{"node", from.name},
                  {"host", from.host},
                  {"bytes", std::to_string(bytes)},
                  {"max-message-bytes", cap}});
  clients_.answer(whom, error_code::too_large,
                  shared_bytes::copy_of("the reply is over the broker's cap on messages, " + cap +
                                        "; raise --max-message-bytes there"));
}

// An answer that is none of the handler's replies.
void front::note_error(node_number node, const answer_item& what, const std::string& name,
                       instant now) {
  if (what.code == error_code::failed) log_failed(what.token, name, what.payload.view(), now);
  dispatcher_.note_error(node, what.token, what.fence, run_of(what), what.code, what.payload.view(),
                         now);
}

void front::log_failed(token which, const std::string& node, std::string_view why, instant now) {
  const auto failed = dispatcher_.describe(which, now);
  if (!failed) return; // nobody asks for it any more
  log_fields fields{{"service", failed->service},
                    {"node", node},
                    {"reason", std::string{why}},
                    {"request", failed->id.text()}};
  if (failed->trace) fields.emplace_back("trace", hex_of(failed->trace->trace));
  failures_.warn(now, "a request is answered FAILED", std::move(fields));
}

// What ran a request has ended before that was done.
void front::lose_run(node_number node, const answer_item& what, const std::string& why,
                     instant now) {
  if (what.end == item_end::suspect)
    dispatcher_.crash_among_others(node, what.token, what.fence, why, now, run_of(what));
  else if (what.end == item_end::interrupted)
    dispatcher_.interrupt(node, what.token, what.fence, why, now, run_of(what));
  else
    dispatcher_.crash(node, what.token, what.fence, why, now, run_of(what));
}

// What the dispatcher has refused since: requests of which that node was the last chance.
void front::log_lost(const std::string& node, std::size_t refused_before, instant now) {
  const auto& refused = dispatcher_.pending().refuse;
  for (auto i = refused_before; i < refused.size(); ++i)
    if (refused[i].code == error_code::worker_lost) log_lost(node, refused[i], now);
}

void front::log_lost(const std::string& node, const refusal& what, instant now) {
  const message_id id{settings_.shard.number, what.connection.index, what.connection.generation,
                      what.request_id};
  log_fields fields{{"service", dispatcher_.service_name(what.service)},
                    {"node", node},
                    {"reason", what.detail},
                    {"request", id.text()}};
  if (!what.trace.empty()) fields.emplace_back("trace", what.trace);
  failures_.warn(now, "a request is answered WORKER_LOST", std::move(fields));
}

} // namespace ropewalk
