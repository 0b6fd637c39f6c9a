#include "net/cluster/compact_basp.hpp"

#include "net/cluster/basp_header.hpp"
#include "net/cluster/basp_scribe.hpp"
#include "net/cluster/checked_cast.hpp"

#include <caf/all.hpp>
#include <caf/io/middleman.hpp>

namespace ropewalk {

compact_basp& compact_basp::of(caf::actor_system& system) {
  const auto basp = system.middleman().named_broker<compact_basp>(caf::atom("BASP"));
  return checked_cast<compact_basp>(*caf::actor_cast<caf::abstract_actor*>(basp));
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
  auto connection = by_id(route->hdl);
  if (!connection) return false;
  checked_cast<basp_scribe>(*connection)
      .send({static_cast<std::uint64_t>(form - forms_.begin()), to->id()}, **form, what);
  return true;
}

bool compact_basp::take(caf::io::connection_handle from, const std::vector<char>& header,
                        receive_lease& payload) {
  if (!instance.tbl().lookup_direct(from)) return false;
  const auto form = basp_header::operation_data(header.data());
  if (form >= forms_.size()) return false;
  auto what = forms_[form]->read(payload);
  if (!what) return false;
  // Whoever is not there any more is told nothing, as BASP has it.
  if (const auto to = system().registry().get(basp_header::to(header.data())))
    to->enqueue(std::move(what), &abstract_broker::backend());
  return true;
}

bool compact_basp::knows(caf::io::connection_handle whom) {
  return static_cast<bool>(instance.tbl().lookup_direct(whom));
}

void compact_basp::heard_from(caf::io::connection_handle whom) {
  if (const auto found = ctx.find(whom); found != ctx.end())
    found->second.last_seen = clock().now();
}

} // namespace ropewalk
