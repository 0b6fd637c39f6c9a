#include "net/protocol/result.hpp"
#include "tests/catch.hpp"

#include <memory>
#include <type_traits>

using namespace ropewalk;

namespace {

result<std::unique_ptr<int>> make(bool well) {
  if (!well) return failure{failure_kind::exhausted, "there is no number", "free one"};
  return std::make_unique<int>(7);
}

result<void> check(int number) {
  if (number < 0) return failure{failure_kind::bad_input, "a number is below zero", {}};
  return {};
}

} // namespace

TEST_CASE("a result is a value, which is taken out of it, or a failure that says why") {
  auto made = make(true);
  REQUIRE(made);
  REQUIRE(**made == 7);
  const std::unique_ptr<int> taken = *std::move(made);
  REQUIRE(*taken == 7);

  const auto not_made = make(false);
  REQUIRE_FALSE(not_made);
  REQUIRE(not_made.why().kind == failure_kind::exhausted);
  REQUIRE(not_made.why().text() == "there is no number; free one");
}

TEST_CASE("a result of nothing says only whether it was done") {
  REQUIRE(check(1));
  const auto refused = check(-1);
  REQUIRE_FALSE(refused);
  REQUIRE(refused.why().text() == "a number is below zero");
}

TEST_CASE("who takes what is not there has made a mistake, and hears of it") {
  REQUIRE_THROWS_AS(make(false).value(), std::bad_variant_access);
  REQUIRE_THROWS_AS(make(true).why(), std::bad_variant_access);
  REQUIRE_THROWS_AS(check(1).why(), std::bad_optional_access);
}

TEST_CASE("a failure is handed on without a copy, and a result of a text is no failure by itself") {
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<failure>);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<result<std::unique_ptr<int>>>);
  auto outer = []() -> result<std::string> {
    auto inner = make(false);
    if (!inner) return std::move(inner).why();
    return std::to_string(**inner);
  }();
  REQUIRE(outer.why().what == "there is no number");
  REQUIRE(result<std::string>{std::string{}}); // an empty text is a value as good as any
}
