#include "net/protocol/trace_context.hpp"
#include "tests/catch.hpp"

using namespace ropewalk;

TEST_CASE("a traceparent is read as the W3C recommendation has it, and written as it was") {
  const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const auto context = read_traceparent(good);
  REQUIRE(context);
  CHECK(context->text() == good);
  CHECK(context->sampled());
  CHECK(hex_of(context->trace) == "4bf92f3577b34da6a3ce929d0e0e4736");
  CHECK(hex_of(context->parent) == "00f067aa0ba902b7");
  CHECK(tag_of(context->trace) == (0x4bf92f3577b34da6 ^ 0xa3ce929d0e0e4736));
  CHECK_FALSE(
      read_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")->sampled());
  // A later version may have more, and its flags mean what they mean today.
  const auto later = read_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-x");
  REQUIRE(later);
  CHECK(later->sampled());
  CHECK(read_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
}

TEST_CASE("what is no traceparent is none") {
  for (const std::string_view wrong :
       {"", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",   // 00 has nothing more
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",   //
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x",  // no dash
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",    // the version that is none
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",    // no trace
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",    // no parent
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",    // capitals
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",    // no digit
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",    //
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",    //
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",    //
        "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}) { // no version
    INFO(wrong);
    CHECK_FALSE(read_traceparent(wrong));
  }
  CHECK(read_trace_id("4bf92f3577b34da6a3ce929d0e0e4736"));
  CHECK_FALSE(read_trace_id("4bf92f3577b34da6a3ce929d0e0e47"));
  CHECK_FALSE(read_trace_id("00000000000000000000000000000000"));
}
