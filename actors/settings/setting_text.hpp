#pragma once

#include "actors/settings/setting.hpp"
#include "net/protocol/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

/// Settings as people write them: with the units of units.hpp where they are times or sizes, and as
/// a plain number in the setting's own unit.
namespace ropewalk {

/// Within its bounds; the failure names them as they are written.
result<std::uint64_t> read_value(const setting& of, std::string_view text);

/// `2MiB`, `30s`, or a number.
std::string value_text(const setting& of, std::uint64_t value);

/// What its value is: TIME, SIZE or NUMBER.
std::string_view value_kind(const setting& of);

} // namespace ropewalk
