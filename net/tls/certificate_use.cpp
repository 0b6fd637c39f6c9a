#include "net/tls/certificate_use.hpp"

#include <algorithm>
#include <array>
#include <openssl/x509.h>

namespace ropewalk {

namespace {

constexpr std::array roles{certificate_use::broker, certificate_use::worker,
                           certificate_use::client};

// In UTF-8, however it is encoded there.
std::string text_of(const X509_NAME_ENTRY* entry) {
  unsigned char* bytes = nullptr;
  const int size = ::ASN1_STRING_to_UTF8(&bytes, ::X509_NAME_ENTRY_get_data(entry));
  if (size < 0) return {};
  std::string result{reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)};
  ::OPENSSL_free(bytes);
  return result;
}

// The first entry of this kind for which `holds`; empty: there is none.
template <class F>
std::string find_entry(const X509_NAME* in, int kind, F&& holds) {
  for (int at = ::X509_NAME_get_index_by_NID(in, kind, -1); at >= 0;
       at = ::X509_NAME_get_index_by_NID(in, kind, at))
    if (auto text = text_of(::X509_NAME_get_entry(in, at)); holds(text)) return text;
  return {};
}

std::string first_entry(const X509_NAME* in, int kind) {
  return find_entry(in, kind, [](const std::string&) { return true; });
}

certificate_use use_named(std::string_view unit) {
  const auto found = std::find_if(roles.begin(), roles.end(),
                                  [&](certificate_use use) { return unit_of(use) == unit; });
  return found == roles.end() ? certificate_use::none : *found;
}

} // namespace

std::string_view unit_of(certificate_use use) {
  switch (use) {
  case certificate_use::broker:
    return "Ropewalk broker";
  case certificate_use::worker:
    return "Ropewalk worker";
  case certificate_use::client:
    return "Ropewalk client";
  case certificate_use::none:
    break;
  }
  return {};
}

std::string_view name_of(certificate_use use) {
  constexpr std::string_view before_it = "Ropewalk ";
  const auto unit = unit_of(use);
  return unit.empty() ? "nobody" : unit.substr(before_it.size());
}

certificate_use use_of(const X509& certificate) {
  return use_named(
      find_entry(::X509_get_subject_name(&certificate), NID_organizationalUnitName,
                 [](const std::string& unit) { return use_named(unit) != certificate_use::none; }));
}

bool is_from_certs(const X509& certificate) {
  return first_entry(::X509_get_issuer_name(&certificate), NID_commonName) == authority_name;
}

std::string common_name_of(const X509& certificate) {
  constexpr std::size_t longest = 128;
  auto name = first_entry(::X509_get_subject_name(&certificate), NID_commonName);
  name.resize(std::min(name.size(), longest));
  for (auto& c : name)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return name;
}

certificate_rule::verdict certificate_rule::judge(const X509& certificate) const {
  if (use == certificate_use::none) return verdict::right;
  const auto found = use_of(certificate);
  if (found == use) return verdict::right;
  if (found != certificate_use::none) return verdict::other_use;
  if (is_from_certs(certificate)) return verdict::too_old;
  return foreign_too ? verdict::right : verdict::no_use;
}

namespace {

std::string why_too_old(std::string_view what) {
  return std::string{what} +
         " does not say what it is for: it was made by an older ropewalk; make new ones with "
         "`ropewalk certs`";
}

failure refused(std::string why) {
  return {failure_kind::refused, std::move(why), {}};
}

failure bad_input(std::string why) {
  return {failure_kind::bad_input, std::move(why), {}};
}

const char* what_it_may(certificate_use use) {
  switch (use) {
  case certificate_use::broker:
    return "serve";
  case certificate_use::worker:
    return "join";
  case certificate_use::client:
  case certificate_use::none:
    break;
  }
  return "ask";
}

} // namespace

result<void> certificate_rule::check_peer(const X509& certificate) const {
  const auto name = common_name_of(certificate);
  const std::string wanted{name_of(use)};
  switch (judge(certificate)) {
  case verdict::right:
    break;
  case verdict::other_use:
    return refused("the peer showed a " + std::string{name_of(use_of(certificate))} +
                   "'s certificate (" + name + "); only a " + wanted + "'s may " +
                   what_it_may(use));
  case verdict::no_use:
    return refused("the peer's certificate (" + name +
                   ") does not say what it is for: it must have OU = " + std::string{unit_of(use)} +
                   " in its subject");
  case verdict::too_old:
    return refused(why_too_old("the peer's certificate (" + name + ")") + " and copy them to the " +
                   wanted + (use == certificate_use::broker ? "" : "s"));
  }
  return {};
}

result<void> certificate_rule::check_own(const std::string& file, const X509& certificate) const {
  const std::string wanted{name_of(use)};
  switch (judge(certificate)) {
  case verdict::right:
    break;
  case verdict::other_use:
    return bad_input(file + " is a " + std::string{name_of(use_of(certificate))} +
                     "'s certificate; a " + wanted + " needs a " + wanted +
                     "'s: `ropewalk certs` makes it in certs/" +
                     (use == certificate_use::client ? "clients/NAME" : wanted));
  case verdict::no_use:
    return bad_input(file + " does not say what it is for: a " + wanted +
                     "'s certificate must have OU = " + std::string{unit_of(use)} +
                     " in its subject");
  case verdict::too_old:
    return bad_input(why_too_old(file));
  }
  return {};
}

} // namespace ropewalk
