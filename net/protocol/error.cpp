#include "net/protocol/error.hpp"

namespace ropewalk {

std::string_view name_of(error_code code) {
  switch (code) {
  case error_code::ok:
    return "OK";
  case error_code::failed:
    return "FAILED";
  case error_code::timeout:
    return "TIMEOUT";
  case error_code::busy:
    return "BUSY";
  case error_code::no_service:
    return "NO_SERVICE";
  case error_code::too_large:
    return "TOO_LARGE";
  case error_code::worker_lost:
    return "WORKER_LOST";
  case error_code::bad_request:
    return "BAD_REQUEST";
  case error_code::unauthorized:
    return "UNAUTHORIZED";
  case error_code::draining:
    return "DRAINING";
  case error_code::cancelled:
    return "CANCELLED";
  case error_code::connection_lost:
    return "CONNECTION_LOST";
  }
  return "UNKNOWN";
}

std::string_view sentence_of(error_code code) {
  switch (code) {
  case error_code::ok:
    return "answered";
  case error_code::failed:
    return "the handler failed; its message says why";
  case error_code::timeout:
    return "the deadline passed before there was an answer; give more time or add workers";
  case error_code::busy:
    return "the broker holds all the work it may; send again later or add workers";
  case error_code::no_service:
    return "no worker has offered this service; check its name, or start one with --service "
           "NAME=HANDLER";
  case error_code::too_large:
    return "the message is over the cap; split it, or raise --max-message-bytes";
  case error_code::worker_lost:
    return "every worker that ran this message died; the message may be what kills it";
  case error_code::bad_request:
    return "the request makes no sense; see net/PROTOCOL.md";
  case error_code::unauthorized:
    return "not allowed; check the token and its services";
  case error_code::draining:
    return "the broker is going down; send it to another, or again when it is back";
  case error_code::cancelled:
    return "the request was taken back";
  case error_code::connection_lost:
    return "the connection to the broker ended before there was an answer; it may have run";
  }
  return "an error that this version does not know; update it";
}

} // namespace ropewalk
