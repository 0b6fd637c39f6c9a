#include "actors/stats/broker_report.hpp"
#include "apps/ropewalk/display_text.hpp"
#include "apps/ropewalk/progress.hpp"
#include "apps/ropewalk/status_table.hpp"
#include "tests/catch.hpp"

#include <clocale>
#include <sstream>

using namespace ropewalk;
using namespace std::chrono_literals;

TEST_CASE("numbers in a table are short, and nothing is lost of their size") {
  CHECK(short_number(0) == "0");
  CHECK(short_number(0.25) == "0.25");
  CHECK(short_number(12.345) == "12.3");
  CHECK(short_number(999.7) == "1000");
  CHECK(short_number(1500) == "1500");
  CHECK(short_number(9999.6) == "10k");
  CHECK(short_number(12'345) == "12.3k");
  CHECK(short_number(999'900) == "1M");
  CHECK(short_number(4.5e12) == "4.5T");
  CHECK(short_bytes(512) == "512");
  CHECK(short_bytes(12 * 1024 + 300) == "12.3K");
  CHECK(short_bytes(512.0 * 1024 * 1024) == "512M");
  CHECK(short_time(0) == "-");
  CHECK(short_time(12e-6) == "12us");
  CHECK(short_time(0.0506) == "50.6ms");
  CHECK(short_time(1.25) == "1.25s");
  CHECK(short_age(5) == "5s");
  CHECK(short_age(60) == "1m");
  CHECK(short_age(3 * 3600 + 12 * 60) == "3h12m");
  CHECK(short_age(86'400 * 5) == "5d");
}

TEST_CASE("a text is as wide as it is to be, whatever is in it") {
  CHECK(fit("abc", 5) == "abc  ");
  CHECK(fit("abc", 5, align::right) == "  abc");
  CHECK(fit("abcdef", 5) == "abcd+");
  CHECK(fit("abc", 0).empty());
  CHECK(fit("a\x1b[mb", 10) == "a?[mb     ");
  CHECK(fit("k\xc3\xb6ln", 5) == "k?ln "); // this locale has no such letter
  if (std::setlocale(LC_CTYPE, "C.UTF-8")) {
    CHECK(fit("k\xc3\xb6ln", 5) == "k\xc3\xb6ln ");
    CHECK(fit("k\xc3\xb6ln", 3) == "k\xc3\xb6+");
    CHECK(fit("\xe7\xb8\x84\xe7\xb8\x84", 4) == "\xe7\xb8\x84\xe7\xb8\x84");
    CHECK(fit("\xe7\xb8\x84\xe7\xb8\x84", 3) == "\xe7\xb8\x84+"); // two columns each
    CHECK(fit("\xe7\xb8\x84\xe7\xb8\x84", 2) == "+ ");
    CHECK(display_width("\xe7\xb8\x84x") == 3);
  }
  std::setlocale(LC_CTYPE, "C");
}

TEST_CASE("status on a screen has as many lines as it may, and says what it leaves out") {
  broker_report r;
  for (int i = 0; i < 50; ++i) {
    r.nodes.push_back({"n" + std::to_string(i), "h", {"a"}, 0, 0, 1, 1});
    auto& s = r.services.emplace_back();
    s.state.name = "s" + std::to_string(i);
    s.state.nodes = 1;
  }
  const auto status = nlohmann::json::parse(r.json());
  CHECK(status_table(status).size() == 1 + 12 + 1 + 1 + 1 + 50 + 1);
  for (const std::size_t lines : {10u, 22u, 40u}) {
    const auto table = status_table(status, lines);
    CHECK(table.size() <= lines);
    CHECK(table.size() + 1 >= lines);
    CHECK(table.back().starts_with("50 nodes"));
  }
  r.nodes.resize(2);
  r.services.resize(2);
  r.nodes[1].drained = true;
  r.services[1].state.paused = true;
  const auto few = nlohmann::json::parse(r.json());
  const auto table = status_table(few, 22);
  CHECK(table == status_table(few));
  const auto lines_with = [&](std::string_view what) {
    return std::count_if(table.begin(), table.end(), [&](const std::string& line) {
      return line.find(what) != std::string::npos;
    });
  };
  CHECK(lines_with("(drained) a") == 1);
  CHECK(lines_with("paused") == 1);
}

TEST_CASE("progress is drawn from two seconds on, five times a second, and over itself") {
  std::ostringstream out;
  const instant start{1h};
  {
    progress p{&out, start};
    CHECK_FALSE(p.due(start + 1900ms));
    CHECK(p.due(start + 2s));
    p.show("2000 of 10000 answered", 0.2, start + 2s);
    CHECK(out.str() == "\r2000 of 10000 answered, 20%, 8s left");
    CHECK_FALSE(p.due(start + 2100ms));
    CHECK(p.due(start + 2200ms));
    p.show("all", 1, start + 3s);
    CHECK(out.str().ends_with("\rall, 100%, 0s left" + std::string(18, ' ')));
    p.hide();
    CHECK(out.str().ends_with("\r" + std::string(18, ' ') + "\r"));
    const auto before = out.str();
    p.hide();
    CHECK(out.str() == before);
    p.show("0 of 5", 0, start + 4s);
    CHECK(out.str().ends_with("\r0 of 5, 0%"));
  }
  CHECK(out.str().ends_with("\r" + std::string(10, ' ') + "\r"));
  CHECK_FALSE(progress{nullptr, start}.due(start + 1h));
}
