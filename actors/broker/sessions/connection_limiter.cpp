#include "actors/broker/sessions/connection_limiter.hpp"

namespace ropewalk {

std::optional<connection_limiter::permit> connection_limiter::admit(std::string address) {
  const auto max = settings_.connections_per_address;
  {
    const std::lock_guard lock{mutex_};
    if (present_ >= settings_.connections) return std::nullopt;
    if (max > 0) {
      auto& count = by_address_[address];
      if (count >= max) return std::nullopt;
      ++count;
    }
    ++present_;
  }
  return permit{shared_from_this(), std::move(address)};
}

void connection_limiter::left(const std::string& address) {
  const std::lock_guard lock{mutex_};
  --present_;
  const auto found = by_address_.find(address);
  if (found != by_address_.end() && --found->second == 0) by_address_.erase(found);
}

} // namespace ropewalk
