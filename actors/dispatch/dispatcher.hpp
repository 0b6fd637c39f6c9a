#pragma once

#include "actors/dispatch/actions.hpp"
#include "actors/dispatch/deadline_wheel.hpp"
#include "actors/dispatch/event_facts.hpp"
#include "actors/dispatch/id_table.hpp"
#include "actors/dispatch/index_pool.hpp"
#include "actors/dispatch/key_lanes.hpp"
#include "actors/dispatch/message_history.hpp"
#include "actors/dispatch/node_selector.hpp"
#include "actors/dispatch/request.hpp"
#include "actors/dispatch/service_queue.hpp"
#include "actors/dispatch/service_record.hpp"
#include "actors/dispatch/settings.hpp"
#include "actors/stats/dispatch_totals.hpp"
#include "actors/stats/load_history.hpp"
#include "actors/stats/service_report.hpp"
#include "net/protocol/error.hpp"
#include "net/protocol/limits.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

/// The dispatcher decides which node runs which request, and what becomes of a request whose node,
/// slot, client or time is lost. It does no I/O and asks no clock: events come in as calls, with
/// the time; what is to be done collects in `actions`, for the front to carry out (and for the
/// simulator, in virtual time).
///
///     submit -> [behind its key (key_lanes)] -> waiting (service_queue) -> placed (offer) -> sent
///     -> gone
///                                                  ^                                        |
///                                                  '---- the node gave it back, died, ------'
///                                                        or its slot crashed
///
/// What must hold (`check` asserts it): a request is in the list of its stage and in no other;
/// every count is that of its list; nothing that may go waits while an offer of its service has
/// room.
///
/// What was decided and what it concerns part ways between an event and its being carried out.
/// Connections are named by index and generation, nodes by numbers that are never used twice, and
/// requests by token and fence. What is placed is handed over by `take_placed` at the end of a
/// turn: what was taken back until then never leaves.
namespace ropewalk {

class dispatcher {
public:
  /// `seed`: of the choices between nodes, and of the hashes of what clients choose. One that
  /// clients cannot guess, where they are strangers.
  dispatcher(const dispatch_settings& settings, instant start, std::uint64_t seed);

  // -- clients ------------------------------------------------------------------------------------

  /// `address`: whence, for people.
  connection_id connect(shared_text address = nullptr);

  /// Its waiting requests are dropped, those with a node withdrawn; of many, most in `end_more`, and
  /// none of them is started until then. Its index may be given to another connection.
  void disconnect(connection_id connection, instant now);

  /// The service of that name, if a node ever offered it. Services never go away, so the index can
  /// be kept.
  [[nodiscard]] std::optional<service_index> find_service(std::string_view name) const;

  /// The service that a request asks for; nothing: no node has offered it. Until `startup_grace` is
  /// over it need not have been offered yet, and such requests wait until then.
  [[nodiscard]] std::optional<service_index> service_to_ask(std::string_view name, instant now);

  /// Why there is no such service, for who asked for it.
  [[nodiscard]] static std::string never_offered(std::string_view name);

  /// The service of that name, of which there is one from now on. Requests for it wait for a node.
  service_index service_named(const std::string& name);

  /// A request comes in. Its id must not be that of another of this connection that waits for its
  /// answer: then it is refused (BAD_REQUEST), and the other goes on.
  void submit(const submission& what, instant now);

  /// Takes a request back: its client gets CANCELLED, if it had not been answered before. `by`: who
  /// of those who run the broker does that; empty: the client.
  void cancel(connection_id from, std::uint64_t id, instant now, std::string_view by = {});

  // -- nodes --------------------------------------------------------------------------------------

  /// `name`: for people.
  node_number join(const std::vector<service_offer>& offers, instant now,
                   std::string_view name = {});

  /// The node is dead, or cannot be reached. What it was running is charged an attempt, what waited
  /// there is not. `what` tells people what happened, in an answer to somebody whose message did
  /// not survive it.
  void lose(node_number node, std::string_view what, instant now);

  /// No new work for this node; what it has, it may finish or give back.
  void retire(node_number node, instant now);

  /// The node's pool for this service restarts too often (true) or works again (false).
  void set_failing(node_number node, std::uint32_t offer, bool failing, instant now);

  /// So many of its slots live: one that fell is started again after a pause.
  void set_slots(node_number node, std::uint32_t offer, std::uint32_t slots, instant now);

  /// An answer. Nothing if it is not to be used: a placing that was superseded, or a request that
  /// is gone.
  std::optional<completion> complete(node_number node, token request, std::uint32_t fence,
                                     microseconds run_time, instant now, answer_facts what = {});

