#pragma once

#include "actors/broker/gatekeeper.hpp"
#include "actors/broker/session_table.hpp"
#include "actors/broker/settings.hpp"
#include "actors/dispatch/dispatcher.hpp"
#include "actors/messages.hpp"
#include "net/protocol/batch.hpp"
#include "net/sockets/hangup_watch.hpp"

#include <caf/io/broker.hpp>
#include <unordered_map>
#include <vector>

namespace ropewalk {

/// The broker actor: owns every client socket and one dispatcher, which is a member and not an
/// actor, so that asking it costs a call. Bytes come in as frames, become events of the dispatcher;
/// what that decides is carried out here:
///
///     client sockets -> frames -> dispatcher -> work batches -> gateways (one message a node and
///     turn) gateways -> answer batches -> dispatcher -> frames -> client sockets (one write a
///     socket and turn)
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
  struct status_asker {
    connection_id who; // a handle is a descriptor's number, and given again
    std::uint64_t id;
  };

  struct member { // a node
    node_description description;
    caf::actor gateway;
    batch_builder work;
    std::vector<attempt_ref> withdrawn;
    bool dirty = false;
  };

  // -- clients
  bool listen();
  bool let_in(const sockaddr_storage& peer);
  void complain(std::string what);
  void feed_starving_doors();
  void starved(caf::io::accept_handle door);
  void connected(caf::io::connection_handle hdl);
  void disconnected(caf::io::connection_handle hdl);
  [[nodiscard]] session* find_session(caf::io::connection_handle hdl);
  void readable(caf::io::connection_handle hdl);
  void count_announced(session& from);
  void handle(session& from, const incoming_frame& frame);
  [[nodiscard]] bool must_say_who(session& from);
  [[nodiscard]] bool introduced(session& from, const incoming_frame& frame,
                                const frame_fields& fields);
  void turn_away(session& from, std::uint64_t id, std::string_view why);
  void reload();
  void handle_hello(session& from, const frame_fields& fields, std::uint64_t id);
  void submit(const session& from, const incoming_frame& frame, const frame_fields& fields);
  void handle_request(session& from, const incoming_frame& frame, const frame_fields& fields);
  void answer(session& to, std::uint64_t id, error_code code, const shared_bytes& payload,
              std::uint32_t retry_after_ms = 0);
  void refuse(session& to, std::uint64_t id, error_code code, std::string_view detail = {});
  void touch(session& which);
  void flush(session& which);
  void set_reading(session& which);
  void close_after_answer(session& which);
  void forget(session& which);
  void count_unread(session& of);
  [[nodiscard]] std::uint64_t unread_share() const;
  void watch_slow_readers(instant now);
  void cut_off_the_slowest();
  void patrol();
  void look_at(session& s);

  // -- nodes
  std::uint32_t admit(node_description description, caf::actor gateway);
  void lost(std::uint32_t node, const std::string& why);
  [[nodiscard]] member* find_member(std::uint32_t node);
  void touch(std::uint32_t node, member& which);
  void open_turn();
  void take_answers(std::uint32_t node, const batch& answers);

  // -- turns and time
  static instant clock_now() { return std::chrono::steady_clock::now(); }
  void carry_out();
  void finish_turn();
  void collect_placed();
  void expect_tick();
  void tick();
  void drain();
  [[nodiscard]] bool all_done() const;

  // -- status
  [[nodiscard]] broker_report report() const;
  void handle_status(session& from, std::uint64_t id);
  void collect_status();
  void tell_status();

  broker_settings settings_;
  caf::actor supervisor_;
  dispatcher dispatcher_;
  gatekeeper gate_;
  log_brake brake_;
  session_table sessions_;
  std::unordered_map<caf::io::connection_handle, connection_id> by_handle_;
  std::unordered_map<node_number, member> members_;
  std::vector<connection_id> dirty_sessions_;
  std::vector<node_number> dirty_members_;
  std::shared_ptr<hangup_watch> hangups_;
  std::vector<connection_id> watched_; // slow readers, and connections that are being closed
  std::vector<caf::io::accept_handle> starving_doors_; // do not accept for want of descriptors
  instant last_starved_;
  std::optional<client_census::admission> last_admission_; // of who was let in last
  std::uint64_t announced_bytes_ = 0;                      // of messages that are on their way in
  std::uint64_t unread_bytes_ = 0;                         // of answers, of all clients
  std::uint64_t turned_away_ = 0;                          // connections that were refused
  std::uint64_t restarts_ = 0;
  std::string label_; // which shard this is, for the log; empty if there is just one
  // STATUS: who waits for the round that is under way, and who for the next one.
  std::vector<status_asker> status_asked_;
  std::vector<status_asker> status_waiting_;
  broker_report status_;
  std::size_t shards_to_hear_ = 0;
  instant started_;
  instant now_; // of this turn
  bool turn_open_ = false;
  bool tick_expected_ = false;
  bool patrolling_ = false;
  bool draining_ = false;
  instant drain_end_;
};

} // namespace ropewalk
