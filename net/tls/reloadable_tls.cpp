#include "net/tls/reloadable_tls.hpp"

#include <utility>

namespace ropewalk {

result<std::shared_ptr<reloadable_tls>> reloadable_tls::open(maker make) {
  std::shared_ptr<reloadable_tls> opened{new reloadable_tls{std::move(make)}};
  if (auto loaded = opened->reload(); !loaded) return std::move(loaded).why();
  return opened;
}

result<void> reloadable_tls::reload() {
  auto made = make_();
  if (!made) return std::move(made).why();
  const std::lock_guard lock{mutex_};
  current_ = *std::move(made);
  return {};
}

std::shared_ptr<const tls_context> reloadable_tls::current() const {
  const std::lock_guard lock{mutex_};
  return current_;
}

} // namespace ropewalk
