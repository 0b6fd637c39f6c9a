#include "tests/catch.hpp"
#include "tests/cluster/certificate_by_hand.hpp"
#include "tests/cluster/certificates.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"
#include "tests/matches.hpp"

#include <csignal>
#include <filesystem>

using namespace ropewalk;

/// Certificates that are not valid yet, or not for long, and what TLS refuses, in words.

TEST_CASE("certificates that end soon are said by everybody who uses them, and in status") {
  const certificates certs{{"--days", "10", "--client", "alice"}}; // the authority: four times that
  for (const std::string shards : {"1", "2"}) {
    cluster c{client_port_tls(certs) +
              std::vector<std::string>{"--cluster-tls", certs / "broker", "--shards", shards}};
    auto& node =
        c.start_node("n", {"--service", "echo=builtin:echo", "--cluster-tls", certs / "worker"});
    CHECK(c.broker().says("the certificate " + certs / "broker/cert.pem" + " (broker) ends in "));
    CHECK(node.says("the certificate " + certs / "worker/cert.pem" + " (worker) ends in "));
    const std::vector<std::string> as_alice{"--broker",   c.clients().text(),
                                            "--tls-ca",   certs / "ca.pem",
                                            "--tls-cert", certs / "clients/alice/cert.pem",
                                            "--tls-key",  certs / "clients/alice/key.pem"};
    const auto status = c.run(std::vector<std::string>{"status"} + as_alice);
    CHECK(status.status == 0);
    CHECK(contains(status.out, "a certificate of the client port (broker) ends soon: good from "));
    CHECK(contains(status.out, "a certificate of the cluster port (broker) ends soon: good from "));
    CHECK(contains(status.err, "clients/alice/cert.pem (alice) ends in "));
    const auto json = nlohmann::json::parse(
        c.run(std::vector<std::string>{"status", "--json"} + as_alice).out)["certificates"];
    REQUIRE(json.size() == 3); // the client port's, the cluster port's, and that one's authority
    CHECK(json[0]["port"] == "client");
    CHECK(json[0]["state"] == "ends soon");
    CHECK(json[2]["state"] == "good");
    const auto alive = c.run(std::vector<std::string>{"status", "--alive"} + as_alice);
    CHECK(alive.err.empty());
    certs.make({"--days", "100"});
    c.broker().signal(SIGHUP);
    CHECK(eventually([&] {
      const auto now = c.run(std::vector<std::string>{"status", "--json"} + as_alice);
      return nlohmann::json::parse(now.out)["certificates"][0]["state"] == "good";
    }));
    certs.make({"--days", "10"});
  }
}

TEST_CASE("a certificate that is not valid yet is said at start, in status and on both sides") {
  const certificates certs;
  issue_by_hand(certs / ".", "later", {"broker", "Ropewalk broker", true, 86'400});
  cluster c{{"--tls-cert", certs / "later/cert.pem", "--tls-key", certs / "later/key.pem"}};
  CHECK(c.broker().says("later/cert.pem (broker) is not valid before "));
  const auto sent = c.run({"send", "echo", "--data", "x", "--broker", c.clients().text(),
                           "--tls-ca", certs / "ca.pem"});
  CHECK(sent.status == 3);
  CHECK(contains(sent.err, "the peer's certificate is refused (broker): it is not valid before "));
  CHECK(contains(sent.err, "is one of the clocks wrong?"));
  CHECK(c.broker().says("the peer refuses our certificate ("));
}

TEST_CASE("what TLS refuses is said in words that say what to do, on both sides") {
  const certificates certs{{"--client", "alice"}};
  const certificates others{{"--client", "mallory"}};
  const auto client = [&](const cluster& c, const std::string& authority) {
    return c
        .run({"send", "echo", "--data", "x", "--broker", c.clients().text(), "--tls-ca", authority})
        .err;
  };
  {
    cluster c{client_port_tls(certs) + std::vector<std::string>{"--client-ca", certs / "ca.pem"}};
    CHECK(contains(client(c, others / "ca.pem"), "it does not come from the authority that is "
                                                 "trusted here: both sides need the same"));
    CHECK(c.broker().says("it does not come from the authority that the peer trusts"));
    (void)client(c, certs / "ca.pem");
    CHECK(c.broker().says("the peer showed no certificate, and needs one here"));
    const auto mallory =
        c.run({"send", "echo", "--data", "x", "--broker", c.clients().text(), "--tls-ca",
               certs / "ca.pem", "--tls-cert", others / "clients/mallory/cert.pem", "--tls-key",
               others / "clients/mallory/key.pem"});
    CHECK(mallory.status != 0);
    CHECK(c.broker().says("the peer's certificate is refused (mallory): it "));
    for (const auto* theirs : {"unable to get", "self-signed", "self signed", "verify failed",
                               "tlsv1", "alert", "mismatch"})
      CHECK_FALSE(contains(c.broker().log() + mallory.err, theirs));
  }
  const certificates named{{"--host", "elsewhere.example", "--host", "10.1.2.3"}};
  cluster misnamed{client_port_tls(named)};
  CHECK(contains(client(misnamed, named / "ca.pem"),
                 "it is made out to elsewhere.example, 10.1.2.3 and not to 127.0.0.1: name the "
                 "broker as it is there, or make one for it (ropewalk certs --host 127.0.0.1)"));
}

TEST_CASE("over TLS the last line without a newline counts if its end was said") {
  const certificates certs;
  cluster c{client_port_tls(certs)};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(eventually([&] {
    return c.run({"status", "--expect-nodes", "1", "--broker", c.clients().text(), "--tls-ca",
                  certs / "ca.pem"})
               .status == 0;
  }));
  const auto context = tls_context::for_client({{}, {}, certs / "ca.pem"}, roles::nobody_asks);
  REQUIRE(context);
  const auto answer_to = [&](bool says_its_end) {
    auto connected = connect_tls(c.clients(), **context, 5s);
    REQUIRE(connected);
    auto& wire = **connected;
    std::string line = "echo hello";
    const iovec out{line.data(), line.size()};
    REQUIRE(wire.send({&out, 1}).state == stream::state::ok);
    if (says_its_end)
      wire.finish();
    else
      ::shutdown(wire.fd(), SHUT_WR);
    std::array<char, 100> buffer{};
    const iovec in{buffer.data(), buffer.size()};
    std::string said;
    REQUIRE(eventually([&] {
      const auto got = wire.receive({&in, 1});
      said.append(buffer.data(), got.bytes);
      return got.state == stream::state::end || got.state == stream::state::failed;
    }));
    return said;
  };
  CHECK(answer_to(true) == "OK hello\n");
  CHECK(answer_to(false).empty());
}
