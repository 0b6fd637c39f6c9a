#include "net/http/http_decoder.hpp"

#include "net/http/http_limits.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace ropewalk {

namespace http = boost::beast::http;
using beast_text = boost::beast::string_view;
using beast_error = boost::system::error_code;

namespace {

std::string_view view(beast_text text) {
  return {text.data(), text.size()};
}

std::optional<http_field> own_field(std::string_view name) {
  static constexpr std::pair<std::string_view, http_field> known[] = {
      {"sec-fetch-site", http_field::sec_fetch_site}, {"ropewalk-timeout", http_field::timeout},
      {"ropewalk-attempts", http_field::attempts},    {"ropewalk-key", http_field::key},
      {"ropewalk-priority", http_field::priority},    {"traceparent", http_field::traceparent},
  };
  for (const auto& [text, which] : known)
    if (boost::beast::iequals({text.data(), text.size()}, {name.data(), name.size()})) return which;
  return std::nullopt;
}

} // namespace

class http_decoder::parser final : public http::basic_parser<true> {
public:
  explicit parser(std::size_t max_body) {
    header_limit(limits::max_http_head_bytes);
    body_limit(max_body);
  }

  /// The request as far as it is known; its body is in it when all has come.
  http_request request;
  http_refusal refusal{0, {}}; // of what Beast finds nothing wrong with; status 0: there is none

  [[nodiscard]] std::size_t held_bytes() const { return have_ + chunks_.size(); }

  /// How long the head is with which `bytes` begin, so that no more is parsed than that, and it
  /// means the same however its bytes came; 0 if its end has not come, or there is a refusal. To be
  /// asked again with the same and more.
  std::size_t head_size(std::string_view bytes) {
    constexpr std::string_view end = "\r\n\r\n";
    if (bytes.front() < 'A' || bytes.front() > 'z') { // a TLS record, a frame
      refuse(400, "this is no HTTP request");
      return 0;
    }
    const auto found = bytes.find(end, scanned_);
    const auto size = found == std::string_view::npos ? bytes.size() : found + end.size();
    if (size > limits::max_http_head_bytes) refuse(431, "the request's head is over 8192 bytes");
    if (refusal.status != 0) return 0;
    scanned_ = bytes.size() - std::min(bytes.size(), end.size() - 1);
    return found == std::string_view::npos ? 0 : size;
  }

  void take_body() {
    if (body_.valid())
      request.body = std::move(body_).share(have_);
    else
      request.body = shared_bytes::borrow(chunks_);
  }

private:
  void on_request_impl(http::verb, beast_text method, beast_text target, int version,
                       beast_error&) override {
    request.method = view(method);
    request.target = view(target);
    request.http_1_0 = version < 11;
  }
  void on_response_impl(int, beast_text, int, beast_error&) override {}

  void on_field_impl(http::field which, beast_text name, beast_text value, beast_error&) override {
    if (head_is_done_) return; // a trailer says nothing of how the request is to be taken
    switch (which) {
    case http::field::host:
      if (++hosts_ > 1) refuse(400, "there are two Host fields");
      return keep(http_field::host, value);
    case http::field::content_length:
      if (++lengths_ > 1 || view(value).find(',') != std::string_view::npos)
        refuse(400, "the body's length is said twice");
      return;
    case http::field::transfer_encoding:
      if (!boost::beast::iequals(value, "chunked"))
        refuse(501, "a body may be sent in chunks, and in no other encoding");
      if (request.http_1_0) refuse(400, "HTTP/1.0 has no chunks");
      return;
    case http::field::authorization:
      if (!request.field(http_field::authorization).empty())
        refuse(400, "there are two Authorization fields");
      return keep(http_field::authorization, value);
    case http::field::origin:
      return keep(http_field::origin, value);
    case http::field::expect:
      if (boost::beast::iequals(value, "100-continue"))
        request.expects_go = !request.http_1_0;
      else
        refuse(417, "nothing but 100-continue can be expected here");
      return;
    case http::field::upgrade: // ignored, as it may be: the answer is HTTP/1.1's
      return;
    default:
      if (const auto own = own_field(view(name))) keep(*own, value);
    }
  }

