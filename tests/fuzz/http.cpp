// HTTP: the same bytes must say the same however they are split, no more than the caps may be held,
// and what is asked for is taken apart without harm. The first byte chooses how they are split.
#include "actors/admin/http_guard.hpp"
#include "actors/admin/http_headers.hpp"
#include "actors/admin/http_routes.hpp"
#include "net/http/http_decoder.hpp"
#include "net/http/http_limits.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

using namespace ropewalk;

namespace {

constexpr std::size_t cap = 2000;

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

std::string describe(const http_event& event) {
  if (const auto* r = std::get_if<http_request>(&event)) {
    must(r->body.size() <= cap, "no body is over the cap");
    const auto place = place_of(r->target);
    must(place.service.size() <= limits::max_service_bytes, "a service's name has its limit");
    (void)http_guard{"localhost", true}.check(r->field(http_field::host),
                                              r->field(http_field::origin),
                                              r->field(http_field::sec_fetch_site));
    (void)read_http_options(*r);
    (void)bearer_token(r->field(http_field::authorization));
    return "request " + r->method + " " + r->target + " " + std::string{r->body.view()} +
           (r->keep_alive ? "\n" : " last\n");
  }
  if (const auto* h = std::get_if<http_head>(&event)) return "head " + h->request.target + "\n";
  return "refused " + std::to_string(std::get<http_refusal>(event).status) + "\n";
}

std::string decode(std::string_view bytes, std::size_t piece) {
  http_decoder d{cap};
  std::string said;
  while (!bytes.empty()) {
    const std::string part{bytes.substr(0, piece)};
    bytes.remove_prefix(part.size());
    d.feed(part);
    while (const auto* event = d.next()) said += describe(*event);
    must(d.held_bytes() <= cap + 2 * limits::max_http_head_bytes + piece,
         "what is held is bounded");
  }
  return said;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::size_t piece = 1 + data[0] % 64;
  const std::string_view bytes{reinterpret_cast<const char*>(data) + 1, size - 1};
  must(decode(bytes, bytes.size() + 1) == decode(bytes, piece), "splitting changes nothing");
  return 0;
}
