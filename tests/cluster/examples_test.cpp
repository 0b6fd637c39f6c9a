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

std::string answer_of(client& connection, std::string_view service, std::string_view message) {
  connection.send(service, shared_bytes::copy_of(message));
  return text(connection.wait(30s));
}

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

TEST_CASE("mails are judged by SpamAssassin, in Perl, whose rules are loaded once") {
  cluster c;
  auto& node = c.start_node("a", {"--service",
                                  "spam=exec:perl " ROPEWALK_SOURCE_DIR "/apps/examples/spam.pl",
                                  "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(answer_of(connection, "spam", "Subject: FREE VIAGRA!!!\n\nearn money fast\n")
            .find("OK spam ") == 0);
  CHECK(answer_of(connection, "spam",
                  "From: a@example.org\nTo: b@example.org\nDate: Thu, 26 Nov 2026 10:00:00 +0000\n"
                  "Message-Id: <1@example.org>\nSubject: lunch\n\nAt noon?\n")
            .find("OK ham ") == 0);
  CHECK(answer_of(connection, "spam", std::string{"\0\xFF, which is no mail", 20}).find("OK ") ==
        0);
  CHECK(answer_of(connection, "spam", "").find("OK ") == 0);
  CHECK(c.status()["restarts"] == 0);
  node.signal(SIGTERM);
  CHECK(node.wait(10s) == 0);
}

TEST_CASE("pictures are made small by ImageMagick, started for each, and what is none is FAILED "
          "with what it says") {
  cluster c;
  c.start_node("a", {"--service", "thumb=cmd:convert - -thumbnail 64x64 png:-", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto small =
      answer_of(connection, "thumb", "P6\n300 200\n255\n" + std::string(300 * 200 * 3, 'x'));
  REQUIRE(small.size() > 27);
  CHECK(small.substr(3, 4) == "\x89PNG");
  const std::string sizes{"\0\0\0\x40\0\0\0\x2B", 8}; // 64 x 43
  CHECK(small.substr(3 + 16, 8) == sizes);
  const auto none = answer_of(connection, "thumb", "no picture");
  CHECK(none.find("FAILED") == 0);
  CHECK(none.find("no decode delegate") != std::string::npos);
}
