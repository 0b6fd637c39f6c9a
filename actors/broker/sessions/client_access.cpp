#include "actors/broker/sessions/client_access.hpp"

#include "actors/settings/read_file.hpp"
#include "net/protocol/limits.hpp"

#include <netinet/in.h>
#include <utility>

namespace ropewalk {

client_access::client_access(client_access_settings settings) : settings_(std::move(settings)) {}

std::string client_access::address_of(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET) {
    const auto& address = reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
    return {reinterpret_cast<const char*>(&address), sizeof address};
  }
  const auto& address = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address)) // an IPv4 client of a socket that takes both
    return {reinterpret_cast<const char*>(&address) + 12, 4};
  return {reinterpret_cast<const char*>(&address), 8};
}

result<void> client_access::load() {
  std::shared_ptr<const tls_context> context;
  std::shared_ptr<const access_list> list;
  if (!settings_.certificate.empty()) {
    auto made = tls_context::for_server({settings_.certificate, settings_.key, settings_.authority},
                                        roles::broker_to_clients);
    if (!made) return std::move(made).why();
    context = *std::move(made);
  }
  if (!settings_.access_file.empty()) {
    const auto text = read_file(settings_.access_file, limits::max_text_file_bytes);
    if (!text) return text.why();
    auto parsed = access_list::parse(*text);
    if (!parsed)
      return failure{parsed.why().kind, settings_.access_file + ", " + parsed.why().what, {}};
    list = std::make_shared<access_list>(*std::move(parsed));
  }
  context_ = std::move(context);
  list_ = std::move(list);
  return {};
}

std::unique_ptr<stream> client_access::speak(int fd) const {
  return context_ ? context_->accept(fd) : make_plain_stream(fd);
}

} // namespace ropewalk
