#pragma once

#include "net/protocol/result.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

/// Somebody who may use the broker, and for what.
struct access {
  using digest = std::array<unsigned char, 32>;

  std::string name;
  std::optional<digest> token; ///< SHA-256 of the token; none: known by the certificate's name
  bool all_services = false;
  bool may_see = false; ///< what all ask for, and how it goes: the numbers of the broker
  bool may_act =
      false; ///< drain nodes, pause services, and whatever else changes the broker's work
  std::set<std::string, std::less<>> services;

  [[nodiscard]] bool may_ask(std::string_view service) const {
    return all_services || services.contains(service);
  }
};

/// Who may use the broker: a text file, a line each of
///
///     NAME  sha256:HEX   SERVICE,SERVICE,...      who sends the token with this hash
///     NAME  certificate  *                        whose certificate has this common name
///
/// The services are what somebody may ask for; who may ask for all (*) may see all numbers as well,
/// and so may who has @status among his, which is no service: for who only looks, that alone. What
/// may be done is another right, which nobody has who is not given it: @admin. (*,@admin: everything.)
///
/// Tokens are random (`ropewalk token` makes them), so a plain hash of them cannot be guessed; the
/// file itself holds no secret. Blank lines and what follows a # at the beginning of a line are
/// skipped.
class access_list {
public:
  /// The failure says what is wrong with the text, and begins with the line's number.
  static result<access_list> parse(std::string_view text);

  /// Takes the same time whichever entry it is, and if there is none.
  [[nodiscard]] const access* by_token(std::string_view token) const;
  [[nodiscard]] const access* by_certificate(std::string_view common_name) const;

  /// The entry that says the same of the same person's secret; null if there is none any more.
  [[nodiscard]] const access* same_as(const access& earlier) const;

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

private:
  std::vector<access> entries_;
};

/// A new token, 43 characters of 256 random bits, and the second word of its line in the file.
struct new_token {
  std::string token;
  std::string secret;
};
result<new_token> make_token();

} // namespace ropewalk