  /// An answer that is about to come to `complete` is an error, and says this: for the history.
  void note_error(node_number node, token request, std::uint32_t fence, const run_facts& run,
                  error_code code, std::string_view text, instant now);

  /// The node had not started it: its slots are held up, or it drains. It gets nothing until one of
  /// its messages comes to an end, or a pause has gone by (node_selector::first_rest).
  void give_back(node_number node, token request, std::uint32_t fence, instant now);

  /// Its slot died while running it.
  void crash(node_number node, token request, std::uint32_t fence, std::string_view what,
             instant now, const run_facts& run = {});

  /// Its handler says that it failed, and is to be asked again if that is allowed: it is charged as
  /// by a crash. False if it is not, and the failure the answer (`complete`).
  bool start_failed_again(node_number node, token request, std::uint32_t fence, instant now,
                          std::string_view what = {}, const run_facts& run = {});

  /// It was one of several that were running in a process which died: it is charged, as what it was
  /// started for may have been done, and from now on nothing runs beside it. So whoever is innocent
  /// is charged like this once at most.
  void crash_among_others(node_number node, token request, std::uint32_t fence,
                          std::string_view what, instant now, const run_facts& run = {});

  /// What ran it was ended for a reason that it has nothing to do with: another message, or who told
  /// the node to leave. It is started again elsewhere, at once, and that is none of the starts that
  /// it is allowed; what may be started only once is not.
  void interrupt(node_number node, token request, std::uint32_t fence, std::string_view what,
                 instant now, const run_facts& run = {});

  // -- whoever runs the broker --------------------------------------------------------------------

  /// Drains a node that goes on being a member: no new work for it, what it has it may finish; what
  /// has not left yet goes elsewhere. Or lets it work again, unless it drains by itself (`retire`).
  void set_drained(node_number node, bool drained, instant now);

  /// Pauses a service: its requests wait, until their deadlines, and what nodes have of it they may
  /// finish. Or lets it go on. Of an offer that comes later the same is true.
  void set_paused(service_index service, bool paused, instant now);

  // -- time ---------------------------------------------------------------------------------------

  /// Deadlines up to now. If many are over, the rest of them in `end_more`.
  void advance(instant now);

  /// False if nothing waits for time: then it need not be told.
  [[nodiscard]] bool needs_time() const { return !deadlines_.empty(); }

  /// Requests that end together (their client has gone, their time is up) are ended `ends_per_turn`
  /// at a time, or as many as have come since: others have their turns in between.
  [[nodiscard]] bool has_more_to_end() const { return expired_are_left_ || !leaving_.empty(); }
  void end_more(instant now);

  /// Gives back what a burst has left of tables, when nothing is there and none has come since the
  /// last call: for a second's tick.
  void release_memory();
  [[nodiscard]] std::size_t records() const { return requests_.size(); } ///< in use and free

  // -- what came of it ----------------------------------------------------------------------------

  actions& pending() { return actions_; } ///< to be carried out and cleared by the caller

  /// True if `take_placed` has something to hand over, perhaps.
  [[nodiscard]] bool has_placed() const { return !placed_.empty(); }

  /// Hands over what was placed since the last call and is still wanted there, in that order, as
  /// `send(node, token, request, number of the service in the node's own list)`; it counts as being
  /// with its node from then on. What is not handed over any more was never sent.
  template <class F>
  void take_placed(F&& send) {
    for (const auto& p : placed_) {
      auto* r = to_send(p);
      if (!r) continue;
      r->sent = true;
      const auto& o = offers_[r->offer];
      send(o.node, p.request, static_cast<const request&>(*r), o.index);
    }
    placed_.clear();
  }

  /// Messages whose trace is sampled and that have ended since the last call (export_traces).
  [[nodiscard]] bool has_traced() const { return !traced_.empty(); }
  std::vector<message_report> take_traced() { return std::exchange(traced_, {}); }

  [[nodiscard]] const request* find(token request) const;
  /// What it has for its handler, of a request that has_fields.
  [[nodiscard]] std::string_view fields_of(token request) const {
    return fields_[static_cast<std::uint32_t>(request)].view();
  }
  [[nodiscard]] node_view view(node_number node) const;
  [[nodiscard]] const dispatch_totals& totals() const { return totals_; }

  /// What is known of every service that there ever was, by index; for whoever asks now and then.
  [[nodiscard]] std::vector<service_report> services(instant now) const;

  /// False: a name that somebody asked for while it might have been one, and nothing waits for it.
  [[nodiscard]] bool is_service(service_index which) const {
    return !services_[which].only_asked || services_[which].waiting() > 0;
  }

  /// What is known of messages under way and ended, in the query's order, at most its limit.
  [[nodiscard]] std::vector<message_report> messages(const message_query& query, instant now) const;

