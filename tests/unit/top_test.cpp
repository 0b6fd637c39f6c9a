#include "actors/stats/broker_report.hpp"
#include "apps/ropewalk/top_view.hpp"
#include "tests/catch.hpp"
#include "tests/matches.hpp"

#include <algorithm>

using namespace ropewalk;
using namespace std::chrono_literals;

/// `ropewalk top` without a terminal.

namespace {

using named = top_key::named;

service_report top_service(std::string name, double oldest, double a_second) {
  service_report result;
  result.state.name = std::move(name);
  result.state.waiting = static_cast<std::uint64_t>(oldest);
  result.state.oldest_waiting_seconds = oldest;
  result.state.slots = 8;
  result.state.slots_busy = 3;
  result.rates.over_1s.answered = a_second;
  result.rates.over_60s.answered = a_second / 2;
  return result;
}

// A broker's numbers, and what top makes of them.
class shown_broker {
public:
  shown_broker() {
    numbers.front.version = "1.2.3";
    numbers.front.connections = 2;
    numbers.services = {top_service("upper", 0, 1500), top_service("stuck", 7, 0),
                        top_service("lower", 2, 5)};
    numbers.nodes = {{"left", "10.0.0.1", {"upper", "stuck"}, 2, 100, 7, 8},
                     {"right", "10.0.0.2", {"lower"}, 0, 50, 8, 8}};
    client_report quiet;
    quiet.id = "0.1.1";
    quiet.address = "192.0.2.1:1";
    quiet.who = "alice";
    client_report slow = quiet;
    slow.id = "0.2.1";
    slow.address = "192.0.2.2:1";
    slow.who = "bob";
    slow.unread_bytes = 5 << 20;
    slow.paused = true;
    numbers.clients = {slow, quiet};
    report();
  }

  void report() { view.show(nlohmann::json::parse(numbers.json()), now); }
  void pass(milliseconds time) { now += time; }

  void type(std::string_view text) {
    for (const char c : text) REQUIRE(view.press({c}));
  }
  void press(named key) { REQUIRE(view.press({0, key})); }

  std::vector<std::string> screen(std::size_t width = 80, std::size_t height = 24) {
    std::vector<std::string> result;
    for (const auto& line : view.screen(width, height, now, "12:34:56"))
      result.push_back(line.text);
    return result;
  }
  std::string text(std::size_t width = 80, std::size_t height = 24) {
    std::string result;
    for (const auto& line : screen(width, height)) result += line + "\n";
    return result;
  }
  // The lines below the heading, by their first words.
  std::vector<std::string> rows() {
    std::vector<std::string> result;
    bool below = false;
    auto lines = screen();
    lines.pop_back(); // is about the keys
    for (const auto& line : lines) {
      const auto word = line.substr(0, line.find(' '));
      if (below && !word.empty()) result.push_back(word);
      below = below || word == "SERVICE" || word == "NODE" || word == "CLIENT";
    }
    return result;
  }
  top_line::style style_of(std::string_view begins) {
    for (const auto& line : view.screen(80, 24, now, ""))
      if (line.text.starts_with(begins)) return line.as;
    FAIL("there is no line " << begins);
    return {};
  }

  broker_report numbers;
  top_view view{"127.0.0.1:7070", 500ms};
  instant now{1h};
};

using names = std::vector<std::string>;

} // namespace

TEST_CASE("top fills a screen of any size, and no line is too long or too short") {
  shown_broker b;
  for (const char tab : {'1', '2', '3', 'h'}) {
    b.type({&tab, 1});
    for (const std::size_t width : {1, 10, 40, 80, 200})
      for (const std::size_t height : {0, 1, 2, 5, 12, 24, 60}) {
        INFO(tab << " " << width << "x" << height);
        const auto lines = b.screen(width, height);
        REQUIRE(lines.size() == height);
        for (const auto& line : lines) REQUIRE(line.size() == width);
      }
  }
}

TEST_CASE("what matters most is there in 40 columns, and nothing of it is cut") {
  shown_broker b;
  const auto narrow = b.text(40);
  CHECK(contains(narrow, "SERVICE"));
  CHECK(contains(narrow, "WAITING"));
  CHECK(contains(narrow, "OUT/S"));
  CHECK(contains(narrow, "ERR/S"));
  CHECK(contains(narrow, "upper"));
  CHECK(contains(narrow, "1500"));
  CHECK_FALSE(contains(narrow, "ANSWERED"));
  CHECK(contains(b.text(160), "ANSWERED"));
  b.type("3");
  const auto clients = b.text(40);
  CHECK(contains(clients, "192.0.2.2:1"));
  CHECK(contains(clients, "UNREAD"));
  CHECK(contains(clients, "5M"));
}

