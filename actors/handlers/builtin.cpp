#include "actors/handlers/builtin.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <map>
#include <openssl/evp.h>
#include <stdexcept>
#include <thread>

namespace ropewalk {

namespace {

outcome echo(invocation& what) {
  return {error_code::ok, std::move(what.payload)};
}

outcome upper(invocation& what) {
  std::string text{what.payload.view()};
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return {error_code::ok, shared_bytes::copy_of(text)};
}

outcome sha256(invocation& what) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(what.payload.view().data(), what.payload.size(), digest.data(), &size,
                 EVP_sha256(), nullptr) != 1)
    return failed("SHA-256 is not to be had from this OpenSSL");
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text.push_back(digits[digest[i] >> 4]);
    text.push_back(digits[digest[i] & 15]);
  }
  return {error_code::ok, shared_bytes::copy_of(text)};
}

outcome sleep(invocation& what) {
  const auto text = what.payload.view();
  unsigned milliseconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
  if (error != std::errc{} || end != text.data() + text.size())
    return failed("builtin:sleep wants a number of milliseconds, such as 250");
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{milliseconds};
  for (;;) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= left.zero()) return {error_code::ok, what.payload};
    if (what.stop && what.stop->load()) return {error_code::cancelled, {}};
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(left, std::chrono::milliseconds{10}));
  }
}

outcome fail(invocation& what) {
  return {error_code::failed, what.payload};
}

outcome crash(invocation& what) {
  if (what.payload.view() == "process") std::raise(SIGABRT);
  throw std::runtime_error("builtin:crash was told to");
}

using function = outcome (*)(invocation&);

const std::map<std::string, function>& functions() {
  static const std::map<std::string, function> all{{"echo", echo},     {"upper", upper},
                                                   {"sha256", sha256}, {"sleep", sleep},
                                                   {"fail", fail},     {"crash", crash}};
  return all;
}

class builtin final : public handler {
public:
  explicit builtin(function f) : function_(f) {}
  outcome run(invocation& what) override { return function_(what); }

private:
  function function_;
};

std::string names() {
  std::string result;
  for (const auto& [name, function] : functions()) result += (result.empty() ? "" : ", ") + name;
  return result;
}

} // namespace

result<handler_maker> parse_builtin(const std::string& name) {
  const auto found = functions().find(name);
  if (found == functions().end())
    return failure{failure_kind::bad_input,
                   "unknown handler 'builtin:" + name + "': there are " + names(),
                   {}};
  return handler_maker{
      [does = found->second](const handler_options&) { return std::make_unique<builtin>(does); }};
}

std::string builtin_usage() {
  return "builtin:NAME (" + names() + ")";
}

} // namespace ropewalk
