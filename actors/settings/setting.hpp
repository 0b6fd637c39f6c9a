#pragma once

#include "actors/settings/tuning.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ropewalk {

/// How the shards of a broker share what a setting gives to the process. Whoever adds a setting of
/// the broker has to choose: there is no default.
enum class sharing : std::uint8_t {
  divided,        ///< each gets its part
  divided_to_min, ///< each gets its part, and not less than the least that may be said
  same_for_each,  ///< each gets all of it: it is about one client, one message, one restart
  by_the_process, ///< it is counted in one place for all of them
};

/// The units in which settings are given.
namespace unit {
inline constexpr std::string_view bytes = "bytes";
inline constexpr std::string_view requests = "requests";
inline constexpr std::string_view connections = "connections";
inline constexpr std::string_view milliseconds = "milliseconds";
inline constexpr std::string_view microseconds = "microseconds";
inline constexpr std::string_view runs = "runs";
inline constexpr std::string_view percent = "percent";
inline constexpr std::string_view event_loops = "event loops";
inline constexpr std::string_view slots = "slots";
inline constexpr std::string_view restarts = "restarts";
} // namespace unit

/// Where a setting is kept in an Owner (broker_tuning, node_tuning). Made by `kept_in`.
template <class Owner>
struct setting_field {
  std::uint64_t (*get)(const Owner&) = nullptr; ///< null: an Owner has no such setting
  void (*set)(Owner&, std::uint64_t) = nullptr;
  std::uint64_t max = 0; ///< what the field can hold
  std::string_view unit; ///< that it counts in; empty: any
};

namespace detail {

template <class Owner, class Field>
Owner owner_of(Field Owner::*);

template <class Field>
constexpr std::uint64_t to_number(const Field& field) {
  if constexpr (std::is_integral_v<Field>)
    return field;
  else
    return static_cast<std::uint64_t>(field.count());
}

template <class Field>
constexpr std::uint64_t max_number() {
  if constexpr (std::is_integral_v<Field>)
    return std::numeric_limits<Field>::max();
  else
    return static_cast<std::uint64_t>(Field::max().count());
}

template <class Field>
constexpr std::string_view unit_of() {
  if constexpr (std::is_same_v<Field, std::chrono::milliseconds>) return unit::milliseconds;
  if constexpr (std::is_same_v<Field, std::chrono::microseconds>) return unit::microseconds;
  return {};
}

template <auto First, auto... Rest>
constexpr auto make_field() {
  using owner = decltype(owner_of(First));
  using field = std::remove_cvref_t<decltype(((std::declval<owner&>().*First).*....*Rest))>;
  static_assert(!std::is_signed_v<field>, "a setting is never below zero");
  return setting_field<owner>{
      [](const owner& from) { return to_number(((from.*First).*....*Rest)); },
      [](owner& in, std::uint64_t value) { ((in.*First).*....*Rest) = static_cast<field>(value); },
      max_number<field>(), unit_of<field>()};
}

} // namespace detail

/// The field at the end of a path of members: `kept_in<&broker_tuning::dispatch,
/// &dispatch_settings::memory>`. Its type may be an unsigned number, milliseconds or microseconds.
template <auto... Path>
inline constexpr auto kept_in = detail::make_field<Path...>();

/// The least and the most that may be said.
struct setting_range {
  std::uint64_t min;
  std::uint64_t max;
};

/// One number that somebody may set: its option on the command line and its key in the config file
/// (they have one name), unit, bounds, reason, where it is kept, and how shards share it. Its
/// default is what stands in the field. A contradiction among these does not compile, since
/// settings are constants.
class setting {
public:
  /// Of brokers and nodes.
  constexpr setting(std::string_view name, std::string_view unit, setting_range range, sharing how,
                    const setting_field<broker_tuning>& broker,
                    const setting_field<node_tuning>& node, std::string_view reason)
      : setting(name, unit, range, how, broker, reason) {
    node_ = node;
    check(node.max, node.unit);
    if (node.get(node_tuning{}) != default_)
      throw std::logic_error{"a setting has one default, whoever has it"};
  }

  /// Of brokers only.
  constexpr setting(std::string_view name, std::string_view unit, setting_range range, sharing how,
                    const setting_field<broker_tuning>& broker, std::string_view reason)
      : name_(name), unit_(unit), range_(range), default_(broker.get(broker_tuning{})),
        reason_(reason), sharing_(how), broker_(broker) {
    check(broker.max, broker.unit);
  }

  /// Of nodes only, which have no shards.
  constexpr setting(std::string_view name, std::string_view unit, setting_range range,
                    const setting_field<node_tuning>& node, std::string_view reason)
      : name_(name), unit_(unit), range_(range), default_(node.get(node_tuning{})), reason_(reason),
        node_(node) {
    check(node.max, node.unit);
  }

  /// Without the leading dashes.
  [[nodiscard]] constexpr std::string_view name() const { return name_; }
  [[nodiscard]] constexpr std::string_view unit() const { return unit_; }
  [[nodiscard]] constexpr std::uint64_t min() const { return range_.min; }
  [[nodiscard]] constexpr std::uint64_t max() const { return range_.max; }
  [[nodiscard]] constexpr std::uint64_t default_value() const { return default_; }
  [[nodiscard]] constexpr std::string_view reason() const { return reason_; }

  /// Whether an Owner has it; `get` and `set` are for those that do.
  template <class Owner>
  [[nodiscard]] constexpr bool is_of() const {
    return field<Owner>().get != nullptr;
  }
  template <class Owner>
  [[nodiscard]] constexpr std::uint64_t get(const Owner& from) const {
    return field<Owner>().get(from);
  }
  template <class Owner>
  constexpr void set(Owner& in, std::uint64_t value) const {
    field<Owner>().set(in, value);
  }

  /// What one of `shards` shards of a broker has of `whole`.
  [[nodiscard]] constexpr std::uint64_t share_of(std::uint64_t whole, std::uint16_t shards) const {
    switch (sharing_) {
    case sharing::divided:
      return whole / shards;
    case sharing::divided_to_min:
      return whole / shards < range_.min ? range_.min : whole / shards;
    case sharing::same_for_each:
    case sharing::by_the_process:
      break;
    }
    return whole;
  }

private:
  template <class Owner>
  [[nodiscard]] constexpr const setting_field<Owner>& field() const {
    if constexpr (std::is_same_v<Owner, broker_tuning>)
      return broker_;
    else
      return node_;
  }

  constexpr void check(std::uint64_t field_max, std::string_view field_unit) const {
    if (range_.min > range_.max) throw std::logic_error{"no value is within these bounds"};
    if (default_ < range_.min || default_ > range_.max)
      throw std::logic_error{"the default is not within the bounds"};
    if (range_.max > field_max) throw std::logic_error{"the field cannot hold the max"};
    if (!field_unit.empty() && field_unit != unit_)
      throw std::logic_error{"the field counts in another unit"};
  }

  std::string_view name_;
  std::string_view unit_;
  setting_range range_;
  std::uint64_t default_;
  std::string_view reason_;
  sharing sharing_ = sharing::same_for_each; // of nodes: not asked
  setting_field<broker_tuning> broker_;
  setting_field<node_tuning> node_;
};

} // namespace ropewalk
