#pragma once

#include "actors/dispatch/keyed_hash.hpp"
#include "actors/settings/tuning.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace ropewalk {

/// Counts the clients of a broker process, in all and by address. Any thread.
class connection_limiter : public std::enable_shared_from_this<connection_limiter> {
public:
  struct settings : connection_settings {
    std::uint64_t seed = 0; ///< of the hash of addresses: one that clients cannot guess
  };

  /// One client, counted as long as this lives.
  class permit {
  public:
    permit(std::shared_ptr<connection_limiter> census, std::string address)
        : census_(std::move(census)), address_(std::move(address)) {}
    permit(permit&&) noexcept = default;
    permit& operator=(permit&& other) noexcept {
      std::swap(census_, other.census_);
      std::swap(address_, other.address_);
      return *this;
    }
    ~permit() {
      if (census_) census_->left(address_);
    }

  private:
    std::shared_ptr<connection_limiter> census_;
    std::string address_;
  };

  static std::shared_ptr<connection_limiter> make(const settings& s) {
    return std::shared_ptr<connection_limiter>{new connection_limiter{s}};
  }

  /// Counts a newcomer; nothing if there are too many.
  std::optional<permit> admit(std::string address);

private:
  explicit connection_limiter(const settings& s)
      : settings_(s), by_address_(0, {keyed_hash{s.seed}}) {}
  void left(const std::string& address);

  const settings settings_;
  std::mutex mutex_;
  std::uint64_t present_ = 0;
  std::unordered_map<std::string, std::uint64_t, keyed_text_hash, std::equal_to<>> by_address_;
};

} // namespace ropewalk
