#include "net/protocol/frame.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/certificates.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <memory>
#include <openssl/ssl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace ropewalk;

/// Connections that end in one direction, or altogether, wherever they are: the broker closes what
/// can say nothing more, answers what it was asked, and spins at nothing.

namespace {

// The client's side of TLS, whose bytes go to and fro by hand.
class tls_by_hand {
public:
  tls_by_hand(const tls_files& files, int version)
      : context_(::SSL_CTX_new(::TLS_client_method())) {
    REQUIRE(::SSL_CTX_set_max_proto_version(context_.get(), version) == 1);
    REQUIRE(::SSL_CTX_use_certificate_chain_file(context_.get(), files.certificate.c_str()) == 1);
    REQUIRE(::SSL_CTX_use_PrivateKey_file(context_.get(), files.key.c_str(), SSL_FILETYPE_PEM) ==
            1);
    session_.reset(::SSL_new(context_.get()));
    REQUIRE(session_);
    ::SSL_set_bio(session_.get(), ::BIO_new(::BIO_s_mem()), ::BIO_new(::BIO_s_mem()));
    ::SSL_set_connect_state(session_.get());
  }

  [[nodiscard]] bool shaken() const { return ::SSL_is_init_finished(session_.get()) == 1; }

  // What is to be sent in the handshake, after the peer has sent this.
  std::string answer_to(const std::string& received) {
    take(received);
    ::SSL_do_handshake(session_.get());
    return to_send();
  }

  std::string encrypt(const std::string& text) {
    REQUIRE(::SSL_write(session_.get(), text.data(), static_cast<int>(text.size())) > 0);
    return to_send();
  }

  std::string close_notify() {
    ::SSL_shutdown(session_.get());
    return to_send();
  }

  std::string decrypt(const std::string& received) {
    take(received);
    std::string result;
    std::array<char, 4096> buffer{};
    for (std::size_t count = 0;
         ::SSL_read_ex(session_.get(), buffer.data(), buffer.size(), &count) == 1;)
      result.append(buffer.data(), count);
    return result;
  }

private:
  template <auto Free>
  struct freed_by {
    template <class T>
    void operator()(T* what) const {
      Free(what);
    }
  };

  void take(const std::string& received) {
    ::BIO_write(::SSL_get_rbio(session_.get()), received.data(), static_cast<int>(received.size()));
  }

  std::string to_send() {
    std::string result(1 << 16, '\0');
    const int count =
        ::BIO_read(::SSL_get_wbio(session_.get()), result.data(), static_cast<int>(result.size()));
    result.resize(static_cast<std::size_t>(std::max(count, 0)));
    return result;
  }

