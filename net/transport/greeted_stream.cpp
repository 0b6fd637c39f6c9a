#include "net/transport/greeted_stream.hpp"

#include "net/protocol/cluster_greeting.hpp"
#include "net/protocol/frame.hpp"
#include "net/protocol/readable.hpp"
#include "net/protocol/text.hpp"

#include <array>
#include <cerrno>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <vector>

namespace ropewalk {

namespace {

// How every TLS connection begins: a record that carries a handshake (RFC 8446, 5.1).
constexpr unsigned char tls_handshake = 0x16;

// What is said on the wrong port stays short.
constexpr std::size_t max_sentence_bytes = 512;

constexpr std::string_view for_workers = "this is the cluster port, where workers join; clients "
                                         "connect to the broker's --listen address "
                                         "(7070 unless told otherwise)";

// An error as a client reads it, in frames or as a line of text.
std::vector<char> refusal(bool text, error_code code, std::string_view why) {
  std::vector<char> out;
  if (text)
    append_text_answer(out, code, why);
  else
    append_frame(out, frame_kind::error, code, 0, {}, why);
  return out;
}

void send_all(stream& to, std::string_view bytes) {
  const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  (void)to.send({&part, 1}); // little, and the first: the kernel has room for it
}

// What was not read when a socket is closed would reset the connection, and the peer lose our last
// word.
void discard_received(stream& from) {
  std::array<char, 4096> buffer;
  const iovec part{buffer.data(), buffer.size()};
  for (int i = 0; i < 64 && from.receive({&part, 1}).state == stream::state::ok; ++i) {
  }
}

class greeted_stream final : public stream {
public:
  greeted_stream(std::unique_ptr<stream> connection, bool tls)
      : connection_(std::move(connection)), tls_(tls) {}

  result receive(std::span<const iovec> into) override {
    return greeted_ ? connection_->receive(into) : greet();
  }
  result send(std::span<const iovec> from) override {
    return greeted_ ? connection_->send(from) : result{state::blocked, 0};
  }
  void finish() override { connection_->finish(); }
  bool pending() const override { return connection_->pending(); }
  bool reads_by_writing() const override { return connection_->reads_by_writing(); }
  bool sends_by_reading() const override { return !greeted_ || connection_->sends_by_reading(); }
  bool ready() const override { return greeted_; }
  std::string peer_name() const override { return connection_->peer_name(); }
  std::string why() const override { return why_.empty() ? connection_->why() : why_; }
  int fd() const override { return connection_->fd(); }
  void disown() override { connection_->disown(); }

private:
  result greet() {
    if (!peeked_) {
      if (const auto seen = peek_first_byte(); seen.state != state::ok) return seen;
      peeked_ = true;
    }
    const iovec rest{line_.data() + have_, line_.size() - have_};
    const auto got = connection_->receive({&rest, 1});
    if (got.state != state::ok) return got;
    have_ += got.bytes;
    const std::string_view said{line_.data(), have_};
    if (!may_be_cluster_greeting(said)) return refuse_client(*connection_, said.front());
    if (have_ < line_.size()) return {state::blocked, 0};
    const auto worker = read_cluster_greeting(said);
    if (!worker) return refuse_client(*connection_, said.front());
    send_all(*connection_, cluster_greeting_line(own_cluster_greeting()));
    why_ = why_not_together(own_cluster_greeting(), *worker);
    if (!why_.empty()) return {state::failed, 0};
    greeted_ = true;
    return {state::blocked, 0}; // the worker says more when it has our answer
  }

