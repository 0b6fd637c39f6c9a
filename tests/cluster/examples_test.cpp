#include "tests/cluster/exec_handler.hpp"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <map>

using namespace ropewalk;

// Handlers that stay up, each written from net/PROTOCOL.md alone: in C, Python, JavaScript and Bash.

namespace {

struct example {
  std::string program;
  std::vector<std::string> options;
};

std::string in_capitals(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

} // namespace

TEST_CASE(
    "a handler of thirty lines in C, Python, JavaScript and Bash answers what it is asked, and "
    "ends with its node") {
  const std::string folder = ROPEWALK_SOURCE_DIR "/apps/examples/";
  const auto [program, options] = GENERATE_COPY(
      example{ROPEWALK_PROGRAMS "/example_short_handler", {}},
      example{"python3 " + folder + "handler.py", {}},
      example{"node " + folder + "handler.js", {"--set", "h.slots=100", "--set", "h.processes=1"}},
      example{"bash " + folder + "handler.sh", {"--set", "h.channel=stdio"}});
  CAPTURE(program);
  cluster c;
  std::vector<std::string> words{"--service", "h=exec:" + program, "--slots", "2"};
  words.insert(words.end(), options.begin(), options.end());
  auto& node = c.start_node("a", words);
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(ask(connection, "many hands") == "OK MANY HANDS");
  CHECK(ask(connection, "") == "OK ");
  const std::string zero{"a\0b\nc", 5};
  CHECK(ask(connection, zero) == "OK " + in_capitals(zero));
  const std::string large(2'000'000, 'x');
  CHECK(ask(connection, large) == "OK " + in_capitals(large));
  std::map<std::uint64_t, std::string> asked;
  for (int i = 0; i < 50; ++i) {
    const auto message = "message " + std::to_string(i);
    asked[connection.send("h", shared_bytes::copy_of(message))] = message;
  }
  for (int i = 0; i < 50; ++i) {
    const auto answer = connection.wait(20s);
    REQUIRE(answer);
    CHECK(text(answer) == "OK " + in_capitals(asked[answer->id]));
  }
  CHECK(c.status()["restarts"] == 0);
  node.signal(SIGTERM);
  CHECK(node.wait(10s) == 0);
}