TEST_CASE("services are ordered by what waits longest, and then as one likes") {
  shown_broker b;
  CHECK(b.rows() == names{"stuck", "lower", "upper"});
  b.type("o");
  CHECK(b.rows() == names{"upper", "lower", "stuck"});
  b.type("ssss"); // from OLDEST to IN/S
  CHECK(contains(b.text(), "by in/s, most first"));
  b.type("s");
  CHECK(contains(b.text(), "by out/s, most first"));
  CHECK(b.rows() == names{"upper", "lower", "stuck"});
  b.type("SSSSSSS"); // back, and round to the name
  CHECK(contains(b.text(), "by service"));
  CHECK(b.rows() == names{"lower", "stuck", "upper"});
  b.type("S");
  CHECK(contains(b.text(), "by nodes"));
}

TEST_CASE("nodes and clients have tables of their own, which keep their order") {
  shown_broker b;
  b.type("2o");
  CHECK(b.rows() == names{"right", "left"});
  b.type("\t");
  CHECK(b.rows() == names{"192.0.2.2:1", "192.0.2.1:1"});
  CHECK(b.style_of("192.0.2.2:1") == top_line::style::alarm);
  CHECK(b.style_of("192.0.2.1:1") == top_line::style::plain);
  b.press(named::right);
  CHECK(b.rows() == names{"stuck", "lower", "upper"});
  b.press(named::left);
  b.press(named::left);
  CHECK(b.rows() == names{"right", "left"});
}

TEST_CASE("a filter holds as it is typed, for names, addresses and who somebody is") {
  shown_broker b;
  b.type("/UP");
  CHECK(b.rows() == names{"upper"});
  b.press(named::backspace);
  b.press(named::backspace);
  CHECK(b.rows().size() == 3);
  b.type("low");
  b.press(named::enter);
  CHECK(b.rows() == names{"lower"});
  CHECK(contains(b.text(), "only 'low'"));
  b.type("/");
  b.press(named::escape);
  CHECK(b.rows().size() == 3);
  b.type("3/bob");
  b.press(named::enter);
  CHECK(b.rows() == names{"192.0.2.2:1"});
  b.press(named::escape);
  CHECK(b.rows().size() == 2);
  b.type("/q"); // is a letter here, and no end
  CHECK(b.rows().empty());
}

TEST_CASE("rates of services are over a window, those of nodes and clients of two reports") {
  shown_broker b;
  CHECK(contains(b.text(), "1500"));
  b.type("ww");
  CHECK(contains(b.text(), "(60s)"));
  CHECK(contains(b.text(), "750"));
  CHECK_FALSE(b.view.report()["nodes"][0].contains("answered_per_second"));
  b.pass(2s);
  b.numbers.nodes[0].answered += 30;
  b.numbers.clients[0].requests += 8;
  b.numbers.clients[0].bytes_in += 2048;
  b.numbers.process.cpu_seconds += 0.5;
  b.numbers.front.uptime_seconds = 2;
  b.report();
  auto report = b.view.report();
  CHECK(report["nodes"][0]["answered_per_second"] == 15.0);
  CHECK(report["nodes"][1]["answered_per_second"] == 0.0);
  CHECK(report["clients"][0]["requests_per_second"] == 4.0);
  CHECK(report["clients"][0]["bytes_in_per_second"] == 1024.0);
  CHECK(report["process"]["cpu_percent"] == 25.0);
  CHECK(contains(b.text(), "cpu 25%"));
  // Another broker at the same place begins anew, and so does a node that joins.
  b.pass(2s);
  b.numbers.front.uptime_seconds = 1;
  b.numbers.nodes[0].answered = 1;
  b.report();
  CHECK_FALSE(b.view.report()["nodes"][0].contains("answered_per_second"));
}

TEST_CASE("a long list is walked through, never past its end, and says where one is") {
  shown_broker b;
  for (int i = 100; i < 200; ++i)
    b.numbers.services.push_back(top_service("s" + std::to_string(i), 0, 0));
  b.report();
  b.type("SS"); // by name
  CHECK(contains(b.text(), "by service"));
  const auto page = b.rows().size();
  CHECK(page > 10);
  CHECK(b.rows()[0] == "lower");
  b.press(named::down);
  CHECK(b.rows()[0] == "s100");
  b.press(named::page_down);
  CHECK(b.rows()[0] == "s" + std::to_string(100 + page));
  CHECK(contains(b.text(), " of 103"));
  b.press(named::end);
  CHECK(b.rows().back() == "upper");
  CHECK(b.rows().size() == page);
  b.press(named::down);
  CHECK(b.rows().back() == "upper");
  b.press(named::page_up);
  b.press(named::home);
  CHECK(b.rows()[0] == "lower");
  b.press(named::up);
  CHECK(b.rows()[0] == "lower");
  b.numbers.services.resize(2); // it has become shorter
  b.report();
  CHECK(b.rows().size() == 2);
}

TEST_CASE("a broker that has gone is said, with what was there last, until it is back") {
  shown_broker b;
  b.pass(90s);
  b.view.lose_broker("connection refused", b.now);
  b.pass(30s);
  CHECK(contains(b.text(), "no broker for 2m, trying again: connection refused"));
  CHECK(b.style_of("no broker") == top_line::style::alarm);
  CHECK(b.rows().size() == 3);
  b.report();
  CHECK_FALSE(contains(b.text(), "no broker"));
  CHECK(contains(b.text(), "ropewalk top  127.0.0.1:7070"));
}

