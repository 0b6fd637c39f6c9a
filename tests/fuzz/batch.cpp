// Batches between broker and node, both directions: whatever comes is taken apart within its
// bounds.
#include "net/protocol/batch.hpp"

#include <cstdint>
#include <cstdlib>

using namespace ropewalk;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = shared_bytes::copy_of({reinterpret_cast<const char*>(data), size});
  std::size_t work_bytes = 0;
  batch_reader work{bytes};
  while (const auto* item = work.next_work()) {
    work_bytes += item_header_bytes + item->payload.size();
    if (item->has_fields() &&
        2 + item->fields().size() + item->message().size() != item->payload.size())
      std::abort();
  }
  if (work_bytes > size || (!work.malformed() && work_bytes != size)) std::abort();
  batch_reader answers{bytes};
  while (const auto* item = answers.next_answer())
    if (item->end > item_end::failed || static_cast<int>(item->code) >= error_codes) std::abort();
  return 0;
}
