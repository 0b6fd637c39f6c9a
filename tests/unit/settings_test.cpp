#include "actors/settings/largest_message.hpp"
#include "actors/settings/machine.hpp"
#include "actors/settings/table.hpp"
#include "tests/catch.hpp"

#include <algorithm>
#include <type_traits>

using namespace ropewalk;

namespace {

const setting& named(std::string_view name) {
  const auto found = std::find_if(all_settings.begin(), all_settings.end(),
                                  [&](const setting& s) { return s.name() == name; });
  REQUIRE(found != all_settings.end());
  return *found;
}

using of_broker = setting_field<broker_tuning>;
using of_node = setting_field<node_tuning>;
using text = std::string_view;

} // namespace

TEST_CASE("a setting of brokers about which nobody said how shards share it does not compile") {
  STATIC_REQUIRE(
      std::is_constructible_v<setting, text, text, setting_range, sharing, const of_broker&, text>);
  STATIC_REQUIRE(std::is_constructible_v<setting, text, text, setting_range, sharing,
                                         const of_broker&, const of_node&, text>);
  STATIC_REQUIRE(std::is_constructible_v<setting, text, text, setting_range, const of_node&, text>);
  STATIC_REQUIRE_FALSE(
      std::is_constructible_v<setting, text, text, setting_range, const of_broker&, text>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<setting, text, text, setting_range, const of_broker&,
                                               const of_node&, text>);
}

TEST_CASE("a setting that contradicts itself is refused") {
  const auto make = [](setting_range range, text in = unit::runs) {
    return setting{"attempts",
                   in,
                   range,
                   sharing::same_for_each,
                   kept_in<&broker_tuning::dispatch, &dispatch_settings::attempts>,
                   "a reason"};
  };
  CHECK_NOTHROW(make({1, 100}));
  CHECK_THROWS_AS(make({4, 100}), std::logic_error); // the default is 3
  CHECK_THROWS_AS(make({3, 2}), std::logic_error);
  CHECK_THROWS_AS(make({1, 256}), std::logic_error); // in a byte
  CHECK_THROWS_AS((setting{"idle-time",
                           unit::microseconds,
                           {0, 1'000'000'000},
                           sharing::same_for_each,
                           kept_in<&broker_tuning::idle_time>,
                           "a reason"}),
                  std::logic_error);
}

TEST_CASE("a setting is kept where the table says, in the field's own unit") {
  broker_tuning broker;
  node_tuning node;
  named("memory").set(broker, 9'000'000);
  named("node-prefetch-time").set(broker, 1500);
  named("drain-time").set(broker, 10);
  named("drain-time").set(node, 20);
  CHECK(broker.dispatch.memory == 9'000'000);
  CHECK(broker.dispatch.node_prefetch_time == microseconds{1500});
  CHECK(broker.drain_time == milliseconds{10});
  CHECK(node.drain_time == milliseconds{20});
  CHECK_FALSE(named("slots").is_of<broker_tuning>());
  CHECK_FALSE(named("memory").is_of<node_tuning>());
  for (const auto& s : all_settings) {
    INFO(s.name());
    if (s.is_of<broker_tuning>()) CHECK(s.get(broker_tuning{}) == s.default_value());
    if (s.is_of<node_tuning>()) CHECK(s.get(node_tuning{}) == s.default_value());
  }
}

TEST_CASE("shards divide memory, queues and what is handed out ahead, all else they have in full") {
  broker_tuning process;
  process.shards = 3;
  process.dispatch.queue = 2;
  process.dispatch.memory = 8 * limits::mib;
  process.restarts.restarts = 7;
  const auto share = share_of(process);
  CHECK(share.dispatch.memory == 8 * limits::mib / 3); // less than anybody may say for a process
  CHECK(share.dispatch.service_memory == process.dispatch.service_memory / 3);
  CHECK(share.dispatch.queue == 1); // with none nothing would run
  CHECK(share.dispatch.node_bytes == process.dispatch.node_bytes / 3);
  CHECK(share.dispatch.node_prefetch == process.dispatch.node_prefetch / 3);
  CHECK(share.dispatch.node_prefetch_time == process.dispatch.node_prefetch_time / 3);
  CHECK(share.answers_memory == process.answers_memory / 3);
  CHECK(share.dispatch.connection_memory == process.dispatch.connection_memory);
  CHECK(share.dispatch.connection_requests == process.dispatch.connection_requests);
  CHECK(share.dispatch.attempts == process.dispatch.attempts);
  CHECK(share.dispatch.timeout == process.dispatch.timeout);
  CHECK(share.unread_answers == process.unread_answers);
  CHECK(share.clients.connections == process.clients.connections);
  CHECK(share.max_message_bytes == process.max_message_bytes);
  CHECK(share.drain_time == process.drain_time);
  CHECK(share.restarts.restarts == 7);
  CHECK(share.shards == 3);

  process.shards = 64;
  CHECK(share_of(process).dispatch.node_bytes == named("node-bytes").min());
}

TEST_CASE("a node process gets from its master what the master was told") {
  node_tuning told;
  told.slots = 4;
  told.restarts.window = milliseconds{123};
  const auto words = arguments_for(told);
  const auto after = [&](std::string_view option) {
    const auto found = std::find(words.begin(), words.end(), option);
    REQUIRE(found != words.end());
    return *(found + 1);
  };
  CHECK(after("--slots") == "4");
  CHECK(after("--restart-window") == "123");
  CHECK(after("--drain-time") == "30000");
  CHECK(words.size() == 10);
}

TEST_CASE("a limit that the largest message is over is found, whatever part of it a shard has") {
  broker_tuning process;
  CHECK(limits_below_largest(process).empty());
  process.max_message_bytes = limits::max_frame_payload_bytes;
  CHECK(limits_below_largest(process).empty()); // with all defaults
  process.shards = 2;
  const auto divided = limits_below_largest(process);
  REQUIRE(divided.size() == 3);
  CHECK(divided[0] == "--memory 512MiB has no room for the largest message (--max-message-bytes "
                      "256MiB, in each of 2 shards), which could never be answered: make it "
                      "524304KiB or more, or --max-message-bytes smaller");
  CHECK(divided[2].starts_with("--answers-memory 256MiB has no room"));
  process = {};
  process.dispatch.service_memory = limits::mib;
  REQUIRE(limits_below_largest(process).size() == 1);
  CHECK(limits_below_largest(process)[0].starts_with("--service-memory 1MiB"));
  for (const auto& s : all_settings) // to what it says there
    if (const auto needed = room_for_largest(process, s); needed > 0) s.set(process, needed);
  CHECK(limits_below_largest(process).empty());
  for (const std::uint16_t shards : {1, 3}) { // nor is a container so small
    broker_tuning small;
    small.shards = shards;
    small.max_message_bytes = 20 * limits::mib;
    fit_memory(small, limits::mib, [](std::string_view) { return false; });
    CHECK(limits_below_largest(small).empty());
  }
}
