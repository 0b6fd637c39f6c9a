#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"

#include <random>

using namespace ropewalk;

/// A live broker and clients that say what no client would: random, truncated, reordered,
/// interleaved, with huge lengths and slow bytes, closed in every way at every point.

namespace {

class tormentor {
public:
  tormentor(const cluster& c, std::uint64_t seed) : cluster_(c), random_(seed) {}

  // Some bytes on some connection, or the end of one.
  void go_on() {
    if (open_.size() < 30 || (one_in(4) && open_.size() < 200)) {
      open_.push_back(std::make_unique<raw>(one_in(12) ? cluster_.nodes() : cluster_.clients()));
      // The first byte decides between frames and text: let there be enough of both.
      if (one_in(3)) open_.back()->send(one_in(2) ? "echo hello\n" : ping());
      return;
    }
    const auto which = random_() % open_.size();
    auto& connection = *open_[which];
    if (one_in(8) || open_.size() > 200) {
      finish(connection);
      open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(which));
      return;
    }
    connection.send(piece(), 0ms);
    if (one_in(3)) connection.receive([](const std::string& s) { return !s.empty(); }, 0ms);
    ++pieces_;
  }

  void leave() { open_.clear(); }
  [[nodiscard]] std::uint64_t pieces() const { return pieces_; }

private:
  bool one_in(unsigned n) { return random_() % n == 0; }

  std::string ping() { return frame(frame_kind::ping, random_(), "", "are you there"); }

  std::string noise(std::size_t most) {
    std::string result(random_() % most, '\0');
    for (auto& c : result) c = static_cast<char>(random_());
    return result;
  }

  // A frame that makes sense.
  std::string sense() {
    static constexpr const char* services[] = {"echo", "upper", "nobody", ""};
    const auto id = 1 + random_() % 50; // ids meet each other
    switch (random_() % 6) {
    case 0:
      return ping();
    case 1:
      return frame(frame_kind::cancel, id, "", "");
    case 2:
      return frame(frame_kind::status, id, "", "");
    case 3:
      return frame(frame_kind::hello, id, "echo", "");
    default:
      return frame(frame_kind::request, id, services[random_() % 4],
                   std::string(random_() % (one_in(10) ? 300'000 : 300), 'm'));
    }
  }

  std::string piece() {
    auto made = sense();
    switch (random_() % 9) {
    case 0: // random
      return noise(3000);
    case 1: // cut short
      return made.substr(0, random_() % (made.size() + 1));
    case 2: // its end first
      return made.substr(made.size() / 2) + made.substr(0, made.size() / 2);
    case 3: // flipped bits
      for (int i = 0; i < 3; ++i)
        made[random_() % made.size()] ^= static_cast<char>(1 << random_() % 8);
      return made;
    case 4: { // a huge length, and some of it
      std::vector<char> head;
      append_header(head, frame_kind::request, error_code::ok, random_(), "",
                    random_() % 0x1ffffff0);
      return {head.begin(), head.end()};
    }
    case 5: // one byte
      return made.substr(0, 1);
    case 6: // one inside the other
      return made.substr(0, made.size() / 2) + sense() + made.substr(made.size() / 2);
    case 7: // text
      return "upper " + noise(200) + "\n";
    default:
      return made;
    }
  }

  void finish(raw& connection) {
    switch (random_() % 3) {
    case 0:
      return connection.reset();
    case 1:
      connection.finish();
      connection.receive([](const std::string& s) { return s.size() > 1000; }, 1ms);
      return;
    default:
      return; // closed with whatever was not read
    }
  }

  const cluster& cluster_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<raw>> open_;
  std::uint64_t pieces_ = 0;
};

} // namespace

TEST_CASE("whatever clients say, the broker lives, serves the others, and forgets nobody",
          "[torture]") {
  cluster c{{"--message-time", "2000", "--memory", "100000000"}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--service", "upper=builtin:upper"});
  REQUIRE(c.has_nodes(1));
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  tormentor t{c, seed};
  auto good = c.connect();
  const auto end = std::chrono::steady_clock::now() + how_long(5);
  std::uint64_t served = 0;
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 50; ++i) t.go_on();
    const auto answer = good.call("echo", std::to_string(++served));
    REQUIRE(answer.code == error_code::ok);
    REQUIRE(answer.payload.view() == std::to_string(served));
  }
  t.leave();
  WARN(t.pieces() << " pieces of nonsense, " << served
                  << " messages of somebody else in between; broker RSS "
                  << resident_kib(c.broker().pid()) / 1024 << " MiB");
  // Whose reading half was closed is gone at once, the rest when their time is up.
  const bool all_gone = eventually(
      [&] {
        const auto s = c.status();
        return s["connections"] == 2 && s["in_flight"] == 0 && s["queued"] == 0 &&
               s["held_bytes"] == 0;
      },
      20s * time_factor);
  INFO(c.status().dump());
  REQUIRE(all_gone);
  REQUIRE(c.has_nodes(1));
}
