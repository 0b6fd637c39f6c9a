#include "actors/admin/http_problem.hpp"

#include "net/http/http_response.hpp"

#include <nlohmann/json.hpp>

namespace ropewalk {

int http_status_of(error_code code) {
  switch (code) {
  case error_code::ok:
    return 200;
  case error_code::failed:
    return 422;
  case error_code::timeout:
    return 504;
  case error_code::busy:
    return 429;
  case error_code::no_service:
    return 404;
  case error_code::too_large:
    return 413;
  case error_code::worker_lost:
    return 502;
  case error_code::bad_request:
    return 400;
  case error_code::unauthorized:
    return 403; // who is not known at all gets 401
  case error_code::draining:
    return 503;
  case error_code::cancelled:
    return 409;
  case error_code::connection_lost:
    break;
  }
  return 500;
}

std::string http_problem(int status, std::string_view code, std::string_view detail) {
  nlohmann::json result{{"type", "about:blank"},
                        {"title", http_reason(status)},
                        {"status", status},
                        {"detail", detail}};
  if (!code.empty()) result["code"] = code;
  // A handler may say what it likes: what is not UTF-8 in it must not stop the answer.
  return result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

} // namespace ropewalk
