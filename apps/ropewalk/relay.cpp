#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/options.hpp"
#include "net/protocol/frame.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/socket.hpp"
#include "net/transport/stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <memory>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace ropewalk {

namespace {

// As long as a node waits for a process that is not ready there is no hurry, but a sentence is
// better than none.
constexpr std::chrono::seconds connect_timeout{10};

result<descriptor> connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return failure{failure_kind::bad_input, "the path " + path + " is too long", {}};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  descriptor socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!socket.valid() ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failure{failure_kind::unavailable,
                   "cannot connect to " + path + ": " + std::strerror(errno), "does it run?"};
  ::fcntl(socket.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  const int bytes = limits::local_socket_bytes;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  return socket;
}

// How a server is reached. Empty: without that.
struct relay_options {
  std::string server;
  tls_files tls;
  std::string token_file;
};

result<std::unique_ptr<stream>> connect_to(const relay_options& o) {
  if (o.server.starts_with("unix:")) {
    auto socket = connect_unix(o.server.substr(5));
    if (!socket) return std::move(socket).why();
    return make_plain_stream(*std::move(socket));
  }
  const auto where =
      o.server.starts_with("tcp:") ? parse_endpoint(o.server.substr(4)) : std::nullopt;
  if (!where)
    return failure{
        failure_kind::bad_input, "'" + o.server + "' is neither unix:PATH nor tcp:HOST:PORT", {}};
  if (!o.tls.authority.empty()) {
    const auto context = tls_context::for_client(o.tls, roles::client_to_broker);
    if (!context) return context.why();
    return connect_tls(*where, **context, connect_timeout);
  }
  auto socket = connect_tcp(*where, connect_timeout);
  if (!socket) return std::move(socket).why();
  return make_plain_stream(*std::move(socket));
}

// The node's HELLO, with the token in it. The node says it at once.
result<std::string> read_hello(int node, const std::string& token) {
  std::string frame(frame_header_bytes, 0);
  const auto fill = [&](std::size_t from) {
    const auto count = frame.size() - from;
    return ::recv(node, frame.data() + from, count, MSG_WAITALL) == static_cast<ssize_t>(count);
  };
  frame_header head;
  if (fill(0)) read_header(frame.data(), head);
  if (head.kind != frame_kind::hello || head.fields_bytes + frame_header_rest != head.length)
    return failure{failure_kind::bad_input, "the node did not say HELLO first", {}};
  frame.resize(frame_header_bytes + head.fields_bytes);
  if (!fill(frame_header_bytes))
    return failure{failure_kind::unavailable, "the node's HELLO broke off", {}};
  field_writer more;
  more.text(field::token, std::string_view{token}.substr(0, 255));
  const auto fields = frame.substr(frame_header_bytes).append(more.bytes());
  std::vector<char> out;
  append_frame(out, frame_kind::hello, error_code::ok, head.id, fields, {});
  return std::string{out.begin(), out.end()};
}

// What one says to the other: read, and written as soon as there is room.
class one_way {
public:
  one_way(stream& from, stream& to)
      : from_(from), to_(to), buffer_(std::make_unique_for_overwrite<char[]>(limits::read_bytes)) {}

  enum class state : std::uint8_t { goes_on, over, read_failed, write_failed };

  // To be said before anything that is read; at most limits::read_bytes.
  void begin_with(std::string_view first) {
    std::copy(first.begin(), first.end(), buffer_.get());
    end_ = first.size();
  }

  // What is to be waited for, at the socket of the one and of the other.
  [[nodiscard]] short from_events() const {
    if (over_ || begin_ < end_) return 0;
    return from_.reads_by_writing() ? POLLOUT : POLLIN;
  }
  [[nodiscard]] short to_events() const {
    if (begin_ == end_) return 0;
    return to_.sends_by_reading() ? POLLIN : POLLOUT;
  }
  [[nodiscard]] bool over() const { return over_; }

  // Something waits that no socket will tell of.
  [[nodiscard]] bool pending() const { return !over_ && begin_ == end_ && from_.pending(); }

