#pragma once

#include "net/tls/tls.hpp"

#include <functional>
#include <memory>
#include <mutex>

namespace ropewalk {

/// A context whose files are read again while it is in use: connections that are made from then on
/// get the new one, those that are there keep theirs. Any thread.
class reloadable_tls {
public:
  using maker = std::function<result<std::shared_ptr<const tls_context>>()>;

  /// Reads the files a first time.
  static result<std::shared_ptr<reloadable_tls>> open(maker make);

  /// After a failure everything is as it was.
  result<void> reload();

  [[nodiscard]] std::shared_ptr<const tls_context> current() const;

private:
  explicit reloadable_tls(maker make) : make_(std::move(make)) {}

  const maker make_;
  mutable std::mutex mutex_;
  std::shared_ptr<const tls_context> current_;
};

} // namespace ropewalk
