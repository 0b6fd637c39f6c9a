#pragma once

#include "actors/stats/broker_report.hpp"
#include "net/tls/tls.hpp"

#include <vector>

/// What a broker says of the certificates that it uses and that are not good, or not for long.
namespace ropewalk {

/// Of both ports, for the status; null: it speaks plainly.
std::vector<certificate_report> report_certificates(const tls_context* clients,
                                                    const tls_context* cluster);

/// A warning in the log for each that is not good for another 30 days.
void warn_of_certificates(const tls_context* context);

} // namespace ropewalk
