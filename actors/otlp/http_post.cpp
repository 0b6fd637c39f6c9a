#include "actors/otlp/http_post.hpp"

#include "net/transport/socket.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/core/string.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>

namespace ropewalk {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t max_answer_bytes = 64 * 1024;
constexpr std::string_view line_end = "\r\n";
constexpr std::string_view head_end_mark = "\r\n\r\n";

// False when `end` is past, or the wait is over for another reason (errno).
bool wait_for(int fd, short what, instant end) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - clock::now()).count();
    pollfd waiting{fd, what, 0};
    const int ready = left > 0 ? ::poll(&waiting, 1, static_cast<int>(left)) : 0;
    if (ready > 0) return true;
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) errno = ETIMEDOUT;
    return false;
  }
}

bool send_all(int fd, std::string_view what, instant end) {
  while (!what.empty()) {
    const auto count = ::send(fd, what.data(), what.size(), MSG_NOSIGNAL);
    if (count >= 0)
      what.remove_prefix(static_cast<std::size_t>(count));
    else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLOUT, end)))
      return false;
  }
  return true;
}

bool same_name(std::string_view a, std::string_view b) {
  return boost::beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

// What a field of the head says, without the blanks before it; nothing if it is not there.
std::optional<std::string_view> field_of(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const auto end = head.find(line_end);
    const auto line = head.substr(0, end);
    head.remove_prefix(end == std::string_view::npos ? head.size() : end + line_end.size());
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !same_name(line.substr(0, colon), name)) continue;
    auto value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    return value;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> number_of(std::string_view head, std::string_view name) {
  const auto value = field_of(head, name);
  std::uint32_t result = 0;
  if (!value) return std::nullopt;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), result);
  if (error != std::errc{} || end != value->data() + value->size()) return std::nullopt;
  return result;
}

// All of an answer that says how long it is: who keeps the connection open is not waited for.
bool is_whole(std::string_view text) {
  const auto head_end = text.find(head_end_mark);
  if (head_end == std::string_view::npos) return false;
  const auto bytes = number_of(text.substr(0, head_end), "content-length");
  return bytes && text.size() - head_end - head_end_mark.size() >= *bytes;
}

// Up to the end of the answer, of the connection, or of what is wanted. False if it breaks before.
bool receive_all(int fd, std::string& into, instant end) {
  std::array<char, 4096> buffer{};
  while (into.size() < max_answer_bytes) {
    const auto count = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (count == 0) return true;
    if (count > 0) {
      into.append(buffer.data(), static_cast<std::size_t>(count));
      if (is_whole(into)) return true;
    } else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLIN, end)))
      return false;
  }
  return true;
}

std::string head_of(const otlp_url& where, std::size_t bytes) {
  return "POST " + where.path + " HTTP/1.1\r\nHost: " + where.where.text() +
         "\r\nContent-Type: application/json\r\nUser-Agent: ropewalk\r\nConnection: close\r\n"
         "Content-Length: " +
         std::to_string(bytes) + "\r\n\r\n";
}

} // namespace

http_posted read_http_answer(std::string_view text) {
  http_posted result;
  const auto head_end = text.find(head_end_mark);
  constexpr std::size_t status_at = 9; // "HTTP/1.1 "
  if (head_end == std::string_view::npos || head_end <= status_at || !text.starts_with("HTTP/1.")) {
    result.why = "the answer is no HTTP";
    return result;
  }
  std::from_chars(text.data() + status_at, text.data() + head_end, result.status);
  result.body = text.substr(head_end + head_end_mark.size());
  if (const auto seconds = number_of(text.substr(0, head_end), "retry-after"))
    result.retry_after = std::chrono::seconds{*seconds};
  return result;
}

http_posted post_json(const otlp_url& where, std::string_view body, milliseconds timeout) {
  const auto end = clock::now() + timeout;
  http_posted result;
  const auto connected = connect_tcp(where.where, timeout);
  if (!connected) {
    result.why = connected.why().text();
    return result;
  }
  const int fd = connected->get();
  std::string answer;
  const bool sent = send_all(fd, head_of(where, body.size()), end) && send_all(fd, body, end);
  const int sending = sent ? 0 : errno; // who answers early may not have read all
  if (!receive_all(fd, answer, end) && answer.find(head_end_mark) == std::string::npos) {
    result.why = where.where.text() + ": " + std::strerror(sending != 0 ? sending : errno);
    return result;
  }
  return read_http_answer(answer);
}

} // namespace ropewalk
