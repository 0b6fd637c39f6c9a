#include "net/cluster/compact_basp.hpp"

#include "net/bytes/byte_order.hpp"

#include <caf/all.hpp>
#include <caf/io/middleman.hpp>

namespace ropewalk {

namespace {

// Where things are in a serialised BASP header (caf/io/basp/header.hpp).
constexpr std::size_t flags_at = 3;
constexpr std::size_t bytes_at = 4;
constexpr std::size_t form_at = 8;
constexpr std::size_t actor_at = 24;

} // namespace

compact_basp& compact_basp::of(caf::actor_system& system) {
  const auto basp = system.middleman().named_broker<compact_basp>(caf::atom("BASP"));
  return static_cast<compact_basp&>(*caf::actor_cast<caf::abstract_actor*>(basp));
}

caf::behavior compact_basp::make_behavior() {
  plainly_ = basp_broker::make_behavior();
  return caf::message_handler{[this](caf::forward_atom, caf::strong_actor_ptr&,
                                     const std::vector<caf::strong_actor_ptr>& stages,
                                     caf::strong_actor_ptr& to, caf::message_id id,
                                     const caf::message& what) {
           if (stages.empty() && id.is_async() && ship(to, what)) return;
           plainly_(current_mailbox_element()->content());
         }}
      .or_else(plainly_);
}

bool compact_basp::ship(const caf::strong_actor_ptr& to, const caf::message& what) {
  const auto form = std::find_if(forms_.begin(), forms_.end(),
                                 [&what](const auto& one) { return one->fits(what); });
  if (form == forms_.end() || !to) return false;
  const auto route = instance.tbl().lookup(to->node());
  if (!route || route->next_hop != to->node()) return false;
  auto& buffer = get_buffer(route->hdl);
  const auto at = buffer.size();
  buffer.resize(at + caf::io::basp::header_size);
  caf::binary_serializer sink{context(), buffer};
  if ((*form)->write(what, sink)) {
    buffer.resize(at);
    return false;
  }
  char* const header = buffer.data() + at;
  header[0] = static_cast<char>(caf::io::basp::message_type::direct_message);
  header[flags_at] = static_cast<char>(flag);
  const auto bytes = buffer.size() - at - caf::io::basp::header_size;
  store_be(header + bytes_at, static_cast<std::uint32_t>(bytes));
  store_be(header + form_at, static_cast<std::uint64_t>(form - forms_.begin()));
  store_be(header + actor_at, static_cast<std::uint64_t>(to->id()));
  flush(route->hdl);
  return true;
}

bool compact_basp::take(caf::io::connection_handle from, const std::vector<char>& header,
                        std::string_view payload) {
  if (!instance.tbl().lookup_direct(from)) return false;
  const auto form = load_be<std::uint64_t>(header.data() + form_at);
  if (form >= forms_.size()) return false;
  caf::binary_deserializer source{&abstract_broker::backend(), payload.data(), payload.size()};
  auto what = forms_[form]->read(source);
  if (!what) return false;
  // Whoever is not there any more is told nothing, as BASP has it.
  if (const auto to = system().registry().get(load_be<std::uint64_t>(header.data() + actor_at)))
    to->enqueue(std::move(what), &abstract_broker::backend());
  return true;
}

void compact_basp::heard_from(caf::io::connection_handle whom) {
  if (const auto found = ctx.find(whom); found != ctx.end())
    found->second.last_seen = clock().now();
}

} // namespace ropewalk
