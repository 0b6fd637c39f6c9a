#include "net/protocol/limits.hpp"
#include "tests/catch.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

/// The folders are the architecture: this holds the includes to the arrows.
namespace fs = std::filesystem;

namespace {

// Folder -> the folders that it may include from, besides itself.
const std::map<std::string, std::set<std::string>> arrows{
    {"net/protocol", {}},
    {"net/tcp", {"net/protocol"}},
    {"net/client", {"net/protocol", "net/tcp"}},
    {"net/tls", {"net/tcp"}},
    {"net/sockets", {"net/protocol", "net/tcp", "net/tls"}},
    {"actors/dispatch", {"net/protocol"}},
    {"actors/supervise", {"net/protocol", "net/tcp", "actors/dispatch"}},
    {"actors/handlers", {"net/protocol", "net/tcp", "actors/supervise"}},
    {"actors", {"net/protocol", "net/sockets"}}, // messages
    {"actors/broker",
     {"net/protocol", "net/tcp", "net/tls", "net/sockets", "actors", "actors/dispatch",
      "actors/supervise"}},
    {"actors/node",
     {"net/protocol", "net/tcp", "net/sockets", "actors", "actors/dispatch", "actors/supervise",
      "actors/handlers"}},
    {"apps/ropewalk",
     {"net/protocol", "net/tcp", "net/tls", "net/client", "net/sockets", "actors", "actors/broker",
      "actors/node", "actors/dispatch", "actors/supervise", "actors/handlers"}},
};

const std::set<std::string> pure{"net/protocol",    "net/tcp",          "net/client",     "net/tls",
                                 "actors/dispatch", "actors/supervise", "actors/handlers"};

} // namespace

TEST_CASE("includes follow the arrows between the folders, and what decides knows neither CAF nor "
          "the clock") {
  const fs::path root = ROPEWALK_SOURCE_DIR;
  const std::regex include{R"(^\s*#include\s+["<]([^">]+)[">])"};
  std::size_t files = 0;
  for (const auto* top : {"net", "actors", "apps"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const auto extension = entry.path().extension();
      if (extension != ".hpp" && extension != ".cpp") continue;
      const auto folder = fs::relative(entry.path().parent_path(), root).generic_string();
      if (folder.starts_with("apps/examples")) continue;
      const auto allowed = arrows.find(folder);
      INFO(entry.path().string());
      REQUIRE(allowed != arrows.end());
      ++files;
      std::ifstream in{entry.path()};
      for (std::string line; std::getline(in, line);) {
        if (folder == "actors/dispatch" || folder == "actors/supervise")
          REQUIRE(line.find("::now()") == std::string::npos);
        std::smatch match;
        if (!std::regex_search(line, match, include)) continue;
        const auto what = match[1].str();
        INFO(what);
        if (pure.contains(folder)) REQUIRE_FALSE(what.starts_with("caf/"));
        if (!what.starts_with("net/") && !what.starts_with("actors/") && !what.starts_with("apps/"))
          continue;
        const auto from = fs::path{what}.parent_path().generic_string();
        const bool goes_the_right_way = from == folder || allowed->second.contains(from);
        REQUIRE(goes_the_right_way);
      }
    }
  }
  REQUIRE(files > 40);
}
