#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What a line of the log is made of, and how it looks as text and as JSON. Pure.
namespace ropewalk {

/// Names and values that go with a sentence, such as service, node and reason.
using log_fields = std::vector<std::pair<std::string_view, std::string>>;

/// A sentence and its fields as one text, for a logger that takes nothing else; `split_fields`
/// takes it apart again. Between them stands a control character that is in no text of a log
/// (one_line).
std::string join_fields(std::string_view sentence, const log_fields& fields);

struct log_line {
  std::string_view sentence;
  std::vector<std::pair<std::string_view, std::string_view>> fields;
};

log_line split_fields(std::string_view joined);

/// `a message FAILED service=sum node=left reason="exit status 3"`.
std::string text_of(const log_line& line);

/// One JSON object, without a newline: time (UTC), level, process, message, and a member for each
/// field.
std::string json_of(const log_line& line, std::chrono::system_clock::time_point at,
                    std::string_view level, std::string_view process);

} // namespace ropewalk
