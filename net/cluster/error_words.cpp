#include "net/cluster/error_words.hpp"

#include <caf/all.hpp>

namespace ropewalk {

namespace {

std::string words_of_number(const caf::error& error) {
  if (error == caf::exit_reason::remote_link_unreachable) return "connection lost";
  if (error == caf::exit_reason::kill) return "it was ended";
  if (error.category() == caf::atom("exit")) return "it has ended";
  if (error == caf::sec::request_timeout) return "no answer in time";
  if (error == caf::sec::malformed_basp_message)
    return "the other side says what this release does not understand; run the same release on "
           "both";
  if (error == caf::sec::disconnect_during_handshake || error == caf::sec::cannot_connect_to_node)
    return "the connection ended before it was made";
  if (error == caf::sec::request_receiver_down) return "connection lost";
  if (error == caf::sec::no_actor_published_at_port) return "the broker is starting, or going down";
  if (error == caf::sec::cannot_open_port) return "the port cannot be opened";
  return "an error within (" + caf::to_string(error) + "); please report it";
}

} // namespace

std::string words_of(const caf::error& error) {
  if (!error) return "it has ended";
  if (const auto& said = error.context(); said.match_elements<std::string>())
    return said.get_as<std::string>(0);
  return words_of_number(error);
}

} // namespace ropewalk
