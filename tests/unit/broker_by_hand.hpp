#pragma once

#include "actors/broker/sessions/client_sessions.hpp"
#include "tests/catch.hpp"
#include "tests/unit/fake_client.hpp"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ropewalk {

using namespace std::chrono_literals;

/// The front's work without CAF: clients, a dispatcher and nodes that exist only there, in a time
/// that the test moves.
class broker_by_hand {
public:
  explicit broker_by_hand(broker_tuning limits = {}, client_access_settings access = {},
                          dispatch_settings work = {}, http_side side = http_side::broker)
      : dispatcher_(work, start_, 1), side_(side),
        clients(limits, std::move(access), dispatcher_, {}, {}, side) {
    REQUIRE(clients.load_access(now));
  }

  /// A client comes; its connection is looked at by the test.
  std::shared_ptr<fake_client> connect() { return let_in(std::make_shared<fake_client>()); }

  /// One that speaks HTTP.
  std::shared_ptr<fake_client> connect_http() {
    return let_in(std::make_shared<fake_client>(
        1 << 20, std::make_unique<http_decoder>(std::size_t{1} << 20)));
  }
  std::shared_ptr<fake_client> let_in(std::shared_ptr<fake_client> client) {
    ids_[client.get()] = clients.connected(client, std::make_shared<int>(), now);
    return client;
  }

  /// The loop tells that there is something to read, and the turn goes to its end.
  void read(const std::shared_ptr<fake_client>& from) {
    hear(from);
    end_turn();
  }
  /// The turn goes on.
  void hear(const std::shared_ptr<fake_client>& from) {
    if (!from->input_ended()) from->arrive();
    clients.read(ids_.at(from.get()), now);
  }
  [[nodiscard]] connection_id id_of(const std::shared_ptr<fake_client>& who) const {
    return ids_.at(who.get());
  }
  void lose(const std::shared_ptr<fake_client>& who) {
    clients.disconnected(ids_.at(who.get()), now);
    end_turn();
  }

  /// A node with so many slots, which answers when it is told to.
  void add_node(const std::string& service, std::uint32_t slots) {
    node_ = dispatcher_.join({{service, slots}}, now, "left");
    end_turn();
  }
  void answer_next(std::string_view payload) {
    append_answer(payload);
    end_turn();
  }
  /// The turn goes on.
  void append_answer(std::string_view payload) {
    REQUIRE_FALSE(at_node_.empty());
    const auto [which, fence] = at_node_.front();
    at_node_.erase(at_node_.begin());
    const auto whom = dispatcher_.complete(node_, which, fence, 1ms, now);
    if (whom) clients.answer(*whom, error_code::ok, shared_bytes::borrow(payload));
  }
  [[nodiscard]] std::size_t at_node() const { return at_node_.size(); }

  /// Time passes: ticks and checks of time-outs as the front has them.
  void pass(milliseconds time) {
    for (const auto end = now + time; now < end;) {
      now += 20ms;
      dispatcher_.advance(now);
      end_turn();
      clients.tick(now);
      if ((now - start_) % session_timeouts::interval == 0ms) clients.check_timeouts(now);
      end_turn();
    }
  }

  void end_turn() {
    if (dispatcher_.has_more_to_end()) dispatcher_.end_more(now);
    carry_out();
    dispatcher_.take_placed([&](node_number, token which, const request& r, std::uint16_t) {
      at_node_.push_back({which, r.fence});
    });
    if (clients.wants_status_round()) {
      clients.begin_status_round();
      if (side_ == http_side::worker)
        clients.end_status_round(worker_numbers);
      else
        clients.end_status_round(numbers, history.since(clients.events().needs_points_from()), now);
    }
    while (const auto question = clients.questions().take_next())
      clients.answer_question(
          *question, message_questions::known(dispatcher_, question->query, now), now, wall);
    carry_out();
    clients.flush(now);
    clients.carry_out(dispatcher_.pending());
  }

private:
  void carry_out() {
    clients.carry_out(dispatcher_.pending());
    withdrawn += dispatcher_.pending().withdraw.size();
    dispatcher_.pending().withdraw.clear();
  }

  const instant start_{1h};
  dispatcher dispatcher_;
  const http_side side_;
  node_number node_ = 0;
  std::vector<std::pair<token, std::uint32_t>> at_node_;
  std::map<fake_client*, connection_id> ids_;

public:
  instant now = start_;
  broker_report numbers; // what STATUS says
  worker_report worker_numbers;
  wall_time wall{}; // what clocks on walls say
  load_history history;
  std::size_t withdrawn = 0; // what nodes need not answer any more
  client_sessions clients;
};

} // namespace ropewalk
