#pragma once

#include "actors/dispatch/dispatcher.hpp"

#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

namespace ropewalk::sim {

/// A promise was broken.
struct violation : std::logic_error {
  using logic_error::logic_error;
};

inline void must(bool holds, const char* what) {
  if (!holds) throw violation{what};
}

/// What is known of a request from outside the dispatcher. Its client id is its number here.
struct asked {
  connection_id connection; ///< not valid: its client is gone
  std::uint32_t client = 0;
  service_index service = 0;
  std::uint32_t key = 0; ///< 0: none
  instant deadline;
  std::uint8_t attempts = 3;
  bool accepted = false; ///< was not refused at once
  bool cancelled = false;
  bool decided = false; ///< its answer is, and not yet carried out
  bool answered = false;
  instant answered_at{};
  std::uint32_t duplicates = 0; ///< how often its id was used again while it was in flight

  node_number node = no_index; ///< where it was placed last
  std::uint32_t fence = 0;     ///< and which placing that was
  bool arrived = false;        ///< there
  bool started = false;        ///< that attempt
  std::uint32_t starts = 0;
  std::uint8_t attempt = 0;           ///< as the last handler saw it
  node_number returned_by = no_index; ///< who gave it back last, unstarted
  instant returned_at{};
  std::uint32_t lost_starts = 0; ///< starts whose worker was lost before the answer came
  std::uint32_t interrupted = 0; ///< starts that ended because of another message
  bool suspected = false;        ///< it was among several that a process died with
};

/// Holds the dispatcher to the promises of the design, by what can be seen from outside. The
/// world tells it everything that happens, before the dispatcher or just after; it throws
/// `violation`.
class oracle {
public:
  /// How late time may be told to the dispatcher, and how coarse its wheel is.
  static constexpr milliseconds lateness{40};

  /// How long the news that something is over may be on its way to a node that can be reached: the
  /// network's worst, and a stop that is too short to be noticed.
  static constexpr milliseconds news_on_the_way{300};

  std::vector<asked> requests;

  void joined(node_number node) {
    if (node >= nodes_.size()) nodes_.resize(node + 1);
    nodes_[node] = {};
    nodes_[node].present = nodes_[node].open = true;
  }
  void failing(node_number node, service_index service, bool is) {
    auto& bits = nodes_[node].failing;
    bits = is ? bits | 1u << service : bits & ~(1u << service);
  }
  void slot_event(node_number node, service_index service, bool sent) {
    nodes_[node].unheard[service] += sent ? 1 : -1;
  }
  [[nodiscard]] bool is_present(node_number node) const { return nodes_[node].present; }
  void retired(node_number node) { nodes_[node].open = false; }

  /// Somebody drains the node, or lets it work again; pauses the service, or lets it go on.
  void drained(node_number node, bool is) { nodes_[node].drained = is; }
  [[nodiscard]] bool is_drained(node_number node) const { return nodes_[node].drained; }
  void paused(service_index service, bool is) { paused_[service] = is; }
  [[nodiscard]] bool is_paused(service_index service) const { return paused_[service]; }

  /// The broker is about to declare the node lost. `stands`: it starts nothing for now, which the
  /// broker cannot know.
  void lost(node_number node, bool stands) {
    nodes_[node].present = nodes_[node].open = false;
    for (auto& [key, holder] : running_)
      if (holder != none && requests[holder].node == node) holder = none;
    const auto placed = std::exchange(nodes_[node].placed, {});
    bool waits_for_alone[2] = {};
    for (const auto id : placed)
      if (requests[id].node == node && requests[id].suspected)
        waits_for_alone[requests[id].service] = true;
    for (const auto id : placed) {
      auto& a = requests[id];
      if (a.node != node) continue; // it is elsewhere since
      // On the way, on a node that has just lost a slot, or where something is to run alone, for
      // which others wait: the broker cannot know.
      if (a.started || !a.arrived || nodes_[node].unheard[a.service] > 0 || stands ||
          waits_for_alone[a.service])
        ++a.lost_starts;
      a.node = no_index;
    }
  }

