#include "apps/ropewalk/broker_answer.hpp"

#include "apps/ropewalk/exit_status.hpp"

namespace ropewalk {

namespace {

using namespace exit_status;

constexpr std::chrono::seconds answer_timeout{5};

} // namespace

broker_answer ask_broker(const connection_options& options, std::string_view about) {
  auto connected = connect(options);
  if (!connected)
    return {connected.why().kind == failure_kind::refused ? answered_with_error : no_broker,
            connected.why().text(),
            {}};
  auto& c = *connected;
  c.send_status(about);
  const auto answer = c.wait(answer_timeout);
  if (!answer) {
    if (c.refused()) return {answered_with_error, c.why_closed(), {}};
    return {no_broker,
            "no answer from " + options.broker + " within 5 s" +
                (c.closed() ? ": " + c.why_closed() : std::string{}),
            {}};
  }
  if (answer->code == error_code::ok) return {0, {}, std::string{answer->payload.view()}};
  auto why = std::string{name_of(answer->code)} + ": " + std::string{answer->payload.view()};
  if (answer->code == error_code::unauthorized && options.token_file.empty())
    why += " (--token-file FILE, of `ropewalk token`)";
  return {answered_with_error, std::move(why), {}};
}

} // namespace ropewalk
