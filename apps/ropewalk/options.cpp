#include "apps/ropewalk/options.hpp"

#include <charconv>
#include <cmath>

namespace ropewalk {

namespace {

std::string help(const limit& which) {
  return std::string{which.reason} + " (" + std::string{which.unit} + ", standard " +
         std::to_string(which.standard) + ")";
}

} // namespace

CLI::Option* add_limit(CLI::App& app, const limit& which, std::uint64_t& value) {
  value = which.standard;
  return app.add_option("--" + std::string{which.option}, value, help(which))
      ->check(CLI::Range(which.least, which.most))
      ->group("Limits");
}

CLI::Option* add_limit(CLI::App& app, const limit& which, std::chrono::milliseconds& value) {
  value = std::chrono::milliseconds{which.standard};
  return app
      .add_option_function<std::uint64_t>(
          "--" + std::string{which.option},
          [&value](std::uint64_t ms) { value = std::chrono::milliseconds{ms}; }, help(which))
      ->check(CLI::Range(which.least, which.most))
      ->group("Limits");
}

CLI::Validator is_endpoint() {
  return CLI::Validator{[](std::string& text) {
                          return parse_endpoint(text)
                                     ? std::string{}
                                     : "'" + text + "' is no HOST:PORT, such as 127.0.0.1:7070";
                        },
                        "HOST:PORT"};
}

std::chrono::milliseconds parse_duration(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit{end, text.data() + text.size()};
  const double ms = unit == "ms"                  ? 1
                    : unit.empty() || unit == "s" ? 1000
                    : unit == "m"                 ? 60'000
                                                  : -1;
  if (error != std::errc{} || ms < 0 || number * ms < 1 || number * ms > 86'400'000)
    throw CLI::ValidationError{"'" + text +
                               "' is no duration; write 250ms, 5s, 2m or seconds such as 0.5"};
  return std::chrono::milliseconds{std::llround(number * ms)};
}

CLI::Validator is_duration() {
  return CLI::Validator{[](std::string& text) {
                          try {
                            parse_duration(text);
                            return std::string{};
                          } catch (const CLI::ValidationError& error) {
                            return std::string{error.what()};
                          }
                        },
                        "DURATION"};
}

} // namespace ropewalk
