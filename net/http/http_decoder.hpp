#pragma once

#include "net/http/http_request.hpp"

#include <cstddef>
#include <memory>
#include <string_view>
#include <variant>

namespace ropewalk {

/// The head of a request whose body is yet to come: who is not to send it can be answered now.
struct http_head {
  http_request request;
};

/// What came is no request, or one that is not taken. Nothing is read after it: where it ends, and
/// so where the next one would begin, is not known.
struct http_refusal {
  int status = 400;
  std::string_view why; ///< a sentence for people
};

using http_event = std::variant<http_request, http_head, http_refusal>;

/// Cuts the bytes of a connection into HTTP requests; no I/O. As `decoder` does for frames:
///
///     feed(bytes), then next() until it has nothing more to say.
///
/// The syntax is Boost.Beast's to know. What could be understood in two ways, and so let one request
/// be smuggled in another past a proxy, is refused: two lengths, a length and chunks, an encoding
/// that is not chunks alone, no Host or two of them. A head has limits::max_http_head_bytes, and so
/// has what stands between chunks.
class http_decoder {
public:
  explicit http_decoder(std::size_t max_body_bytes);
  ~http_decoder();
  http_decoder(const http_decoder&) = delete;
  http_decoder& operator=(const http_decoder&) = delete;

  /// The bytes stay the caller's and must live until `next` has returned nothing.
  void feed(std::string_view bytes);

  /// The next event, which is the decoder's and valid until it is called again; null when more
  /// bytes are needed.
  const http_event* next();

  /// From now on everything is thrown away.
  void stop();

  /// True in the middle of a request.
  [[nodiscard]] bool in_message() const;

  /// True if the head of the request in progress is there, and its body is not.
  [[nodiscard]] bool in_body() const;

  /// Bytes that came, ever.
  [[nodiscard]] std::uint64_t received() const { return received_; }

  /// Memory that what has come of a request takes.
  [[nodiscard]] std::size_t held_bytes() const;

private:
  class parser;

  const http_event* refuse(int status, std::string_view why);
  const http_event* whole();
  bool keep_rest();

  const std::size_t max_body_;
  std::unique_ptr<parser> parser_; // of the request in progress; null: none is
  http_event event_;
  std::string_view rest_; // of what was fed
  std::string carry_;     // what `rest_` shows if some of it came earlier
  std::uint64_t received_ = 0;
  bool announced_ = false;
  bool stopped_ = false;
};

} // namespace ropewalk
