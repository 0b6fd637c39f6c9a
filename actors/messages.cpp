#include "actors/messages.hpp"

#include "net/protocol/limits.hpp"

namespace ropewalk {

caf::error inspect(caf::serializer& sink, batch& x) {
  auto bytes = static_cast<std::uint32_t>(x.size());
  if (auto error = sink(bytes)) return error;
  for (const auto& piece : x.pieces)
    if (auto error = sink.apply_raw(piece.size(), const_cast<char*>(piece.view().data())))
      return error;
  return caf::none;
}

caf::error inspect(caf::deserializer& source, batch& x) {
  std::uint32_t bytes = 0;
  if (auto error = source(bytes)) return error;
  if (bytes > limits::max_basp_bytes) return caf::sec::invalid_argument;
  x.pieces.clear();
  if (bytes == 0) return caf::none;
  if (auto* direct = dynamic_cast<caf::binary_deserializer*>(&source);
      direct && direct->remaining() < bytes)
    return caf::sec::end_of_stream; // what is not there is not made room for
  fresh_bytes memory{bytes};
  if (auto error = source.apply_raw(bytes, memory.data())) return error;
  x.pieces.push_back(std::move(memory).share(bytes));
  return caf::none;
}

} // namespace ropewalk
