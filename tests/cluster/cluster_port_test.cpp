#include "net/bytes/byte_order.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/bystanders.hpp"
#include "tests/cluster/certificates.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"

#include <filesystem>

/// What strangers can do at the port where nodes join.
using namespace ropewalk;

namespace {

std::size_t descriptors_of(pid_t pid) {
  const std::filesystem::directory_iterator all{"/proc/" + std::to_string(pid) + "/fd"};
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// A BASP header: operation u8 | 0 u16 | flags u8 | payload bytes u32 | and three numbers.
std::string basp(unsigned char operation, unsigned char flags, std::uint32_t payload_bytes) {
  std::string result(32, '\0');
  result[0] = static_cast<char>(operation);
  result[3] = static_cast<char>(flags);
  store_be(result.data() + 4, payload_bytes);
  result[31] = 10; // an actor's number
  return result;
}

// Strangers of every kind that say nothing, or too little: at one time the broker has 128 of them,
// a worker joins meanwhile, and when their time is over none is left.
void keeps_few_and_not_for_long(cluster& c, const std::vector<std::string>& worker_options,
                                std::string_view first_bytes) {
  c.start_node("a", worker_options);
  REQUIRE(c.has_nodes(1));
  const auto pid = c.broker().pid();
  const auto before = descriptors_of(pid);
  std::vector<std::unique_ptr<raw>> strangers;
  for (std::size_t i = 0; i < 300; ++i) {
    strangers.push_back(std::make_unique<raw>(c.nodes()));
    if (i % 2 == 1) strangers.back()->send(first_bytes);
  }
  REQUIRE(eventually([&] { return descriptors_of(pid) <= before + 140; }));
  c.start_node("late", worker_options);
  REQUIRE(c.has_nodes(2));
  REQUIRE(eventually([&] { return descriptors_of(pid) <= before + 10; }));
  CHECK(strangers.size() == 300); // none has gone by itself
  REQUIRE(c.broker().says("it has not shaken hands within 2000 ms"));
  others_are_served(c);
}

} // namespace

TEST_CASE("who connects to a plain cluster port and does not shake hands has its time, and few may "
          "wait so") {
  cluster c{{"--hello-time", "2000"}};
  keeps_few_and_not_for_long(c, {"--service", "echo=builtin:echo"},
                             std::string_view{"\1\0\0\0\0", 5});
}

TEST_CASE("who connects to a cluster port with TLS and does not shake hands has its time, and few "
          "may wait so") {
  const certificates certs;
  cluster c{{"--hello-time", "2000", "--cluster-tls", certs / "broker"}};
  keeps_few_and_not_for_long(
      c, {"--service", "echo=builtin:echo", "--cluster-tls", certs / "worker"}, "\x16\x03\x01");
}

TEST_CASE("shards: who connects to any of the cluster ports and says nothing has its time") {
  cluster c{{"--hello-time", "500", "--shards", "2"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  raw first{c.nodes()};
  raw second{c.nodes()};
  for (auto* r : {&first, &second}) {
    r->receive([](const std::string&) { return false; }, 6s);
    CHECK(r->closed);
  }
  others_are_served(c);
}

TEST_CASE("nothing large is kept for who has not shaken hands at a plain cluster port") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  others_are_served(c);
  const auto before = resident_kib(c.broker().pid());
  constexpr std::uint32_t announced = 64 << 20;
  const std::string megabyte(1 << 20, '\1');
  std::vector<std::unique_ptr<raw>> strangers;
  // A compact frame, messages to actors, and handshakes that are no handshakes.
  for (const auto& head : {basp(2, 0x80, announced), basp(2, 0, announced), basp(3, 0, announced),
                           basp(1, 0, announced), basp(0, 0, announced), basp(1, 0x80, announced)})
    for (int i = 0; i < 10; ++i) {
      strangers.push_back(std::make_unique<raw>(c.nodes()));
      strangers.back()->send(head);
    }
  for (auto& one : strangers)
    for (int i = 0; i < 4; ++i) one->send(megabyte, 100ms);
  CHECK(resident_kib(c.broker().pid()) < before + slack_kib);
  for (auto& one : strangers) {
    one->receive([](const std::string&) { return false; });
    CHECK(one->closed);
  }
  others_are_served(c);
}

TEST_CASE("a message to an actor of the broker from who has not shaken hands ends the connection") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  for (const auto operation : {2, 3, 4, 5, 6}) {
    raw r{c.nodes()};
    r.send(basp(static_cast<unsigned char>(operation), 0, operation == 6 ? 0 : 40) +
           std::string(operation == 6 ? 0 : 40, '\1'));
    r.receive([](const std::string&) { return false; });
    CHECK(r.closed);
  }
  others_are_served(c);
}
