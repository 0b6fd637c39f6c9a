#include "actors/broker/sessions/client_census.hpp"

namespace ropewalk {

std::optional<client_census::admission> client_census::admit(std::string address) {
  const auto most = settings_.connections_per_address;
  {
    const std::lock_guard lock{mutex_};
    if (present_ >= settings_.connections) return std::nullopt;
    if (most > 0) {
      auto& count = by_address_[address];
      if (count >= most) return std::nullopt;
      ++count;
    }
    ++present_;
  }
  return admission{shared_from_this(), std::move(address)};
}

void client_census::left(const std::string& address) {
  const std::lock_guard lock{mutex_};
  --present_;
  const auto found = by_address_.find(address);
  if (found != by_address_.end() && --found->second == 0) by_address_.erase(found);
}

} // namespace ropewalk
