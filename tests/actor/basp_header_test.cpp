#include "net/cluster/basp_header.hpp"
#include "tests/catch.hpp"

#include <caf/all.hpp>
#include <caf/binary_serializer.hpp>

using namespace ropewalk;

namespace {

std::vector<char> as_caf_writes_it(caf::io::basp::header header) {
  std::vector<char> result;
  caf::binary_serializer sink{nullptr, result};
  REQUIRE_FALSE(sink(header));
  return result;
}

} // namespace

TEST_CASE("the fields of a BASP header are where CAF writes them") {
  using caf::io::basp::message_type;
  const auto written =
      as_caf_writes_it({message_type::direct_message, 0x81, 0x01020304, 0x1112131415161718,
                        0x2122232425262728, 0x3132333435363738});
  REQUIRE(written.size() == basp_header::bytes);
  REQUIRE(written[basp_header::operation_at] == static_cast<char>(message_type::direct_message));
  REQUIRE(basp_header::flags(written.data()) == 0x81);
  REQUIRE(basp_header::payload_bytes(written.data()) == 0x01020304);
  REQUIRE(basp_header::operation_data(written.data()) == 0x1112131415161718);
  REQUIRE(basp_header::to(written.data()) == 0x3132333435363738);
}

TEST_CASE("the header of a compact frame is one that CAF could have written") {
  std::vector<char> ours(basp_header::bytes);
  basp_header::write_compact(ours.data(), {7, 9}, basp_header::in_ring_flag, 8);
  REQUIRE(ours ==
          as_caf_writes_it({caf::io::basp::message_type::direct_message,
                            basp_header::compact_flag | basp_header::in_ring_flag, 8, 7, 0, 9}));
}
