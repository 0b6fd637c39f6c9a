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
    {"net/http", {"net/bytes", "net/protocol"}},
    {"net/loop", {}},
    {"net/transport", {"net/bytes", "net/protocol"}},
    {"net/client", {"net/bytes", "net/protocol", "net/transport", "net/tls"}},
    {"net/tls", {"net/protocol", "net/transport"}},
    {"net/cluster", {"net/bytes", "net/loop", "net/protocol", "net/transport", "net/tls"}},
    {"net/sockets",
     {"net/bytes", "net/http", "net/protocol", "net/transport", "net/tls", "net/cluster"}},
    {"actors/time", {}},
    {"actors/log", {"net/protocol", "actors/time"}},
    {"actors/random", {}},
    {"actors/otlp",
     {"net/bytes", "net/protocol", "net/transport", "actors/time", "actors/log", "actors/stats"}},
    {"actors/stats", {"net/protocol", "actors/time"}},
    {"actors/admin",
     {"net/http", "net/protocol", "actors/stats", "actors/settings", "actors/time", "actors/log"}},
    {"actors/dispatch",
     {"net/bytes", "net/protocol", "actors/time", "actors/random", "actors/stats"}},
    {"actors/supervise", {"net/protocol", "net/transport", "actors/time", "actors/random"}},
    {"actors/handlers",
     {"net/bytes", "net/protocol", "net/transport", "actors/time", "actors/supervise"}},
    {"actors/worker", {"net/bytes", "net/protocol", "actors/handlers"}},
    {"actors/settings", {"net/protocol", "actors/time", "actors/dispatch", "actors/supervise"}},
    {"actors", {"net/bytes", "net/protocol", "net/cluster", "actors/stats"}}, // messages
    {"actors/broker/sessions",
     {"net/bytes", "net/http", "net/protocol", "net/transport", "net/tls", "actors/time",
      "actors/log", "actors/stats", "actors/admin", "actors/dispatch", "actors/settings"}},
    {"actors/broker",
     {"actors/broker/sessions", "actors/admin", "actors/otlp", "net/bytes", "net/protocol",
      "net/transport", "net/tls", "net/cluster", "net/sockets", "actors", "actors/time",
      "actors/log", "actors/stats", "actors/dispatch", "actors/supervise", "actors/settings"}},
    {"actors/node",
     {"net/bytes", "net/loop", "net/protocol", "net/transport", "net/cluster", "actors",
      "actors/time", "actors/random", "actors/log", "actors/supervise", "actors/settings",
      "actors/stats", "actors/handlers"}},
    // The broker's sessions, and what they need: nothing of it is the node's.
    {"actors/node/http",
     {"net/protocol", "net/transport", "net/tls", "net/cluster", "net/sockets", "actors",
      "actors/admin", "actors/broker", "actors/broker/sessions", "actors/dispatch", "actors/random",
      "actors/supervise", "actors/time"}},
    {"apps/ropewalk",
     {"net/bytes",
      "net/protocol",
      "net/transport",
      "net/tls",
      "net/client",
      "net/cluster",
      "actors",
      "actors/admin",
      "actors/otlp",
      "actors/broker",
      "actors/broker/sessions",
      "actors/node",
      "actors/node/http",
      "actors/time",
      "actors/log",
      "actors/stats",
      "actors/supervise",
      "actors/settings",
      "actors/handlers",
      "actors/worker"}},
};

const std::set<std::string> pure{"net/http",        "net/loop",        "net/bytes",
                                 "net/protocol",    "net/transport",   "net/client",
                                 "net/tls",         "actors/time",     "actors/broker/sessions",
                                 "actors/dispatch", "actors/stats",    "actors/supervise",
                                 "actors/settings", "actors/handlers", "actors/random",
                                 "actors/log",      "actors/admin",    "actors/worker",
                                 "actors/otlp"};

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
        if (folder == "actors/stats" || folder == "actors/admin" || folder == "actors/dispatch" ||
            folder == "actors/supervise" || folder == "actors/broker/sessions")
          REQUIRE(line.find("::now()") == std::string::npos);
        // Deadlines are on a clock that nobody sets. (A log says what the others show.)
        if (!folder.starts_with("apps/") && folder != "net/tls" && folder != "actors/log")
          for (const auto* wall_clock :
               {"system_clock", "CLOCK_REALTIME", "gettimeofday", "::time("})
            REQUIRE(line.find(wall_clock) == std::string::npos);
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

TEST_CASE("net/cluster is the only folder that names CAF's insides") {
  const fs::path root = ROPEWALK_SOURCE_DIR;
  // Its event loop, BASP, its scheduler and what it calls a detail. (messages.hpp may say how a
  // batch looks in a log: CAF has no other name for who asks.)
  const std::regex insides{
      R"(caf/(io/network|io/basp|detail|scheduler)|middleman_actor_impl|io::network::|io::basp::|)"
      R"(basp_broker|default_multiplexer|caf::detail::(?!stringification_inspector))"};
  for (const auto* top : {"net", "actors", "apps"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const auto extension = entry.path().extension();
      if (extension != ".hpp" && extension != ".cpp") continue;
      if (fs::relative(entry.path().parent_path(), root) == "net/cluster") continue;
      std::ifstream in{entry.path()};
      for (std::string line; std::getline(in, line);) {
        INFO(entry.path().string() << ": " << line);
        REQUIRE_FALSE(std::regex_search(line, insides));
      }
    }
  }
}

TEST_CASE("a thread has nothing of its own but pools of memory, and what has them given back") {
  const fs::path root = ROPEWALK_SOURCE_DIR;
  const std::set<std::string> pools{
      "net/bytes/arena_marks.hpp",      // what has its arena's free end given back
      "net/bytes/small_blocks.hpp",     // blocks of small sizes
      "net/protocol/receive_lease.cpp", // buffers whose last share has gone
      "net/cluster/stream_scribe.cpp",  // where the event loop's connections read to
  };
  for (const auto* top : {"net", "actors", "apps"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const auto extension = entry.path().extension();
      if (extension != ".hpp" && extension != ".cpp") continue;
      const auto file = fs::relative(entry.path(), root).generic_string();
      if (pools.contains(file)) continue;
      std::ifstream in{entry.path()};
      for (std::string line; std::getline(in, line);) {
        INFO(file << ": " << line);
        REQUIRE(line.find("thread_local") == std::string::npos);
      }
    }
  }
}