TEST_CASE("a broker that drains, a slot that fails and a certificate that ends are to be seen") {
  shown_broker b;
  CHECK(b.style_of("upper") == top_line::style::plain);
  b.numbers.front.draining = true;
  b.numbers.services[0].state.slots_failing = 1;
  b.numbers.services[2].rates.over_1s.errors = 1;
  b.numbers.certificates.push_back({"client", "broker.example", "ends soon", "", "2027-01-01"});
  b.report();
  CHECK(b.style_of("ropewalk top") == top_line::style::alarm);
  CHECK(contains(b.text(), "draining"));
  CHECK(b.style_of("upper") == top_line::style::alarm);
  CHECK(b.style_of("lower") == top_line::style::alarm);
  CHECK(b.style_of("certificate of the client port (broker.example)") == top_line::style::alarm);
}

TEST_CASE("a paused service and a drained node are to be seen") {
  shown_broker b;
  CHECK_FALSE(contains(b.text(), "paused"));
  b.numbers.services[0].state.paused = true;
  b.numbers.nodes[0].drained = true;
  b.report();
  CHECK(contains(b.text(), "paused"));
  b.type("2");
  CHECK(contains(b.text(), "(drained) upper"));
}

TEST_CASE("how often numbers are asked for is set in words of time, and nonsense is said") {
  shown_broker b;
  b.type("d2s");
  b.press(named::enter);
  CHECK(b.view.delay() == 2s);
  b.type("d1ms"); // the least is 100 ms
  b.press(named::enter);
  CHECK(b.view.delay() == top_view::min_delay);
  b.type("dsoon");
  b.press(named::enter);
  CHECK(b.view.delay() == top_view::min_delay);
  CHECK(contains(b.text(), "soon"));
  b.type("d5");
  b.press(named::escape);
  CHECK(b.view.delay() == top_view::min_delay);
  CHECK_FALSE(b.view.take_wants_report());
  b.type(" ");
  CHECK(b.view.take_wants_report());
  CHECK_FALSE(b.view.take_wants_report());
}

TEST_CASE("help says every key, any key leaves it, and q is the end") {
  shown_broker b;
  b.type("h");
  const auto text = b.text();
  for (const auto* key : {"1 2 3", "Tab", "s S", "o  ", "/  ", "w  ", "d  ", "q  "})
    CHECK(contains(text, key));
  b.type("x");
  CHECK(b.rows().size() == 3);
  b.type("?");
  CHECK_FALSE(b.view.press({'q'}));
  CHECK_FALSE(b.view.press({'q'}));
}

TEST_CASE("what strangers call themselves does nothing to the terminal") {
  shown_broker b;
  b.numbers.nodes[0].name = "\x1b[2Jevil\r\n\x9b\xff";
  b.numbers.clients[0].who = "\t\x7f";
  b.report();
  for (const char tab : {'1', '2', '3'}) {
    b.type({&tab, 1});
    for (const auto& line : b.screen())
      for (const char c : line) REQUIRE((c >= ' ' && c < 127));
  }
  for (const auto& line : b.view.page({top_tab::nodes, top_tab::clients}))
    for (const char c : line) REQUIRE((c >= ' ' && c < 127));
}

TEST_CASE(
    "who may see little is told so, and an older broker's status is shown as far as it goes") {
  top_view view{"b", 1s};
  view.show(nlohmann::json::parse(broker_report{}.json()), instant{1h});
  CHECK(contains(view.screen(80, 24, instant{1h}, "")[1].text, "@status"));
  view.show(nlohmann::json::parse(R"({"version":"0","services":[{"name":"a"}],"nodes":[{}]})"),
            instant{1h});
  const auto screen = view.screen(80, 24, instant{1h}, "");
  CHECK(std::any_of(screen.begin(), screen.end(),
                    [](const top_line& line) { return line.text.starts_with("a "); }));
  view.show(nlohmann::json::object(), instant{1h});
  CHECK(view.screen(80, 24, instant{1h}, "").size() == 24);
}

TEST_CASE("a page for scripts has all rows, uncut, and the report is sorted and filtered") {
  shown_broker b;
  const std::string long_name(90, 'n');
  for (int i = 0; i < 100; ++i) b.numbers.services.push_back(top_service("more", 0, 0));
  b.numbers.services.push_back(top_service(long_name, 0, 0));
  b.report();
  const auto page = b.view.page({top_tab::services, top_tab::nodes});
  CHECK(page.size() > 107);
  CHECK(std::any_of(page.begin(), page.end(),
                    [&](const std::string& line) { return line.starts_with(long_name + " "); }));
  for (const auto& line : page) CHECK_FALSE(line.ends_with(' '));
  b.view.filter("stuck");
  CHECK(b.view.report()["services"].size() == 1);
  CHECK(b.view.report()["nodes"].size() == 1); // that offers it
  CHECK(b.view.report()["clients"].empty());
  CHECK(b.view.report()["version"] == "1.2.3");
}
