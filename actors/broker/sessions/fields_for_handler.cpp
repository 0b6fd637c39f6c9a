#include "actors/broker/sessions/fields_for_handler.hpp"

#include "net/protocol/frame.hpp"
#include "net/protocol/trace_context.hpp"

namespace ropewalk {

handler_fields fields_for_handler(const handler_facts& what) {
  constexpr std::size_t max_bytes = 255; // of a field
  handler_fields result;
  field_writer fields;
  if (!what.key.empty()) fields.text(field::key, what.key);
  if (!what.trace.empty()) fields.text(field::trace, what.trace);
  if (!what.client.empty()) fields.text(field::client, what.client.substr(0, max_bytes));
  result.bytes = shared_bytes::copy_of(fields.bytes());
  if (const auto context = read_traceparent(what.trace)) {
    result.trace_tag = tag_of(context->trace);
    result.sampled = context->sampled();
  }
  return result;
}

} // namespace ropewalk
