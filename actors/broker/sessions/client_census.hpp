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
class client_census : public std::enable_shared_from_this<client_census> {
public:
  struct settings : connection_settings {
    std::uint64_t seed = 0; ///< of the hash of addresses: one that clients cannot guess
  };

  /// One client, counted as long as this lives.
  class admission {
  public:
    admission(std::shared_ptr<client_census> census, std::string address)
        : census_(std::move(census)), address_(std::move(address)) {}
    admission(admission&&) noexcept = default;
    admission& operator=(admission&& other) noexcept {
      std::swap(census_, other.census_);
      std::swap(address_, other.address_);
      return *this;
    }
    ~admission() {
      if (census_) census_->left(address_);
    }

  private:
    std::shared_ptr<client_census> census_;
    std::string address_;
  };

  static std::shared_ptr<client_census> make(const settings& s) {
    return std::shared_ptr<client_census>{new client_census{s}};
  }

  /// Counts a newcomer; nothing if there are too many.
  std::optional<admission> admit(std::string address);

private:
  explicit client_census(const settings& s) : settings_(s), by_address_(0, {keyed_hash{s.seed}}) {}
  void left(const std::string& address);

  const settings settings_;
  std::mutex mutex_;
  std::uint64_t present_ = 0;
  std::unordered_map<std::string, std::uint64_t, keyed_text_hash, std::equal_to<>> by_address_;
};

} // namespace ropewalk