  /// One that somebody waits for, by its token, without its attempts; nothing of any other.
  [[nodiscard]] std::optional<message_report> describe(token request, instant now) const;

  /// All services as one, for whoever asks every second: a sum over them.
  [[nodiscard]] load_totals load() const;

  /// What `services` has of one, in their order, at a fraction of its cost.
  [[nodiscard]] std::size_t service_count() const { return services_.size(); }
  [[nodiscard]] const service_counts& counts_of(service_index service) const {
    return services_[service].counts;
  }

  /// What waits for a service that nodes have offered and none does now; nothing of any other.
  [[nodiscard]] std::optional<std::uint32_t> waiting_without_node(std::string_view service) const;
  /// What waits for nothing but a slot of the service, of those that this node could give it: 0 while
  /// it gets no work, because somebody drains it, or has paused the service.
  [[nodiscard]] std::uint32_t waiting_for_slot(std::string_view service, node_number of) const;
  [[nodiscard]] const std::string& service_name(service_index service) const {
    return services_[service].name;
  }
  /// True while this connection has more than its share waiting for answers.
  [[nodiscard]] bool paused(connection_id connection) const {
    return connections_[connection.index].paused;
  }
  [[nodiscard]] std::uint64_t held_by(connection_id connection) const {
    return connections_[connection.index].bytes;
  }
  [[nodiscard]] std::uint32_t requests_of(connection_id connection) const {
    return connections_[connection.index].requests;
  }

  /// Throws std::logic_error if something that must hold does not. Takes its time: for tests.
  void check() const;

private:
  using service = service_record;

  // Where a connection's requests for a service wait.
  struct turn {
    service_index service;
    ropewalk::priority at;
    std::uint32_t flow;
  };

  struct connection {
    std::vector<turn> turns;
    shared_text address;
    std::uint32_t first = no_index; // its requests
    std::uint32_t requests = 0;
    std::uint64_t bytes = 0;
    std::uint32_t generation = 0;
    bool paused = false;
    bool in_use = false;
  };

  // That a request was placed, and which of its placings that was.
  struct placement {
    token request;
    std::uint32_t fence;
  };

  [[nodiscard]] token token_of(std::uint32_t index) const;
  [[nodiscard]] std::uint32_t index_of(token request) const;
  [[nodiscard]] std::uint32_t sent_to(node_number node, token request, std::uint32_t fence) const;
  [[nodiscard]] request* to_send(const placement& what);
  [[nodiscard]] connection_id id_of(connection_index index) const {
    return {index, connections_[index].generation};
  }
  [[nodiscard]] bool is_current(connection_id which) const {
    return which.index < connections_.size() && connections_[which.index].in_use &&
           connections_[which.index].generation == which.generation;
  }

  std::uint32_t allocate();
  void release(std::uint32_t index);
  // These two happen once a request and are inlined where they are on its usual way: saving and
  // restoring registers would cost as much as half of what they do.
  [[gnu::always_inline]] void enter_connection(std::uint32_t index, connection_index connection);
  [[gnu::always_inline]] void leave_connection(std::uint32_t index);
  [[nodiscard]] bool over_a_limit(const submission& what, std::uint32_t cost, instant now);

  [[gnu::noinline, gnu::cold]] void keep_fields(std::uint32_t index, const handler_fields& fields);
  [[gnu::noinline, gnu::cold]] void forget_extras(std::uint32_t index);
  void wait(std::uint32_t index);
  [[nodiscard]] std::uint32_t flow_of(const request& r);
  void place(std::uint32_t index, std::uint32_t offer);
  void mark_runnable(service_index service);
  void run_ready(instant now);
  std::uint64_t end_requests_of(connection_index who, std::uint64_t max, instant now);
  void end_expired(std::uint64_t max, instant now);
  void dispatch_service(service& s, service_index index, instant now);

  void unplace(std::uint32_t index);
  bool return_unstarted(std::uint32_t index);
  void rest(std::uint32_t offer, instant now);
  void keep_unsent(std::uint32_t offer);
  struct fate {
    attempt_end end;
    std::string_view what;
    run_facts run{};
  };
  void charge(std::uint32_t index, const fate& how, instant now);
  void crash(node_number node, token request, std::uint32_t fence, const fate& how, instant now);
  void run_again(std::uint32_t index);
  void announce(std::uint32_t index, error_code code, std::string detail, instant now,
                std::string_view by = {});
  void stop_waiting(std::uint32_t index);
  void refuse(std::uint32_t index, error_code code, std::string detail, instant now,
              std::string_view by = {});
  void refuse(const submission& what, error_code code, std::string detail, instant now,
              std::uint32_t retry_after_ms = 0);
  // Every pool of it is failing. (Not inlined: its texts cost the hot path a larger frame.)
  [[gnu::noinline, gnu::cold]] void refuse_all_waiting(service_index service, instant now);
  void end_startup_grace(instant now);
  [[gnu::noinline, gnu::cold]] void refuse_unoffered(service_index service, instant now);
  [[gnu::noinline, gnu::cold]] void refuse_second(const submission& what, instant now);