  std::unique_ptr<SSL_CTX, freed_by<::SSL_CTX_free>> context_;
  std::unique_ptr<SSL, freed_by<::SSL_free>> session_;
};

std::string some(raw& from) {
  return from.receive([](const std::string& s) { return !s.empty(); });
}

bool never(const std::string&) {
  return false;
}

std::string_view half(const std::string& bytes) {
  return std::string_view{bytes}.substr(0, bytes.size() / 2);
}

enum class point : std::uint8_t {
  nothing_said,
  one_byte,
  half_hello,
  hello,
  half_finished,
  finished,
  half_record,
};

// The last thing that the client says in the handshake, not yet sent.
std::string shake_hands_but_for_the_last(raw& connection, tls_by_hand& tls) {
  connection.send(tls.answer_to(""));
  std::string last;
  while (last.empty()) {
    last = tls.answer_to(some(connection));
    REQUIRE_FALSE(connection.closed);
  }
  return last;
}

void shake_hands(raw& connection, tls_by_hand& tls) {
  connection.send(shake_hands_but_for_the_last(connection, tls));
  while (!tls.shaken()) connection.send(tls.answer_to(some(connection)));
}

void go_to(point where, raw& connection, tls_by_hand& tls) {
  switch (where) {
  case point::nothing_said:
    return;
  case point::one_byte:
    connection.send(tls.answer_to("").substr(0, 1));
    return;
  case point::half_hello:
    connection.send(half(tls.answer_to("")));
    return;
  case point::hello:
    connection.send(tls.answer_to(""));
    return;
  case point::half_finished:
    connection.send(half(shake_hands_but_for_the_last(connection, tls)));
    return;
  case point::finished:
    return shake_hands(connection, tls);
  case point::half_record:
    shake_hands(connection, tls);
    connection.send(half(tls.encrypt(std::string(100, 'x'))));
    return;
  }
}

constexpr std::array points{point::nothing_said,  point::one_byte, point::half_hello, point::hello,
                            point::half_finished, point::finished, point::half_record};

std::size_t descriptors_of(pid_t pid) {
  std::size_t result = 0;
  for ([[maybe_unused]] const auto& each :
       std::filesystem::directory_iterator{"/proc/" + std::to_string(pid) + "/fd"})
    ++result;
  return result;
}

// What a broker takes in a second in which nothing happens, in hundredths of a second.
std::uint64_t ticks_of_a_second(const cluster& c, pid_t pid) {
  raw idle{c.nodes()};
  const auto before = cpu_ticks(pid);
  idle.receive(never, 1s);
  return cpu_ticks(pid) - before;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t nothing = 30;
#else
constexpr std::uint64_t nothing = 10;
#endif

} // namespace

TEST_CASE("a TLS connection that ends at any point of its handshake is closed and costs nothing, "
          "on either port") {
  const certificates certs{{"--client", "alice"}};
  cluster c{client_port_tls(certs) + std::vector<std::string>{"--client-ca", certs / "ca.pem",
                                                              "--cluster-tls", certs / "broker",
                                                              "--hello-time", "60000"}};
  const auto pid = c.broker().pid();
  const auto descriptors = descriptors_of(pid);
  for (const bool resets : {false, true}) {
    for (const auto* port : {"clients", "nodes"}) {
      const bool clients = port == std::string_view{"clients"};
      std::vector<std::unique_ptr<raw>> connections;
      for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        for (const auto where : points) {
          tls_by_hand tls{certs.of(clients ? "clients/alice" : "worker"), version};
          connections.push_back(std::make_unique<raw>(clients ? c.clients() : c.nodes()));
          go_to(where, *connections.back(), tls);
          if (resets)
            connections.back()->reset();
          else
            connections.back()->finish();
        }
      }
      INFO(port << (resets ? ", reset" : ", half closed"));
      CHECK(ticks_of_a_second(c, pid) < nothing);
      for (std::size_t i = 0; !resets && i < connections.size(); ++i) {
        INFO("TLS 1." << (i < points.size() ? 2 : 3) << ", point " << i % points.size());
        connections[i]->receive(never);
        CHECK(connections[i]->closed);
      }
      CHECK(eventually([&] { return descriptors_of(pid) <= descriptors; }));
    }
  }
}

TEST_CASE("a TLS client that closes its sending half, with or without saying so, gets its answer "
          "and is closed, and waiting costs nothing") {
  const certificates certs;
  cluster c{client_port_tls(certs)};
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "8"});
  REQUIRE(
      eventually([&] { return c.broker().log().find("node a joined") != std::string::npos; }, 20s));
  std::vector<std::pair<std::unique_ptr<raw>, std::unique_ptr<tls_by_hand>>> waiting;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const bool says_so : {false, true}) {
      auto connection = std::make_unique<raw>(c.clients());
      auto tls = std::make_unique<tls_by_hand>(certs.of("broker"), version);
      shake_hands(*connection, *tls);
      connection->send(tls->encrypt(frame(frame_kind::request, 1, "sleep", "2000")));
      if (says_so) connection->send(tls->close_notify());
      connection->finish();
      waiting.emplace_back(std::move(connection), std::move(tls));
    }
  }
  CHECK(ticks_of_a_second(c, c.broker().pid()) < nothing);
  for (auto& [connection, tls] : waiting) {
    const auto answer = tls->decrypt(connection->receive(never));
    CHECK(connection->closed);
    CHECK(answer.ends_with("2000"));
  }
}

