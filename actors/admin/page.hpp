#pragma once

#include <string_view>

namespace ropewalk {

/// The page at /, made of actors/admin/page by the build (.cmake/page.cmake): one HTML text with its
/// styles and scripts in it, so that it needs no other request and no internet.
struct admin_page {
  std::string_view gzip; ///< the text, as Content-Encoding: gzip has it

  /// Header fields that go with it, whole lines: its encoding, and what a browser may do for it.
  /// Scripts and styles are allowed by their hashes: one that somebody smuggles in is not run.
  std::string_view fields;
};

/// Both live as long as the program.
admin_page the_admin_page();

} // namespace ropewalk
