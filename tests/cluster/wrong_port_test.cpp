#include "net/protocol/cluster_greeting.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/certificates.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"
#include "tests/matches.hpp"

#include <csignal>
#include <string>
#include <vector>

using namespace ropewalk;

/// Who comes to the wrong port, or speaks TLS where the other side does not, or is of another
/// release: both sides say what is wrong and what to do, in the product's words.

namespace {

// Words of CAF's and OpenSSL's that say nothing to who uses the product.
void check_own_words(const std::string& text) {
  for (const auto* foreign :
       {"system_error(", "basp", "caf::", "sec::", "disconnect_during", "remote_link",
        "exit_reason", "wrong version number", "system lib", "unexpected eof", "record layer",
        "http request", "packet length", "not in the protocol", "SSL"})
    CHECK_FALSE(contains(text, foreign));
}

constexpr auto* come_to_cluster_port =
    "this is the cluster port, where workers join; clients connect "
    "to the broker's --listen address";
constexpr auto* no_tls_here = "the peer does not speak TLS here: leave TLS out on this side, or "
                              "switch it on there";

struct combination {
  bool broker_tls;
  bool comer_tls;
  const char* told;   // to who comes
  const char* logged; // by the broker
};

} // namespace

TEST_CASE(
    "a worker at the client port is told so, and so is the broker's log, with TLS and without") {
  const certificates certs;
  for (const auto& [broker_tls, comer_tls, told, logged] :
       {combination{false, false, "this is the client port, and workers join at the cluster port",
                    "it came to the client port; its --broker must be this broker's --cluster"},
        {true, false, "this is the client port, and workers join at the cluster port",
         "it came to the client port; its --broker must be this broker's --cluster"},
        {false, true, no_tls_here, "it speaks TLS, and this client port does not"},
        {true, true, "this is the client port, and workers join at the cluster port",
         "it came to the client port; its --broker must be this broker's --cluster"}}) {
    INFO("broker " << broker_tls << ", worker " << comer_tls);
    cluster c{broker_tls ? client_port_tls(certs) : std::vector<std::string>{}};
    for (const bool with_master : {false, true}) {
      std::vector<std::string> words{ROPEWALK_PROGRAM,   "worker",    "--broker",
                                     c.clients().text(), "--service", "echo=builtin:echo"};
      if (comer_tls) words = words + std::vector<std::string>{"--cluster-tls", certs / "worker"};
      if (with_master) words = words + std::vector<std::string>{"--processes", "3"};
      const process worker{words, c.folder() + "/lost-" + std::to_string(with_master) + ".log"};
      CHECK(worker.says(told));
      CHECK(c.broker().says(logged));
      check_own_words(worker.log());
      worker.signal(SIGTERM);
    }
    check_own_words(c.broker().log());
  }
}

TEST_CASE(
    "a client at the cluster port is told so, and so is the broker's log, with TLS and without") {
  const certificates certs{{"--client", "alice"}};
  for (const auto& [broker_tls, comer_tls, told, logged] :
       {combination{false, false, come_to_cluster_port, "it is no worker: clients connect to"},
        {true, false, come_to_cluster_port, "it is no worker: clients connect to"},
        {false, true, no_tls_here, "it speaks TLS, and this cluster port does not"},
        {true, true, "the peer asks for a certificate, and there is none to show",
         "refused at the cluster port"}}) {
    INFO("broker " << broker_tls << ", client " << comer_tls);
    cluster c{broker_tls ? std::vector<std::string>{"--cluster-tls", certs / "broker"}
                         : std::vector<std::string>{}};
    for (const auto& command :
         {std::vector<std::string>{"send", "echo", "--data", "x"}, {"status"}, {"bench", "echo"}}) {
      auto words = command + std::vector<std::string>{"--broker", c.nodes().text()};
      if (comer_tls) words = words + std::vector<std::string>{"--tls-ca", certs / "ca.pem"};
      const auto asked = c.run(words);
      INFO(command.front() << ": " << asked.err);
      CHECK(asked.status != 0);
      CHECK(contains(asked.out + asked.err, told));
      CHECK(c.broker().says(logged));
      check_own_words(asked.err);
    }
    raw text{c.nodes()};
    text.send("echo hello\n");
    const auto answer = text.receive_line();
    CHECK(contains(answer, std::string{"ERR BAD_REQUEST "} + come_to_cluster_port));
    check_own_words(c.broker().log());
  }
}

