#include "actors/handlers/words.hpp"
#include "tests/catch.hpp"

using ropewalk::split_words;
using words = std::vector<std::string>;

TEST_CASE("a command line is split as a POSIX shell splits it") {
  REQUIRE(split_words("convert - -resize 128x128  png:-").value() ==
          words{"convert", "-", "-resize", "128x128", "png:-"});
  REQUIRE(split_words("a 'b c' \"d e\" f\\ g").value() == words{"a", "b c", "d e", "f g"});
  REQUIRE(split_words("x'y'\"z\"").value() == words{"xyz"});
  REQUIRE(split_words("'' \"\"").value() == words{"", ""});
  REQUIRE(split_words(R"("a\"b" "\n" '\n' "\\")").value() == words{"a\"b", "\\n", "\\n", "\\"});
  REQUIRE(split_words("  \t ").value().empty());
  REQUIRE(split_words("a | b > $HOME *").value() == words{"a", "|", "b", ">", "$HOME", "*"});
}

TEST_CASE("what a shell would wait for more of is an error") {
  REQUIRE_FALSE(split_words("a 'b"));
  REQUIRE_FALSE(split_words("a \"b"));
  REQUIRE_FALSE(split_words("a b\\"));
}