  // Moves what can be moved. `over`: this was the last byte.
  state move() {
    for (int turns = 0; turns < 16; ++turns) { // then the other way has its turn
      if (const auto wrote = write(); wrote != stream::state::ok)
        return wrote == stream::state::blocked ? state::goes_on : state::write_failed;
      if (over_) return state::over;
      const iovec into{buffer_.get(), limits::read_bytes};
      const auto got = from_.receive({&into, 1});
      begin_ = 0;
      end_ = got.bytes;
      if (got.state == stream::state::blocked) return state::goes_on;
      if (got.state == stream::state::failed) return state::read_failed;
      if (got.state == stream::state::ok) continue;
      over_ = true;
    }
    return state::goes_on;
  }

private:
  stream::state write() {
    while (begin_ < end_) {
      const iovec what{buffer_.get() + begin_, end_ - begin_};
      const auto sent = to_.send({&what, 1});
      begin_ += sent.bytes;
      if (sent.state != stream::state::ok) return sent.state;
    }
    return stream::state::ok;
  }

  stream& from_;
  stream& to_;
  std::unique_ptr<char[]> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool over_ = false;
};

int say(const std::string& what) {
  std::cerr << what << '\n';
  return 1;
}

// A server that goes with requests unread resets the connection.
bool is_gone(int error) {
  return error == ECONNRESET || error == EPIPE;
}

int say_broken(const stream& connection, const std::string& server, int error) {
  const auto why = connection.why(); // of TLS; errno says nothing then
  if (!why.empty()) return say("the connection to " + server + " broke: " + why);
  if (is_gone(error)) return say(server + " has closed the connection");
  return say("the connection to " + server + " broke: " + std::strerror(error));
}

// Until the server has nothing more to say, and all that it said has been passed on.
int pass_on(stream& node, stream& server, const std::string& name, std::string_view hello) {
  one_way questions{node, server};
  one_way answers{server, node};
  questions.begin_with(hello);
  while (true) {
    std::array<pollfd, 2> fds{
        pollfd{node.fd(), static_cast<short>(questions.from_events() | answers.to_events()), 0},
        pollfd{server.fd(), static_cast<short>(answers.from_events() | questions.to_events()), 0}};
    for (auto& one : fds)
      if (one.events == 0) one.fd = -1; // or its end would be told for ever
    const int wait_ms = questions.pending() || answers.pending() ? 0 : -1;
    if (::poll(fds.data(), fds.size(), wait_ms) < 0 && errno != EINTR)
      return say(std::strerror(errno));
    // What the server said before it went is passed on before anything is said of its end, and why
    // it ends is said before the node sees the channel close, which it does with this process.
    const auto answered = answers.move();
    if (answered == one_way::state::over)
      return questions.over() ? 0 : say(name + " has closed the connection");
    if (answered == one_way::state::read_failed) return say_broken(server, name, errno);
    if (answered == one_way::state::write_failed) return say("the node has closed the channel");
    if (questions.over()) continue;
    const auto asked = questions.move();
    if (asked == one_way::state::over) server.finish();
    if (asked == one_way::state::read_failed) return say("the channel to the node broke");
    if (asked == one_way::state::write_failed && (!is_gone(errno) || !server.why().empty()))
      return say_broken(server, name, errno);
  }
}

int relay(const relay_options& o) {
  // A node that is to end lets what runs come to its end first, and says so by the channel.
  for (const int number : {SIGTERM, SIGINT}) ::signal(number, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  const char* const text = std::getenv("ROPEWALK_FD");
  const std::string_view number = text ? text : "";
  int node = -1;
  std::from_chars(number.data(), number.data() + number.size(), node);
  if (node < 0)
    return say("ropewalk relay is what a worker starts for unix: and tcp:, with ROPEWALK_FD");
  const auto server = connect_to(o);
  if (!server) return say(server.why().text());
  std::string hello;
  if (!o.token_file.empty()) {
    const auto token = read_token(o.token_file);
    if (!token) return say(token.why().text());
    auto said = read_hello(node, *token);
    if (!said) return say(said.why().text());
    hello = *std::move(said);
  }
  ::fcntl(node, F_SETFL, O_RDWR | O_NONBLOCK);
  const auto channel = make_plain_stream(node);
  return pass_on(*channel, **server, o.server, hello);
}

} // namespace

command_action add_relay(CLI::App& app) {
  auto o = std::make_shared<relay_options>();
  app.add_option("server", o->server, "unix:PATH or tcp:HOST:PORT")->required();
  app.add_option("--tls-ca", o->tls.authority, "speak TLS; its certificate comes from this one");
  app.add_option("--tls-cert", o->tls.certificate, "show this certificate");
  app.add_option("--tls-key", o->tls.key, "its key");
  app.add_option("--token-file", o->token_file, "say the token in this file with HELLO");
  app.group(""); // for workers, not for people
  return [o] { return relay(*o); };
}

} // namespace ropewalk
