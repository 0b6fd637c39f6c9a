#include "actors/dispatch/id_table.hpp"
#include "actors/dispatch/keyed_hash.hpp"
#include "tests/catch.hpp"

#include <algorithm>
#include <set>
#include <string>

using namespace ropewalk;

namespace {

// How many of these fall into the fullest of 1024 places.
template <class Hashes>
std::size_t fullest(const Hashes& hashes) {
  std::vector<std::size_t> places(1024);
  for (const auto hash : hashes) ++places[hash >> 54];
  return *std::max_element(places.begin(), places.end());
}

} // namespace

TEST_CASE("ids that collide under one seed, or under none, do not under another") {
  // What the fixed multiplication by the golden ratio put into one place: multiples of its inverse.
  constexpr std::uint64_t inverse = 0xf1de83e19937733d;
  static_assert(inverse * 0x9e3779b97f4a7c15 == 1);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const keyed_hash hash{seed};
    std::vector<std::uint64_t> chosen;
    for (std::uint64_t i = 0; i < 16'000; ++i) chosen.push_back(hash(i * inverse, 7));
    REQUIRE(fullest(chosen) < 40); // 16 on average
    std::vector<std::uint64_t> in_a_row;
    for (std::uint64_t i = 0; i < 16'000; ++i) in_a_row.push_back(hash(i, 7));
    REQUIRE(fullest(in_a_row) < 40);
    std::vector<std::uint64_t> far_apart;
    for (std::uint64_t i = 0; i < 16'000; ++i) far_apart.push_back(hash(i << 40, 7));
    REQUIRE(fullest(far_apart) < 40);
  }
}

TEST_CASE("texts of every length have hashes of their own, and every byte counts") {
  const keyed_hash hash{42};
  std::set<std::uint64_t> seen;
  for (std::size_t size = 0; size <= 255; ++size) {
    std::string text(size, 'x');
    REQUIRE(seen.insert(hash(text)).second);
    for (std::size_t i = 0; i < size; ++i) {
      text[i] = 'y';
      REQUIRE(seen.insert(hash(text)).second);
      text[i] = 'x';
    }
  }
  REQUIRE(hash(std::string_view{"a"}) == keyed_hash{42}(std::string_view{"a"}));
  REQUIRE(hash(std::string_view{"a"}) != keyed_hash{43}(std::string_view{"a"}));
}