  // The history (dispatcher_history.cpp).
  [[nodiscard]] microseconds placed_after(std::uint32_t index) const;
  [[nodiscard]] message_report report_of(std::uint32_t index, instant now) const;
  [[nodiscard]] bool keeps_ends() const { return history_.enabled() || settings_.export_traces; }
  void export_end(const message_report& what);
  [[nodiscard]] std::string trace_of(const request& r, std::uint32_t index) const;
  [[nodiscard]] message_report end_of(std::uint32_t index, error_code code, instant now);
  [[nodiscard]] attempt_report attempt_of(std::uint32_t index, const fate& how, instant now);
  [[gnu::noinline, gnu::cold]] void keep_past(std::uint32_t index, const fate& how, instant now);
  [[gnu::noinline, gnu::cold]] void keep_answered(std::uint32_t index, const run_facts& run,
                                                  error_code code, instant now);
  [[gnu::noinline, gnu::cold]] void keep_refused(std::uint32_t index, error_code code,
                                                 std::string_view detail, instant now,
                                                 std::string_view by = {});
  [[gnu::noinline, gnu::cold]] void keep_refused(const submission& what, error_code code,
                                                 std::string_view detail, instant now);

  // What is not answered yet, and why (dispatcher_explain.cpp).
  [[nodiscard]] message_id id_of_request(const request& r) const;
  [[nodiscard]] message_report explained(std::uint32_t index, instant now) const;
  void find_open(const message_query& query, std::vector<message_report>& into, instant now) const;
  void find_named(const message_query& query, std::vector<message_report>& into, instant now) const;
  [[nodiscard]] std::string why_behind_key(std::uint32_t index, instant now) const;
  [[nodiscard]] std::string why_waiting(std::uint32_t index, instant now) const;
  [[nodiscard]] std::string why_placed(std::uint32_t index, std::uint32_t before) const;
  [[nodiscard]] std::uint32_t before(std::uint32_t index) const;
  [[gnu::noinline, gnu::cold]] void refuse_unserved(const submission& what, instant now);
  [[nodiscard, gnu::noinline, gnu::cold]] bool refuses_unoffered(service& s, instant now) const;
  [[nodiscard]] std::string no_node_for(const service& s, instant now) const;
  [[nodiscard]] std::string why_late(const request& r, instant now) const;
  void count_answer(service& s, instant now);
  void count_redispatched(service_index service);
  void count_refused(service_index service, error_code code);
  [[nodiscard]] std::chrono::nanoseconds oldest_waiting(const service& s, instant now) const;
  void abandon(std::uint32_t index);
  [[nodiscard]] std::uint32_t retry_after_ms(const service& s) const;

  dispatch_settings settings_;
  keyed_hash hash_;
  actions actions_;
  std::vector<placement> placed_; // since the last `take_placed`
  dispatch_totals totals_;
  deadline_wheel deadlines_;
  request_table requests_;
  std::vector<shared_bytes> fields_;      // by request, of those that have some; may be shorter
  std::vector<std::uint64_t> trace_tags_; // likewise, of their traces; as long as fields_
  index_pool free_requests_;
  std::uint32_t first_generation_ = 0; // of records to be made: above that of any before
  std::uint64_t submitted_before_ = 0; // at the last release_memory()
  id_table ids_;
  std::vector<connection> connections_;
  index_pool free_connections_;
  std::vector<connection_index> leaving_; // are gone, and have requests
  std::vector<service> services_;
  std::unordered_map<std::string, service_index, keyed_text_hash, std::equal_to<>> service_by_name_;
  std::vector<service_index> runnable_;
  std::vector<service_index> paced_;
  node_selector offers_;
  node_number next_node_ = 0;
  std::vector<std::uint32_t> resting_; // offers; some may not rest any more
  std::vector<std::uint32_t> expired_; // scratch of end_expired()
  bool expired_are_left_ = false;
  std::uint64_t submitted_then_ = 0; // when that began, or at the last end_more()
  message_history history_;
  std::vector<message_report> traced_;
  instant grace_end_;                      // who offers services has found this broker by then
  std::vector<service_index> asked_early_; // names that were asked for before, and not offered
};

} // namespace ropewalk
