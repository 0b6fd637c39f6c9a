#include "actors/broker/certificate_watch.hpp"

#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

void add(std::vector<certificate_report>& to, const char* port, const tls_context* context) {
  if (!context) return;
  const auto now = seconds_now();
  for (const auto& dates : context->certificates()) {
    certificate_report one;
    one.port = port;
    one.name = dates.name;
    one.state = name_of(state_of(dates, now));
    one.not_before = utc_text(dates.from);
    one.not_after = utc_text(dates.until);
    one.ends_in_seconds = static_cast<double>(dates.until) - static_cast<double>(now);
    to.push_back(std::move(one));
  }
}

} // namespace

std::vector<certificate_report> report_certificates(const tls_context* clients,
                                                    const tls_context* cluster) {
  std::vector<certificate_report> result;
  add(result, "client", clients);
  add(result, "cluster", cluster);
  return result;
}

void warn_of_certificates(const tls_context* context) {
  if (!context) return;
  for (const auto& dates : context->certificates())
    if (const auto warning = warning_of(dates, seconds_now()); !warning.empty())
      spdlog::warn("{}", warning);
}

} // namespace ropewalk