  void placed(std::uint32_t id, node_number node, const request& r, instant now) {
    auto& a = requests[id];
    must(!a.answered, "what is answered is not placed again");
    must(a.connection.valid(), "what a client had asked that has gone is not placed any more");
    must(now <= a.deadline + lateness, "an expired request is not placed");
    must(r.deadline == a.deadline, "there is one deadline, and a retry gets what is left of it");
    must(nodes_[node].open, "a node that drains or is lost gets no work");
    must(!nodes_[node].drained, "a node that somebody drains gets no work");
    must(!paused_[a.service], "nothing of a service that somebody has paused is placed");
    must((nodes_[node].failing >> a.service & 1) == 0,
         "a node whose pool is failing gets no work for it");
    must(r.charged <= a.lost_starts + a.interrupted || a.attempts == 1 || now >= a.deadline,
         "only what may have been started on a lost worker is charged");
    must(a.attempts > 1 || a.starts == 0, "at most once: what was started is not placed again");
    must(r.fence != a.fence, "every placing has a number of its own");
    must(node != a.returned_by || now - a.returned_at >= node_selector::first_rest ||
             nodes_[node].ended[a.service] >= a.returned_at,
         "what came back unstarted is not sent there again at once");
    a.node = node;
    a.fence = r.fence;
    a.arrived = a.started = false;
    nodes_[node].placed.push_back(id);
  }

  /// It has reached its node.
  void arrived(std::uint32_t id, node_number node, std::uint32_t fence) {
    auto& a = requests[id];
    if (a.node == node && a.fence == fence) a.arrived = true;
  }

  /// The node sends it back unstarted: until that is heard, nobody else knows.
  void sent_back(std::uint32_t id, node_number node, std::uint32_t fence) {
    auto& a = requests[id];
    if (a.node == node && a.fence == fence) a.arrived = false;
  }

  /// A slot begins with it.
  void started(std::uint32_t id, node_number node, std::uint32_t fence, std::uint8_t attempt,
               std::uint32_t bytes_of, bool cut, instant now) {
    auto& a = requests[id];
    must(bytes_of == id + 1, "a handler gets the bytes that were sent");
    must(nodes_[node].present, "a node that was given up starts nothing");
    must(cut || !a.answered || now - a.answered_at <= news_on_the_way,
         "what is over is not started");
    must(attempt <= a.lost_starts + a.interrupted + 1 && attempt <= a.attempts + a.interrupted &&
             attempt >= a.attempt,
         "a handler sees which start this is, of those that count");
    a.attempt = attempt;
    const bool current = a.node == node && a.fence == fence;
    if (current) a.started = true;
    ++a.starts;
    must(a.attempts > 1 || a.starts == 1, "at most once: it is started once");
    must(a.starts <= 400, "what kills its worker is set apart");
    if (a.key == 0 || !current || !nodes_[node].present) return;
    auto& holder = running_.try_emplace({a.service, a.key}, none).first->second;
    must(holder == none || holder == id, "two requests with the same key do not run at once");
    holder = id;
    auto& last = last_first_start_[{a.service, a.key}];
    if (a.starts == 1) {
      must(id >= last, "requests with the same key start in the order in which they came");
      last = id + 1;
    }
  }

  /// A slot is done with it, one way or another.
  void ended(std::uint32_t id, node_number node) {
    auto& a = requests[id];
    if (a.key == 0 || a.node != node) return;
    const auto found = running_.find({a.service, a.key});
    if (found != running_.end() && found->second == id) found->second = none;
  }

  /// The news that a slot died of it reaches the broker.
  void crashed(std::uint32_t id, node_number node, std::uint32_t fence) {
    auto& a = requests[id];
    if (a.node != node || a.fence != fence) return;
    ++a.lost_starts;
    a.node = no_index;
  }

