#include "apps/ropewalk/commands.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/socket.hpp"

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
#include <sys/un.h>
#include <unistd.h>

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

result<descriptor> connect_to(const std::string& server) {
  if (server.starts_with("unix:")) return connect_unix(server.substr(5));
  const auto where = parse_endpoint(server.starts_with("tcp:") ? server.substr(4) : server);
  if (where) return connect_tcp(*where, connect_timeout);
  return failure{
      failure_kind::bad_input, "'" + server + "' is neither unix:PATH nor tcp:HOST:PORT", {}};
}

// What one says to the other: read, and written as soon as there is room.
class one_way {
public:
  one_way(int from, int to)
      : from_(from), to_(to), buffer_(std::make_unique_for_overwrite<char[]>(limits::read_bytes)) {}

  enum class state : std::uint8_t { goes_on, over, failed };

  // What is to be waited for.
  [[nodiscard]] short reads() const { return !over_ && begin_ == end_ ? POLLIN : 0; }
  [[nodiscard]] short writes() const { return begin_ < end_ ? POLLOUT : 0; }
  [[nodiscard]] bool over() const { return over_; }

  // Moves what can be moved. `over`: this was the last byte.
  state move() {
    for (int turns = 0; turns < 16; ++turns) { // then the other way has its turn
      if (!write()) return errno == EAGAIN ? state::goes_on : state::failed;
      if (over_) return state::over;
      const auto count = ::recv(from_, buffer_.get(), limits::read_bytes, MSG_DONTWAIT);
      if (count < 0) return errno == EAGAIN ? state::goes_on : state::failed;
      begin_ = 0;
      end_ = static_cast<std::size_t>(count);
      if (count > 0) continue;
      over_ = true;
    }
    return state::goes_on;
  }

private:
  // False, with errno: not all.
  bool write() {
    while (begin_ < end_) {
      const auto count =
          ::send(to_, buffer_.get() + begin_, end_ - begin_, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count < 0) return false;
      begin_ += static_cast<std::size_t>(count);
    }
    return true;
  }

  const int from_;
  const int to_;
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

std::string broken(const std::string& server, int error) {
  if (is_gone(error)) return server + " has closed the connection";
  return "the connection to " + server + " broke: " + std::strerror(error);
}

// Until the server has nothing more to say, and all that it said has been passed on.
int pass_on(int node, int server, const std::string& name) {
  one_way questions{node, server};
  one_way answers{server, node};
  while (true) {
    std::array<pollfd, 2> fds{
        pollfd{node, static_cast<short>(questions.reads() | answers.writes()), 0},
        pollfd{server, static_cast<short>(answers.reads() | questions.writes()), 0}};
    for (auto& one : fds)
      if (one.events == 0) one.fd = -1; // or its end would be told for ever
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return say(std::strerror(errno));
    // What the server said before it went is passed on before anything is said of its end, and why
    // it ends is said before the node sees the channel close, which it does with this process.
    const auto answered = answers.move();
    if (answered == one_way::state::over)
      return questions.over() ? 0 : say(name + " has closed the connection");
    if (answered == one_way::state::failed) return say(broken(name, errno));
    if (questions.over()) continue;
    const auto asked = questions.move();
    if (asked == one_way::state::over) ::shutdown(server, SHUT_WR);
    if (asked == one_way::state::failed && !is_gone(errno)) return say(broken(name, errno));
  }
}

int relay(const std::string& server) {
  // A node that is to end lets what runs come to its end first, and says so by the channel.
  for (const int number : {SIGTERM, SIGINT}) ::signal(number, SIG_IGN);
  const char* const text = std::getenv("ROPEWALK_FD");
  const std::string_view number = text ? text : "";
  int node = -1;
  std::from_chars(number.data(), number.data() + number.size(), node);
  if (node < 0)
    return say("ropewalk relay is what a worker starts for unix: and tcp:, with ROPEWALK_FD");
  const auto connected = connect_to(server);
  if (!connected) return say(connected.why().text());
  return pass_on(node, connected->get(), server);
}

} // namespace

command_action add_relay(CLI::App& app) {
  auto server = std::make_shared<std::string>();
  app.add_option("server", *server, "unix:PATH or tcp:HOST:PORT")->required();
  app.group(""); // for workers, not for people
  return [server] { return relay(*server); };
}

} // namespace ropewalk
