#include "actors/node/slot_budget.hpp"

#include "tests/catch.hpp"

using namespace ropewalk;

namespace {

service_settings service(const std::string& name, const std::string& handler,
                         std::uint32_t slots = 0) {
  auto spec = parse_handler(handler);
  REQUIRE(spec);
  service_settings result{name, *std::move(spec)};
  result.options.slots = slots;
  return result;
}

} // namespace

TEST_CASE("slots that there are no descriptors for are not offered, and it is said how many are") {
  node_settings s;
  s.slots = 100;
  s.services = {service("a", "cmd:cat"), service("b", "builtin:echo")};
  CHECK(fit_slots(s, 1024).empty());
  CHECK(s.slots_of(s.services[0]) == 100);
  const auto said = fit_slots(s, 256);
  REQUIRE(said.size() == 1);
  CHECK(said[0].starts_with("service a: 100 slots cannot work with the 256 descriptors that this "
                            "process may have, and it gets "));
  CHECK(said[0].find("raise `ulimit -n`") != std::string::npos);
  CHECK(s.slots_of(s.services[0]) < 100);
  CHECK(s.slots_of(s.services[0]) > 20);
  CHECK(s.slots_of(s.services[1]) == 100); // takes none
  CHECK(fit_slots(s, 256).empty());        // it fits now
}

TEST_CASE("the largest services give way to descriptors first, and each keeps a slot") {
  node_settings s;
  s.slots = 1;
  s.services = {service("large", "cmd:cat", 1000), service("small", "cmd:cat", 10),
                service("up", "exec:cat", 400), service("shared", "exec:cat", 500)};
  s.services[3].options.processes = 2; // of many slots each, which cost nothing
  CHECK(fit_slots(s, 1000).size() == 2);
  CHECK(s.slots_of(s.services[0]) == s.slots_of(s.services[2]));
  CHECK(s.slots_of(s.services[1]) == 10);
  CHECK(s.slots_of(s.services[3]) == 500);
  CHECK(s.services[3].options.processes == 2);
  CHECK(fit_slots(s, 10).size() == 4);
  for (const auto& each : s.services) CHECK(s.slots_of(each) >= 1);
  CHECK(s.slots_of(s.services[0]) == 1);
  CHECK(s.services[3].options.processes == 1);
}
