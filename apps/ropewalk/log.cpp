#include "apps/ropewalk/log.hpp"

#include "actors/log/log_line.hpp"
#include "actors/log/log_writer.hpp"
#include "net/protocol/limits.hpp"

#include <memory>
#include <mutex>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace ropewalk {

namespace {

std::string_view view_of(const spdlog::string_view_t& text) {
  return {text.data(), text.size()};
}

// What spdlog hands out, as a line for the writer.
class writer_sink final : public spdlog::sinks::base_sink<std::mutex> {
public:
  writer_sink(std::string process, bool json)
      : process_(std::move(process)), json_(json), coloured_(::isatty(STDERR_FILENO) == 1),
        writer_(
            {STDERR_FILENO, limits::log_queue_bytes,
             [this](std::uint64_t lines, std::string_view why) { return missing(lines, why); }}) {}

  bool finish(std::chrono::milliseconds timeout) { return writer_.finish(timeout); }

protected:
  void sink_it_(const spdlog::details::log_msg& what) override { writer_.write(line_of(what)); }
  void flush_() override {} // the writer never rests while there is something

private:
  // Called by the writer's thread as well: what it uses does not change.
  [[nodiscard]] std::string line_of(const spdlog::details::log_msg& what) const {
    const auto said = split_fields(view_of(what.payload));
    if (json_)
      return json_of(said, what.time, view_of(spdlog::level::to_string_view(what.level)),
                     process_) +
             "\n";
    const auto text = text_of(said);
    auto as_text = what;
    as_text.payload = text;
    spdlog::pattern_formatter format{"%Y-%m-%dT%H:%M:%S.%e %^%l%$ " + process_ + ": %v"};
    spdlog::memory_buf_t out;
    format.format(as_text, out);
    std::string line{out.data(), out.size()};
    if (coloured_ && as_text.color_range_end > as_text.color_range_start)
      line.insert(as_text.color_range_end, "\033[m")
          .insert(as_text.color_range_start, colour(what.level));
    return line;
  }

  [[nodiscard]] std::string missing(std::uint64_t lines, std::string_view why) const {
    const auto text =
        std::to_string(lines) + " lines of the log are missing here; " + std::string{why};
    return line_of({spdlog::source_loc{}, "", spdlog::level::warn, text});
  }

  // As spdlog's own.
  static const char* colour(spdlog::level::level_enum level) {
    switch (level) {
    case spdlog::level::warn:
      return "\033[33m\033[1m";
    case spdlog::level::err:
    case spdlog::level::critical:
      return "\033[31m\033[1m";
    case spdlog::level::info:
      return "\033[32m";
    default:
      return "\033[36m";
    }
  }

  const std::string process_;
  const bool json_;
  const bool coloured_;
  log_writer writer_; // last: its thread uses the others
};

// A pattern would read a percent sign in a node's name as one of its own.
std::string escaped(const std::string& name) {
  std::string result;
  for (const char c : name) result += c == '%' ? "%%" : std::string{c};
  return result;
}

} // namespace

void add_log_options(CLI::App& app, log_options& options) {
  app.add_option("--log-level", options.level, "trace, debug, info, warn, error or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app.add_option("--log-format", options.format,
                 "text, or json: an object a line, with time (UTC), level, process, message and "
                 "fields such as service, node and reason")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

void set_up_log(const std::string& who, const log_options& options) {
  const bool json = options.format == "json";
  auto log = std::make_shared<spdlog::logger>(
      "ropewalk", std::make_shared<writer_sink>(json ? who : escaped(who), json));
  log->set_level(spdlog::level::from_str(options.level));
  spdlog::set_default_logger(std::move(log));
}

void finish_log() {
  for (const auto& sink : spdlog::default_logger()->sinks())
    if (auto* ours = dynamic_cast<writer_sink*>(sink.get()))
      ours->finish(std::chrono::milliseconds{limits::log_end_ms});
}

} // namespace ropewalk