  /// The news that a process died with it and others reaches the broker.
  void crashed_among_others(std::uint32_t id, node_number node, std::uint32_t fence) {
    auto& a = requests[id];
    if (a.node != node || a.fence != fence) return;
    must(!a.suspected, "what may have killed its neighbours has none the next time");
    a.suspected = true;
    crashed(id, node, fence);
  }

  /// The news that it was interrupted reaches the broker.
  void interrupted(std::uint32_t id, node_number node, std::uint32_t fence) {
    auto& a = requests[id];
    if (a.node != node || a.fence != fence) return;
    ++a.interrupted;
    a.node = no_index;
  }

  /// The news that it comes back unstarted reaches the broker.
  void returned(std::uint32_t id, node_number node, std::uint32_t fence, instant now) {
    auto& a = requests[id];
    if (a.node != node || a.fence != fence) return;
    a.node = no_index;
    a.returned_by = node;
    a.returned_at = now;
  }

  /// The dispatcher accepted an answer.
  void completed(std::uint32_t id, node_number node, std::uint32_t fence, connection_id connection,
                 instant now) {
    auto& a = requests[id];
    nodes_[node].ended[a.service] = now;
    must(a.node == node && a.fence == fence, "the answer of a superseded attempt is not accepted");
    must(!connection.valid() || connection == a.connection, "an answer goes to who asked");
    if (!connection.valid()) {
      must(a.answered || a.decided || !a.connection.valid(), "a client that waits gets its answer");
      return;
    }
    must(!a.answered, "one answer, and no second");
    a.answered = true;
    a.answered_at = now;
  }

  void refused(std::uint32_t id, const refusal& r, bool at_once, instant now) {
    auto& a = requests[id];
    must(r.connection == a.connection, "an error goes to who asked");
    if (r.code == error_code::bad_request) {
      must(a.duplicates > 0, "BAD_REQUEST is for an id that is in flight");
      --a.duplicates;
      return;
    }
    must(!a.answered, "one answer, and no second");
    a.answered = true;
    a.answered_at = now;
    switch (r.code) {
    case error_code::timeout:
      must(now >= a.deadline, "TIMEOUT does not come before the deadline");
      must(now <= a.deadline + lateness, "TIMEOUT comes at the deadline");
      break;
    case error_code::busy:
      must(at_once && r.retry_after_ms > 0, "BUSY is said at once, with a time to come back");
      break;
    case error_code::worker_lost:
      if (r.detail.starts_with("service ")) break; // failing
      // A node that finds it expired does not start it, and its word of that may be lost.
      must(a.attempts == 1 || a.lost_starts >= a.attempts || now >= a.deadline,
           "WORKER_LOST is for what was started and lost as often as it may be");
      break;
    case error_code::cancelled:
      must(a.cancelled, "CANCELLED is for what its client took back");
      break;
    default:
      throw violation{"an error that the dispatcher has no reason for"};
    }
  }

  /// All is over: nobody who waits has no answer.
  void at_the_end(const dispatcher& d) {
    for (const auto& a : requests) {
      must(a.answered || !a.connection.valid(), "every request gets an answer");
      must(a.duplicates == 0, "every second use of an id gets an answer");
    }
    must(d.totals().waiting == 0 && d.totals().held_bytes == 0, "nothing is kept for nobody");
    must(d.totals().placed == 0, "every credit is given back");
  }

private:
  static constexpr std::uint32_t none = 0xffffffff;

  struct known_node {
    bool present = false;
    bool open = false;
    bool drained = false;              // by somebody
    std::uint32_t failing = 0;         // a bit a service
    instant ended[2] = {};             // when a message last came to an end there, by service
    std::uint32_t unheard[2] = {};     // news of its slots that is on the way, by service
    std::vector<std::uint32_t> placed; // ever
  };

  std::vector<known_node> nodes_;
  bool paused_[2] = {};                                                      // by service
  std::map<std::pair<service_index, std::uint32_t>, std::uint32_t> running_; // by service and key
  std::map<std::pair<service_index, std::uint32_t>, std::uint32_t> last_first_start_;
};

} // namespace ropewalk::sim
