#pragma once

#include "actors/handlers/handler.hpp"

#include <string>

namespace ropewalk {

/// `lib:PATH[:ARGUMENT]`: a shared library with the functions of library_abi.h, which is installed
/// as ropewalk/library.h. It is loaded on the node by the first slot that starts, and tried before
/// that in a process of its own, so that whoever only checks a text runs nothing of it: a failure
/// for one that cannot be found or loaded, misses a symbol or has another version.
result<handler_maker> parse_library(const std::string& rest);

/// How to ask for one.
std::string library_usage();

} // namespace ropewalk
