#include "actors/dispatch/dispatcher.hpp"

#include <algorithm>
#include <utility>

/// Which services there are to ask for: those that a node offers, those whose last node has left, and
/// for a moment after the start those that a node may yet offer.
namespace ropewalk {

namespace {

// A service that no node has offered for so long, and nobody has asked for meanwhile, is forgotten:
// longer than workers take to be installed anew, and a name that somebody got wrong is one soon.
constexpr std::chrono::minutes forget_after{10};

} // namespace

std::optional<service_index> dispatcher::find_service(std::string_view name) const {
  const auto found = service_by_name_.find(name);
  if (found == service_by_name_.end()) return std::nullopt;
  return found->second;
}

std::optional<service_index> dispatcher::service_to_ask(std::string_view name, instant now) {
  const auto found = find_service(name);
  const bool is_over = now >= grace_end_ || settings_.refuse_unoffered;
  if (found && !(is_over && services_[*found].only_asked)) return found;
  if (is_over || asked_early_.size() >= limits::max_services ||
      name.size() > limits::max_service_bytes)
    return std::nullopt;
  const auto early = service_named(std::string{name});
  auto& s = services_[early];
  s.only_asked = s.unoffered = true;
  asked_early_.push_back(early);
  return early;
}

std::string dispatcher::never_offered(std::string_view name) {
  return "no worker has offered service '" +
         std::string{name.substr(0, limits::max_service_bytes)} +
         "'; check the name, or start one with --service NAME=HANDLER";
}

// Whoever was to offer them has had his time.
void dispatcher::end_startup_grace(instant now) {
  for (const auto early : std::exchange(asked_early_, {}))
    if (services_[early].only_asked) refuse_unoffered(early, now);
}

service_index dispatcher::service_named(const std::string& name) {
  const auto [at, fresh] =
      service_by_name_.try_emplace(name, static_cast<service_index>(services_.size()));
  if (fresh)
    services_.emplace_back(name, settings_.retry_share, hash_, notable_times{history_.enabled()});
  auto& s = services_[at->second];
  if (std::exchange(s.only_asked, false)) s.unoffered = false;
  return at->second;
}

// Whether it is to be asked for in vain, or waits for a node: then it was asked for now.
bool dispatcher::refuses_unoffered(service& s, instant now) const {
  if (s.only_asked) return now >= grace_end_;
  const bool forgotten =
      s.waiting() == 0 && now - std::max(s.unoffered_since, s.unoffered_asked) >= forget_after;
  if (forgotten || settings_.refuse_unoffered) return true;
  s.unoffered_asked = now;
  return false;
}

// What its last node was running when it left may have had its effects: that no worker is there is
// not all that there is to say of it.
void dispatcher::refuse_unoffered(service_index which, instant now) {
  auto& s = services_[which];
  for (auto index = s.queue.any(); index != no_index; index = s.queue.any())
    refuse(index, requests_[index].charged > 0 ? error_code::worker_lost : error_code::no_service,
           no_node_for(s, s.unoffered_since), now);
}

std::string dispatcher::no_node_for(const service& s, instant now) const {
  if (s.only_asked) return never_offered(s.name);
  const auto tenths =
      std::chrono::duration_cast<milliseconds>(now - s.unoffered_since).count() / 100;
  return "no node has offered service '" + s.name + "' since its last one left " +
         std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) +
         " s ago; start a worker that does";
}

std::optional<std::uint32_t> dispatcher::waiting_without_node(std::string_view name) const {
  const auto which = find_service(name);
  if (!which || !services_[*which].unoffered) return std::nullopt;
  return services_[*which].waiting();
}

} // namespace ropewalk