  // TLS to a port without, and plain to a port with it, each would take for garbage.
  result peek_first_byte() {
    unsigned char first = 0;
    const auto count = ::recv(fd(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
      return {state::blocked, 0};
    if (count <= 0) return {count == 0 ? state::end : state::failed, 0};
    if (tls_ == (first == tls_handshake)) return {state::ok, 0};
    const auto plain = make_plain_stream(fd());
    if (first == tls_handshake) {
      discard_received(*plain);
      send_all(*plain, "this cluster port does not speak TLS\n");
      why_ = "it speaks TLS, and this cluster port does not: start the broker with --cluster-tls "
             "DIR, or the worker without";
      return {state::failed, 0};
    }
    if (first != static_cast<unsigned char>(cluster_greeting_word.front()))
      return refuse_client(*plain, static_cast<char>(first));
    discard_received(*plain);
    constexpr std::string_view why = "this cluster port speaks TLS: start the worker with "
                                     "--cluster-tls DIR (ropewalk certs)";
    const auto answer = refusal(true, error_code::unauthorized, why);
    send_all(*plain, {answer.data(), answer.size()});
    why_ = "it does not speak TLS, and this cluster port does: start the worker with --cluster-tls "
           "DIR";
    return {state::failed, 0};
  }

  result refuse_client(stream& over, char first) {
    discard_received(over);
    const auto answer =
        refusal(static_cast<unsigned char>(first) >= 0x20, error_code::bad_request, for_workers);
    send_all(over, {answer.data(), answer.size()});
    why_ = "it is no worker: clients connect to the client port, which is another (--listen)";
    return {state::failed, 0};
  }

  const std::unique_ptr<stream> connection_;
  const bool tls_;
  std::array<char, cluster_greeting_bytes> line_{};
  std::size_t have_ = 0;
  bool peeked_ = false;
  bool greeted_ = false;
  std::string why_;
};

// What a port says that is no cluster port: "ERR CODE a sentence", if it is one of ours.
failure refused_with(std::string_view said) {
  if (said.starts_with("ERR ")) {
    said.remove_prefix(4);
    return {failure_kind::refused,
            "it answers " + one_line(said.substr(0, said.find('\n')), max_sentence_bytes),
            {}};
  }
  return {failure_kind::refused, "what listens there is no Ropewalk broker's cluster port",
          "check the address: --broker takes the broker's --cluster address"};
}

} // namespace

std::unique_ptr<stream> expect_greeting(std::unique_ptr<stream> connection, bool tls) {
  return std::make_unique<greeted_stream>(std::move(connection), tls);
}

result<void> greet_broker(stream& connection, std::chrono::milliseconds timeout) {
  send_all(connection, cluster_greeting_line(own_cluster_greeting()));
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::array<char, cluster_greeting_bytes> line{};
  std::string said;
  for (;;) {
    // No more than the greeting: what follows is for whoever reads next. Who says something else
    // says no more than that.
    const bool ours = may_be_cluster_greeting(said);
    const iovec part{line.data(), ours ? line.size() - said.size() : line.size()};
    const auto got = connection.receive({&part, 1});
    if (got.state == stream::state::ok) {
      said.append(line.data(), got.bytes);
      if (said.size() == cluster_greeting_bytes)
        if (const auto broker = read_cluster_greeting(said)) {
          auto why = why_not_together(*broker, own_cluster_greeting());
          if (why.empty()) return {};
          return failure{failure_kind::refused, std::move(why), {}};
        }
      if (!may_be_cluster_greeting(said) &&
          (said.size() > max_sentence_bytes || said.ends_with('\n')))
        return refused_with(said);
      continue;
    }
    if (got.state != stream::state::blocked) {
      if (!said.empty()) return refused_with(said);
      return failure{failure_kind::refused,
                     got.state == stream::state::failed && !connection.why().empty()
                         ? connection.why()
                         : "it closes the connection without a word",
                     {}};
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      if (!said.empty()) return refused_with(said);
      return failure{failure_kind::unavailable, "it accepts the connection and says nothing",
                     "is that a Ropewalk broker's cluster port, and not an older release's?"};
    }
    pollfd waiting{connection.fd(),
                   static_cast<short>(connection.reads_by_writing() ? POLLOUT : POLLIN), 0};
    ::poll(&waiting, 1, static_cast<int>(left.count()));
  }
}

} // namespace ropewalk
