#include "actors/node/slot.hpp"
#include "tests/actor/virtual_time.hpp"
#include "tests/catch.hpp"

using namespace ropewalk;

namespace {

// Writes down what happens to it.
class noting_handler final : public handler {
public:
  noting_handler(std::string& life, bool starts) : life_(life), starts_(starts) {}

  result<void> start() override {
    life_ += "start ";
    if (!starts_) return failure{failure_kind::exhausted, "there is no memory for it", {}};
    return {};
  }
  outcome run(invocation& what) override { return {error_code::ok, std::move(what.payload)}; }
  void stop() override { life_ += "stop "; }

private:
  std::string& life_;
  bool starts_;
};

struct slot_bench {
  explicit slot_bench(bool starts) {
    top =
        time.system().spawn(slot, slot_settings{}, std::make_unique<noting_handler>(life, starts));
    ended = watch(top);
    time.run();
  }

  std::string life;
  virtual_time time;
  caf::actor top;
  std::shared_ptr<caf::optional<caf::error>> ended;
};

} // namespace

TEST_CASE("a slot starts its handler before anything else, and stops it when it ends") {
  slot_bench b{true};
  REQUIRE(b.life == "start ");
  end(b.top);
  b.time.run();
  REQUIRE(b.life == "start stop ");
}

TEST_CASE("a slot whose handler cannot be started ends with the reason, for its pool to see to") {
  slot_bench b{false};
  REQUIRE(b.life == "start ");
  REQUIRE(*b.ended);
  REQUIRE(caf::to_string(**b.ended).find("there is no memory for it") != std::string::npos);
}