TEST_CASE("plain clients that have closed their sending half and wait cost nothing, and get their "
          "answers") {
  cluster c{{"--connection-requests", "3"}};
  c.start_node(
      "a", {"--service", "sleep=builtin:sleep", "--service", "echo=builtin:echo", "--slots", "16"});
  REQUIRE(c.has_nodes(1));
  const auto request = frame(frame_kind::request, 1, "sleep", "2000");
  std::string too_many; // for what may wait at a time: the rest, and the end, are read later
  for (std::uint64_t id = 1; id <= 5; ++id)
    too_many += frame(frame_kind::request, id, "sleep", "2000");
  const std::array<std::pair<std::string, std::string>, 6> cases{{
      {request, "2000"},
      {request + std::string{half(request)}, "2000"},
      {too_many, "2000"},
      {"sleep 2000\n", "OK 2000\n"},
      {"sleep 2000\necho be", "OK 2000\nOK be\n"},
      {"sleep 2000\nsleep 2000\nsleep 2000\nsleep 2000\n", "OK 2000\nOK 2000\nOK 2000\nOK 2000\n"},
  }};
  std::vector<std::unique_ptr<raw>> waiting;
  for (const auto& [sent, unused] : cases) {
    waiting.push_back(std::make_unique<raw>(c.clients()));
    waiting.back()->send(sent);
    waiting.back()->finish();
  }
  // One more leaves its answers unread.
  raw unread{c.clients()};
  for (std::uint64_t id = 1; id <= 3; ++id)
    unread.send(frame(frame_kind::request, id, "echo", std::string(2'000'000, 'x')));
  unread.finish();
  REQUIRE(eventually([&] { return c.status()["in_flight"] >= 6; }));
  CHECK(ticks_of_a_second(c, c.broker().pid()) < nothing);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto answer = waiting[i]->receive(never, 10s);
    INFO(i << ": " << answer);
    CHECK(waiting[i]->closed);
    CHECK(answer.ends_with(cases[i].second));
  }
  CHECK(unread.receive(never, 10s).size() == 3 * (2'000'000 + frame_header_bytes));
  CHECK(unread.closed);
  CHECK(eventually([&] { return c.status()["connections"] == 1; })); // that of the status itself
}

namespace {

// A client in a process of its own, which asks, is heard, and is killed.
void ask_and_be_killed(const cluster& c, const std::string& bytes, int asked) {
  const auto pid = ::fork();
  if (pid == 0) {
    auto connected = connect_tcp(c.clients(), 5s);
    if (!connected) ::_exit(1);
    for (std::string_view rest = bytes; !rest.empty();) {
      const auto count = ::send(connected->get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count > 0) rest.remove_prefix(static_cast<std::size_t>(count));
    }
    for (;;) ::pause();
  }
  const bool heard = eventually([&] {
    const auto status = c.status();
    return status["in_flight"].get<int>() + status["queued"].get<int>() == asked;
  });
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  REQUIRE(heard);
}

} // namespace

TEST_CASE(
    "a client that was killed is noticed in seconds: its handlers are stopped, and what it had "
    "waiting is let go") {
  for (const bool with_master : {false, true}) {
    INFO("with a master: " << with_master);
    cluster c;
    std::vector<std::string> options{"--service", "run=cmd:sh -c \"cat >/dev/null; sleep 60\"",
                                     "--slots", "1"};
    if (with_master) options.insert(options.end(), {"--processes", "3"});
    c.start_node("a", options);
    REQUIRE(c.has_nodes(with_master ? 3 : 1));
    std::string all;
    for (std::uint64_t id = 1; id <= 20; ++id)
      all += frame(frame_kind::request, id, "run", std::string(1'000'000, 'x'));
    ask_and_be_killed(c, all, 20);
    CHECK(eventually(
        [&] {
          const auto status = c.status();
          return status["in_flight"] == 0 && status["queued"] == 0;
        },
        10s * time_factor));
    CHECK(eventually([&] { return c.status()["connections"] == 1; })); // that of the status itself
  }
}

TEST_CASE(
    "a client that has closed its sending half and lives is asked whether it does, and gets its "
    "answer") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "4"});
  REQUIRE(c.has_nodes(1));
  raw binary{c.clients()};
  binary.send(frame(frame_kind::request, 1, "sleep", "5000"));
  binary.finish();
  raw text{c.clients()};
  text.send("sleep 5000\n");
  text.finish();
  const auto heard = binary.receive(never, 10s);
  CHECK(binary.closed);
  const auto ping = frame(frame_kind::ping, 0, "", "");
  CHECK(heard.starts_with(ping));
  CHECK(heard.ends_with("5000"));
  CHECK(text.receive(never, 10s) == "OK 5000\n");
}
