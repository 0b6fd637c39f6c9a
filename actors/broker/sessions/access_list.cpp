#include "actors/broker/sessions/access_list.hpp"

#include "net/protocol/limits.hpp"

#include <algorithm>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sstream>
#include <utility>

namespace ropewalk {

namespace {

constexpr std::string_view may_see_word = "@status";
constexpr std::string_view may_act_word = "@admin";
constexpr std::string_view hash_prefix = "sha256:";
constexpr std::string_view hex_digits = "0123456789abcdef";

access::digest hash_of(std::string_view token) {
  access::digest result{};
  unsigned int size = 0;
  ::EVP_Digest(token.data(), token.size(), result.data(), &size, ::EVP_sha256(), nullptr);
  return result;
}

std::string hex(const access::digest& bytes) {
  std::string result;
  for (const auto byte : bytes) {
    result += hex_digits[byte >> 4];
    result += hex_digits[byte & 15];
  }
  return result;
}

std::optional<access::digest> from_hex(std::string_view text) {
  access::digest result{};
  if (text.size() != 2 * result.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = hex_digits.find(text[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    result[i / 2] = static_cast<unsigned char>(result[i / 2] << 4 | digit);
  }
  return result;
}

failure wrong(std::string what) {
  return {failure_kind::bad_input, std::move(what), {}};
}

result<access> read_line(const std::string& line) {
  access into;
  std::istringstream words{line};
  std::string secret;
  std::string services;
  std::string more;
  words >> into.name >> secret >> services;
  if (services.empty() || words >> more) return wrong("wants three words: NAME SECRET SERVICES");
  if (secret.starts_with(hash_prefix)) {
    into.token = from_hex(std::string_view{secret}.substr(hash_prefix.size()));
    if (!into.token) return wrong("wants 64 hexadecimal digits (0-9, a-f) behind sha256:");
  } else if (secret != "certificate") {
    return wrong(
        "the second word must be sha256:HEX or certificate; `ropewalk token` makes a line");
  }
  std::istringstream names{services};
  for (std::string name; std::getline(names, name, ',');) {
    if (name.empty() || name.size() > limits::max_service_bytes)
      return wrong("a service's name has 1 to 128 bytes");
    if (name == "*")
      into.all_services = into.may_see = true;
    else if (name == may_see_word)
      into.may_see = true;
    else if (name == may_act_word)
      into.may_act = true;
    else
      into.services.insert(name);
  }
  return into;
}

} // namespace

result<access_list> access_list::parse(std::string_view text) {
  access_list list;
  std::istringstream lines{std::string{text}};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos || line.front() == '#') continue;
    const auto at = "line " + std::to_string(number) + ": ";
    auto entry = read_line(line);
    if (!entry) return wrong(at + entry.why().what);
    const bool known = std::any_of(list.entries_.begin(), list.entries_.end(),
                                   [&](const access& a) { return a.name == entry->name; });
    if (known) return wrong(at + "the name " + entry->name + " is taken");
    list.entries_.push_back(*std::move(entry));
  }
  return list;
}

const access* access_list::by_token(std::string_view token) const {
  const auto given = hash_of(token);
  const access* found = nullptr;
  for (const auto& entry : entries_) {
    // A digest that none has stands in for entries without one: all cost the same.
    static constexpr access::digest none{};
    const auto& wanted = entry.token ? *entry.token : none;
    if (::CRYPTO_memcmp(wanted.data(), given.data(), given.size()) == 0 && entry.token)
      found = &entry;
  }
  return found;
}

const access* access_list::by_certificate(std::string_view common_name) const {
  for (const auto& entry : entries_)
    if (!entry.token && !common_name.empty() && entry.name == common_name) return &entry;
  return nullptr;
}

const access* access_list::same_as(const access& earlier) const {
  for (const auto& entry : entries_)
    if (entry.name == earlier.name && entry.token == earlier.token) return &entry;
  return nullptr;
}

result<new_token> make_token() {
  std::array<unsigned char, 32> random{};
  if (::RAND_bytes(random.data(), random.size()) != 1)
    return failure{
        failure_kind::exhausted, "there are no random numbers to be had for a token", {}};
  std::array<unsigned char, 48> text{};
  const int size = ::EVP_EncodeBlock(text.data(), random.data(), random.size());
  std::string token{text.begin(), text.begin() + size};
  for (auto& c : token) c = c == '+' ? '-' : c == '/' ? '_' : c;
  while (token.ends_with('=')) token.pop_back();
  return new_token{token, std::string{hash_prefix} + hex(hash_of(token))};
}

} // namespace ropewalk