  void on_header_impl(beast_error&) override {
    head_is_done_ = true;
    request.keep_alive = keep_alive();
    const auto length = content_length();
    request.has_body = chunked() || (length && *length > 0);
    if (hosts_ == 0 && !request.http_1_0) refuse(400, "there is no Host field");
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>& length, beast_error&) override {
    if (length) body_ = fresh_bytes{static_cast<std::size_t>(*length)};
  }
  std::size_t on_body_impl(beast_text bytes, beast_error&) override {
    std::memcpy(body_.data() + have_, bytes.data(), bytes.size());
    have_ += bytes.size();
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, beast_text, beast_error&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast_text bytes, beast_error&) override {
    chunks_.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(beast_error&) override {}

  void keep(http_field which, beast_text value) {
    request.fields[static_cast<std::size_t>(which)] = view(value);
  }
  void refuse(int status, std::string_view why) {
    if (refusal.status == 0) refusal = {status, why};
  }

  fresh_bytes body_; // if its length was said
  std::size_t have_ = 0;
  std::size_t scanned_ = 0; // bytes of the head, in which its end is not
  std::string chunks_;
  int hosts_ = 0;
  int lengths_ = 0;
  bool head_is_done_ = false;
};

http_decoder::http_decoder(std::size_t max_body_bytes) : max_body_(max_body_bytes) {}
http_decoder::~http_decoder() = default;

void http_decoder::feed(std::string_view bytes) {
  if (stopped_) return;
  received_ += bytes.size();
  if (carry_.empty()) {
    rest_ = bytes;
    return;
  }
  carry_ += bytes;
  rest_ = carry_;
}

void http_decoder::stop() {
  stopped_ = true;
  parser_.reset();
  rest_ = {};
  carry_ = {};
}

bool http_decoder::in_message() const {
  return !stopped_ && (parser_ || !carry_.empty());
}

bool http_decoder::in_body() const {
  return parser_ && parser_->is_header_done();
}

std::size_t http_decoder::held_bytes() const {
  return carry_.size() + (parser_ ? parser_->held_bytes() : 0);
}

const http_event* http_decoder::refuse(int status, std::string_view why) {
  stop();
  event_ = http_refusal{status, why};
  return &event_;
}

// What is left cannot be used before more has come. False if it should have been enough.
bool http_decoder::keep_rest() {
  if (rest_.size() > limits::max_http_head_bytes) return false;
  std::string kept{rest_};
  carry_.swap(kept);
  rest_ = {};
  return true;
}

const http_event* http_decoder::whole() {
  parser_->take_body();
  // A body that came in chunks is lent: it stays in the parser, which goes with the next call.
  event_ = std::move(parser_->request);
  return &event_;
}

namespace {

http_refusal refusal_of(const beast_error& wrong) {
  if (wrong == http::error::header_limit) return {431, "the request's head is over 8192 bytes"};
  if (wrong == http::error::body_limit)
    return {413, "the message is too large; split it, or raise --max-message-bytes"};
  if (wrong == http::error::bad_version) return {505, "HTTP/1.1 and 1.0 are spoken here"};
  if (wrong == http::error::bad_content_length)
    return {400, "the body's length is no number, or is said twice"};
  if (wrong == http::error::bad_transfer_encoding)
    return {400, "the body has a length and chunks, and can have but one of these"};
  return {400, "this is no HTTP request"};
}

} // namespace

const http_event* http_decoder::next() {
  if (stopped_) return nullptr;
  if (parser_ && parser_->is_done()) {
    parser_.reset(); // the event before this one was its
    announced_ = false;
  }
  while (!rest_.empty()) {
    if (!parser_) {
      // Between requests a line's end does no harm: some clients send one behind a body.
      if (rest_.front() == '\r' || rest_.front() == '\n') {
        rest_.remove_prefix(1);
        continue;
      }
      parser_ = std::make_unique<parser>(max_body_);
    }
    auto part = rest_;
    if (!parser_->is_header_done()) {
      const auto size = parser_->head_size(rest_);
      if (parser_->refusal.status != 0)
        return refuse(parser_->refusal.status, parser_->refusal.why);
      if (size == 0) {
        keep_rest();
        return nullptr;
      }
      part = rest_.substr(0, size);
    }
    beast_error wrong;
    const auto used = parser_->put(boost::asio::buffer(part.data(), part.size()), wrong);
    if (parser_->refusal.status != 0) return refuse(parser_->refusal.status, parser_->refusal.why);
    if (wrong && wrong != http::error::need_more) {
      const auto why = refusal_of(wrong);
      return refuse(why.status, why.why);
    }
    rest_.remove_prefix(used);
    if (!parser_->is_header_done()) return refuse(400, "this is no HTTP request");
    if (parser_->is_done()) return whole();
    if (parser_->is_header_done() && !std::exchange(announced_, true)) {
      event_ = http_head{parser_->request};
      return &event_;
    }
    if (wrong == http::error::need_more || used == 0) {
      if (!keep_rest()) return refuse(431, "what stands between two chunks is over 8192 bytes");
      return nullptr;
    }
  }
  if (!carry_.empty()) carry_ = {}; // an idle connection holds no memory
  return nullptr;
}

} // namespace ropewalk