TEST_CASE("TLS to plain and plain to TLS, each at its own port, are told apart on both sides") {
  const certificates certs;
  for (const bool broker_tls : {false, true}) {
    INFO("broker " << broker_tls);
    cluster c{broker_tls ? client_port_tls(certs) +
                               std::vector<std::string>{"--cluster-tls", certs / "broker"}
                         : std::vector<std::string>{}};
    std::vector<std::string> worker_options{"--service", "echo=builtin:echo"};
    std::vector<std::string> client_options{"send", "echo",     "--data",
                                            "x",    "--broker", c.clients().text()};
    if (!broker_tls) {
      worker_options = worker_options + std::vector<std::string>{"--cluster-tls", certs / "worker"};
      client_options = client_options + std::vector<std::string>{"--tls-ca", certs / "ca.pem"};
    }
    const auto& worker = c.start_node("w", worker_options);
    CHECK(worker.says(broker_tls ? "this cluster port speaks TLS: start the worker with "
                                   "--cluster-tls DIR"
                                 : no_tls_here));
    CHECK(c.broker().says(broker_tls ? "it does not speak TLS, and this cluster port does"
                                     : "it speaks TLS, and this cluster port does not"));
    const auto asked = c.run(client_options);
    INFO(asked.err);
    CHECK(asked.status == 3);
    CHECK(contains(asked.err, broker_tls ? "this port speaks TLS (ropewalk send --tls-ca FILE)"
                                         : no_tls_here));
    CHECK(c.broker().says(broker_tls ? "is refused: it does not speak TLS"
                                     : "it speaks TLS, and this client port does not"));
    check_own_words(worker.log() + asked.err + c.broker().log());
  }
}

TEST_CASE(
    "a worker and a broker of releases that do not understand each other say so on both sides") {
  cluster c;
  raw newer{c.nodes()};
  newer.send(cluster_greeting_line({cluster_protocol_version + 1, "9.9.9"}));
  const auto answer = newer.receive([](const std::string&) { return false; });
  CHECK(answer == cluster_greeting_line(own_cluster_greeting())); // by which the newer one knows
  CHECK(newer.closed);
  CHECK(c.broker().says("and the worker ropewalk 9.9.9, which do not understand each other"));
  CHECK(c.broker().says("run the same release on both"));

  // A broker of another release, and no broker at all.
  for (const auto& [says, expected] :
       {std::pair<std::string, std::string>{
            cluster_greeting_line({cluster_protocol_version + 1, "9.9.9"}),
            "the broker is ropewalk 9.9.9 and the worker"},
        {"220 mail.example ESMTP\r\n",
         "what listens there is no Ropewalk broker's cluster port"}}) {
    INFO(says);
    auto listening = listen_tcp({"127.0.0.1", 0});
    REQUIRE(listening);
    const process worker{{ROPEWALK_PROGRAM, "worker", "--broker",
                          local_endpoint(listening->get()).text(), "--service",
                          "echo=builtin:echo"},
                         c.folder() + "/strange-" + std::to_string(says.size()) + ".log"};
    pollfd waiting{listening->get(), POLLIN, 0};
    REQUIRE(::poll(&waiting, 1, 10'000) == 1);
    const descriptor accepted{::accept4(listening->get(), nullptr, nullptr, SOCK_CLOEXEC)};
    REQUIRE(::send(accepted.get(), says.data(), says.size(), MSG_NOSIGNAL) > 0);
    CHECK(worker.says(expected));
    check_own_words(worker.log());
  }
}
