#pragma once

#include <caf/fwd.hpp>
#include <string>

namespace ropewalk {

/// What a CAF error means, for people: the sentence that it carries, if it is one of ours, else one
/// in the product's own words.
std::string words_of(const caf::error& error);

} // namespace ropewalk
