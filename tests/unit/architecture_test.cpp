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
    {"net/bytes", {}},
    {"net/protocol", {"net/bytes"}},
    {"net/transport", {"net/bytes", "net/protocol"}},
    {"net/client", {"net/bytes", "net/protocol", "net/transport"}},
    {"net/tls", {"net/transport"}},
    {"net/cluster", {"net/bytes", "net/protocol", "net/transport", "net/tls"}},
    {"net/sockets", {"net/bytes", "net/protocol", "net/transport", "net/tls", "net/cluster"}},
    {"actors/time", {}},
    {"actors/random", {}},
    {"actors/stats", {"net/protocol"}},
    {"actors/dispatch",
     {"net/bytes", "net/protocol", "actors/time", "actors/random", "actors/stats"}},
    {"actors/supervise", {"net/protocol", "net/transport", "actors/time", "actors/random"}},
    {"actors/handlers",
     {"net/bytes", "net/protocol", "net/transport", "actors/time", "actors/supervise"}},
    {"actors", {"net/bytes", "net/protocol", "net/cluster", "actors/stats"}}, // messages
    {"actors/broker",
     {"net/bytes", "net/protocol", "net/transport", "net/tls", "net/cluster", "net/sockets",
      "actors", "actors/time", "actors/stats", "actors/dispatch", "actors/supervise"}},
    {"actors/node",
     {"net/bytes", "net/protocol", "net/transport", "net/cluster", "actors", "actors/time",
      "actors/random", "actors/supervise", "actors/handlers"}},
    {"apps/ropewalk",
     {"net/bytes", "net/protocol", "net/transport", "net/tls", "net/client", "net/cluster",
      "actors", "actors/broker", "actors/node", "actors/time", "actors/stats", "actors/supervise",
      "actors/handlers"}},
};

const std::set<std::string> pure{"net/bytes",        "net/protocol",   "net/transport",
                                 "net/client",       "net/tls",        "actors/time",
                                 "actors/random",    "actors/stats",   "actors/dispatch",
                                 "actors/supervise", "actors/handlers"};

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
        if (folder == "actors/stats" || folder == "actors/dispatch" || folder == "actors/supervise")
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
