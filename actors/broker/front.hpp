#pragma once

#include "actors/broker/broker_numbers.hpp"
#include "actors/broker/client_acceptors.hpp"
#include "actors/broker/drain.hpp"
#include "actors/broker/node_table.hpp"
#include "actors/broker/sessions/client_sessions.hpp"
#include "actors/broker/settings.hpp"
#include "actors/broker/status_round.hpp"
#include "actors/dispatch/dispatcher.hpp"
#include "actors/log/log_rate_limiter.hpp"
#include "actors/messages.hpp"

#include <caf/io/broker.hpp>
#include <unordered_map>

namespace ropewalk {

/// The broker actor: owns every client socket and one dispatcher, which is a member and not an
/// actor, so that asking it costs a call. Bytes come in as frames, become events of the dispatcher;
/// what that decides is carried out here:
///
///     client sockets -> client_sessions -> dispatcher -> node_table -> gateways
///     gateways       -> take_answers    -> dispatcher -> client_sessions -> client sockets
///
/// What collects in a turn of the loop leaves at its end: one message a node, one write a socket.
///
/// Runs on its event loop's thread and never blocks. If it falls, its clients' connections close,
/// the nodes notice and join the next front.
class front final : public caf::io::broker {
public:
  front(caf::actor_config& config, broker_settings settings, caf::actor supervisor);

  const char* name() const override { return "front"; }
  void on_exit() override;

protected:
  caf::behavior make_behavior() override;

private:
  // What it has asked the loop to call it for.
  struct expected_calls {
    bool turn_end = false;
    bool tick = false;
    bool timeouts = false;
    bool more_ends = false;
    instant tick_due{};
    instant sample_due{};
  };

  result<void> open_acceptors();
  void connected(caf::io::connection_handle which);
  [[nodiscard]] connection_id id_of(caf::io::connection_handle which) const;
  node_number admit(node_description description, caf::actor gateway);
  void let_go(node_number which);
  void take_answers(node_number from, const batch& answers);
  void refuse_reply(const completion& whom, const node_description& from, std::size_t bytes,
                    instant now);
  void lose_node(node_number which, const std::string& why, instant now);
  void set_failing(node_number which, std::uint16_t service, bool failing, instant now);
  void note_error(node_number node, const answer_item& what, const std::string& name, instant now);
  void log_failed(token which, const std::string& node, std::string_view why, instant now);
  void lose_run(node_number node, const answer_item& what, const std::string& why, instant now);
  void log_lost(const std::string& node, std::size_t refused_before, instant now);
  void log_lost(const std::string& node, const refusal& what, instant now);
  void reload();
  void begin_drain();

  void carry_out();
  void expect_turn_end();
  void expect_more_ends();
  void end_turn();
  void expect_tick();
  void tick();
  void expect_timeouts();
  void sample();
  void advance_drain(instant now);

  void act(const operator_action& what);
  void carry_out(const operator_action& what);
  void begin_status_round();
  [[nodiscard]] shared_reports known_about(const message_query& query);
  void answer_question(instant now);
  void export_traces();

  const broker_settings settings_;
  const caf::actor supervisor_;
  dispatcher dispatcher_;
  client_sessions clients_;
  client_acceptors acceptors_;
  node_table nodes_;
  status_round status_;
  broker_numbers numbers_;
  drain drain_;
  std::unordered_map<caf::io::connection_handle, connection_id> by_handle_; // some may be gone
  expected_calls expected_;
  log_rate_limiter failures_; // FAILED and WORKER_LOST: must not hide, or be hidden by, strangers
};

} // namespace ropewalk
