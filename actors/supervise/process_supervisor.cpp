#include "actors/supervise/process_supervisor.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

namespace ropewalk {

namespace {

// Beyond its own drain time a process that was told to leave gets this long before it is killed.
constexpr milliseconds grace{5000};

// A process that could not be started (no memory, no descriptors, too many processes) is none that
// fell: it is tried again after this, for ever.
constexpr milliseconds start_again_pause{1000};

template <class P>
bool is(const std::optional<P>& which, process_ref who) {
  return which && which->generation == who.generation;
}

std::string in_ms(milliseconds time) {
  return std::to_string(time.count()) + " ms";
}

} // namespace

bool process_exit::was_stopped() const {
  switch (how) {
  case kind::exited:
    return number == 0;
  case kind::killed:
    return number == SIGTERM || number == SIGINT || number == SIGHUP;
  case kind::unknown:
    break;
  }
  return false;
}

std::string process_exit::text() const {
  switch (how) {
  case kind::exited:
    return "exit status " + std::to_string(number);
  case kind::killed:
    return std::string{"killed by signal "} + ::strsignal(number);
  case kind::unknown:
    break;
  }
  return "nobody knows how";
}

process_supervisor::process_supervisor(const settings& with) : with_(with) {
  for (std::uint32_t i = 0; i < with.processes; ++i)
    places_.push_back({restart_policy{with.restarts, i + 1}, 0, {}, {}, {}, {}});
}

process_supervisor::actions process_supervisor::begin() {
  actions out;
  for (std::uint32_t i = 0; i < places_.size(); ++i) start_next(i, false, out);
  return out;
}

process_supervisor::actions process_supervisor::start_failed(process_ref who,
                                                             const std::string& why, instant now) {
  auto& p = places_.at(who.place);
  for (auto* which : {&p.current, &p.replacement}) {
    if (!is(*which, who)) continue;
    p.planned = planned_start{now + start_again_pause, (*which)->after_fall};
    which->reset();
  }
  return {log{severity::error, who,
              "cannot be started: " + why + "; trying again in " + in_ms(start_again_pause)}};
}

process_supervisor::actions process_supervisor::joined(process_ref who, instant now) {
  actions out;
  auto& p = places_.at(who.place);
  if (!is(p.replacement, who)) return out;
  tell(who.place, *p.current, now, out);
  promote_replacement(who.place, out);
  return out;
}

process_supervisor::actions process_supervisor::recycle(process_ref who) {
  actions out;
  auto& p = places_.at(who.place);
  if (is(p.replacement, who))
    p.replacement->wants_replacement = true;
  else if (is(p.current, who) && !p.replacement && !p.planned)
    start_next(who.place, false, out);
  return out;
}

process_supervisor::actions process_supervisor::exited(process_ref who, const process_exit& how,
                                                       instant now) {
  actions out;
  auto& p = places_.at(who.place);
  const bool crashed = !how.was_stopped();
  const auto what = (crashed ? "fell: " : "left: ") + how.text();
  const auto left = std::find_if(p.leaving.begin(), p.leaving.end(),
                                 [&](auto& l) { return l.generation == who.generation; });
  if (left != p.leaving.end()) {
    if (crashed && !left->killed)
      out.emplace_back(log{severity::warning, who, what + ", while it was leaving"});
    p.leaving.erase(left);
  } else if (is(p.replacement, who)) {
    p.replacement.reset();
    start_again(who, what + ", before it could replace another, which goes on", crashed, now, out);
  } else if (is(p.current, who)) {
    p.current.reset();
    if (!p.replacement && !p.planned) {
      start_again(who, what, crashed, now, out);
      return out;
    }
    out.emplace_back(log{crashed ? severity::warning : severity::info, who,
                         what + "; its replacement is on its way"});
    if (p.replacement) promote_replacement(who.place, out);
  }
  return out;
}

process_supervisor::actions process_supervisor::on_stop_requested(instant now) {
  actions out;
  switch (stop_.on_signal(now)) {
  case stop_signals::meaning::drain:
    tell_all(now, out);
    break;
  case stop_signals::meaning::same_again:
    break;
  case stop_signals::meaning::end_at_once: {
    char text[64];
    std::snprintf(text, sizeof text, "told again after %.1f s: ending at once",
                  stop_.since_first(now).count());
    out.emplace_back(log{severity::warning, {}, text});
    exit_status_ = 1;
    for (std::uint32_t i = 0; i < places_.size(); ++i)
      for (auto& l : places_[i].leaving) {
        l.killed = true;
        out.emplace_back(kill{{i, l.generation}});
      }
  }
  }
  return out;
}

process_supervisor::actions process_supervisor::passed(instant now) {
  actions out;
  for (std::uint32_t i = 0; i < places_.size(); ++i) {
    auto& p = places_[i];
    if (p.planned && p.planned->at <= now) {
      const bool after_fall = p.planned->after_fall;
      p.planned.reset();
      start_next(i, after_fall, out);
    }
    for (auto& l : p.leaving) {
      if (l.killed || l.kill_at > now) continue;
      l.killed = true;
      const process_ref who{i, l.generation};
      out.emplace_back(log{severity::warning, who,
                           "has not left " + in_ms(with_.drain_time + grace) +
                               " after it was told to: killing it"});
      out.emplace_back(kill{who});
    }
  }
  return out;
}

std::optional<instant> process_supervisor::next_time() const {
  std::optional<instant> next;
  const auto consider = [&](instant at) { next = next ? std::min(*next, at) : at; };
  for (const auto& p : places_) {
    if (p.planned) consider(p.planned->at);
    for (const auto& l : p.leaving)
      if (!l.killed) consider(l.kill_at);
  }
  return next;
}

std::optional<int> process_supervisor::ended() const {
  const bool all = std::all_of(places_.begin(), places_.end(), [](const place& p) {
    return !p.current && !p.planned && p.leaving.empty(); // and so no replacement
  });
  return all && ending_ ? std::optional{exit_status_} : std::nullopt;
}

// The current one if there is none; else its replacement.
void process_supervisor::start_next(std::uint32_t at, bool after_fall, actions& out) {
  auto& p = places_[at];
  const process fresh{p.started++, after_fall};
  (p.current ? p.replacement : p.current) = fresh;
  out.emplace_back(start{{at, fresh.generation}, after_fall});
}

void process_supervisor::promote_replacement(std::uint32_t at, actions& out) {
  auto& p = places_[at];
  p.current = std::exchange(p.replacement, std::nullopt);
  if (std::exchange(p.current->wants_replacement, false)) start_next(at, false, out);
}

void process_supervisor::tell(std::uint32_t at, const process& who, instant now, actions& out) {
  places_[at].leaving.push_back({who.generation, now + with_.drain_time + grace});
  out.emplace_back(tell_to_leave{{at, who.generation}});
}

void process_supervisor::start_again(process_ref who, const std::string& what, bool crashed,
                                     instant now, actions& out) {
  auto& p = places_[who.place];
  const auto pause = crashed ? p.policy.on_exit(now) : with_.restarts.first_pause;
  if (!pause) {
    out.emplace_back(log{severity::error, who,
                         what + ": that is " + std::to_string(with_.restarts.restarts + 1) +
                             " falls within " + in_ms(with_.restarts.window) +
                             ": giving up. See what it wrote above; start again when that is "
                             "mended"});
    exit_status_ = 1;
    return tell_all(now, out);
  }
  p.planned = planned_start{now + *pause, crashed};
  out.emplace_back(log{crashed ? severity::warning : severity::info, who,
                       what + "; starting another in " + in_ms(*pause)});
}

void process_supervisor::tell_all(instant now, actions& out) {
  ending_ = true;
  for (std::uint32_t i = 0; i < places_.size(); ++i) {
    auto& p = places_[i];
    p.planned.reset();
    for (auto* which : {&p.current, &p.replacement}) {
      if (*which) tell(i, **which, now, out);
      which->reset();
    }
  }
}

} // namespace ropewalk
