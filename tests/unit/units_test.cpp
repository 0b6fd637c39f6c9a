#include "actors/settings/units.hpp"

#include "actors/settings/setting_text.hpp"
#include "actors/settings/table.hpp"
#include "tests/catch.hpp"

#include <algorithm>
#include <random>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

std::int64_t us(std::string_view text, microseconds plain = 1ms) {
  const auto time = parse_duration(text, plain);
  INFO(text);
  return time ? time->count() : -1;
}

std::int64_t bytes(std::string_view text) {
  const auto size = parse_size(text);
  return size ? static_cast<std::int64_t>(*size) : -1;
}

const setting& named(std::string_view name) {
  return *std::find_if(all_settings.begin(), all_settings.end(),
                       [&](const setting& s) { return s.name() == name; });
}

} // namespace

TEST_CASE("a time has a unit, or is a plain number in the unit that its option always had") {
  CHECK(us("250ms") == 250'000);
  CHECK(us("5s") == 5'000'000);
  CHECK(us("2m") == 120'000'000);
  CHECK(us("25h") == 90'000'000'000);
  CHECK(us("1d") == 86'400'000'000);
  CHECK(us("7us") == 7);
  CHECK(us("0.5s") == 500'000);
  CHECK(us("1.5h") == 5'400'000'000);
  CHECK(us("1h30m") == 5'400'000'000);
  CHECK(us("5 s") == 5'000'000);
  CHECK(us("0s") == 0);
  CHECK(us("20000") == 20'000'000);
  CHECK(us("2000", 1us) == 2000);
  CHECK(us("0.5", 1s) == 500'000);
  for (const auto* wrong : {"",
                            " ",
                            "s",
                            "-5s",
                            "+5s",
                            "5S",
                            "5sec",
                            "5 ",
                            " 5s",
                            "5  s",
                            "5s ",
                            "5s5s",
                            "30m1h",
                            "1h30",
                            "1.5h30m",
                            "0x10",
                            "1e3",
                            ".5s",
                            "5.s",
                            "1,5s",
                            "99999999999999999999s",
                            "9999999999d",
                            "5\n"})
    CHECK(us(wrong) == -1);
  CHECK(us("5", 0us) == -1); // where a plain number means nothing
  CHECK(us("5s", 0us) == 5'000'000);
  CHECK(parse_duration("5 sec", 1ms).why().text() ==
        "'5 sec' is no time; write a number and its unit, such as 250ms, 5s, 2m, 1h or 1d");
}

TEST_CASE("a size has a unit, or is a plain number of bytes") {
  CHECK(bytes("512MiB") == 536'870'912);
  CHECK(bytes("64KiB") == 65'536);
  CHECK(bytes("2MB") == 2'000'000);
  CHECK(bytes("1.5GiB") == 1'610'612'736);
  CHECK(bytes("0.1GB") == 100'000'000);
  CHECK(bytes("1TiB") == 1'099'511'627'776);
  CHECK(bytes("2097152") == 2'097'152);
  CHECK(bytes("2097152B") == 2'097'152);
  CHECK(bytes("512 mib") == 536'870'912);
  CHECK(bytes("3kb") == 3000);
  for (const auto* wrong : {"", "MiB", "-1", "512M", "512m", "1.5", "1.5B", "5s", "1MiB1KiB",
                            "0x10", "99999999999999999999", "99999999999TiB", "1 ", "1MiB "})
    CHECK(bytes(wrong) == -1);
}

TEST_CASE("what is written of a time or a size is read again as the same") {
  CHECK(duration_text(30s) == "30s");
  CHECK(duration_text(90s) == "1m30s");
  CHECK(duration_text(24h) == "1d");
  CHECK(duration_text(0us) == "0s");
  CHECK(duration_text(2ms) == "2ms");
  CHECK(size_text(2 << 20) == "2MiB");
  CHECK(size_text(2'000'000) == "2MB");
  CHECK(size_text(1001) == "1001B");
  std::mt19937_64 random{1};
  for (int i = 0; i < 1000; ++i) {
    const auto number = random() >> (1 + random() % 62);
    CHECK(bytes(size_text(number)) == static_cast<std::int64_t>(number));
    CHECK(us(duration_text(microseconds{number})) == static_cast<std::int64_t>(number));
  }
}

TEST_CASE("a limit is read with units and without, and its bounds are said as people write them") {
  const auto value = [](std::string_view name, std::string_view text) {
    const auto read = read_value(named(name), text);
    return read ? std::to_string(*read) : read.why().text();
  };
  CHECK(value("timeout", "5s") == "5000");
  CHECK(value("timeout", "5000") == "5000");
  CHECK(value("timeout", "25h") == "25h is not between 1ms and 1d");
  CHECK(value("max-deadline", "25h") == "90000000");
  CHECK(value("timeout", "1500us") == "'1500us' is no whole number of milliseconds");
  CHECK(value("node-prefetch-time", "2000") == "2000");
  CHECK(value("node-prefetch-time", "2ms") == "2000");
  CHECK(value("memory", "512MiB") == "536870912");
  CHECK(value("memory", "1") == "1 is not between 8MiB and 1TiB");
  CHECK(value("memory", "5s").starts_with("'5s' is no size"));
  CHECK(value("attempts", "3") == "3");
  CHECK(value("attempts", "0") == "0 is not between 1 and 100");
  CHECK(value("attempts", "99999999999999999999999") ==
        "99999999999999999999999 is not between 1 and 100");
  CHECK(value("attempts", "3s") == "'3s' is no whole number of runs");
  CHECK(value("attempts", "-1") == "'-1' is no whole number of runs");
  for (const auto& s : all_settings) {
    INFO(s.name());
    for (const auto number : {s.min(), s.max(), s.default_value()}) {
      CHECK(value(s.name(), value_text(s, number)) == std::to_string(number));
      CHECK(value(s.name(), std::to_string(number)) == std::to_string(number));
    }
  }
}
