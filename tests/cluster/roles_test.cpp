#include "net/tls/tls.hpp"
#include "net/transport/greeted_stream.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/certificate_by_hand.hpp"
#include "tests/cluster/certificates.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"
#include "tests/matches.hpp"

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <poll.h>
#include <set>
#include <thread>

using namespace ropewalk;
namespace fs = std::filesystem;

/// A certificate is good for what it says and for nothing else: a client's does not join, a
/// worker's does not serve, and one that does not say what it is for does neither.

namespace {

constexpr auto* older = "does not say what it is for: it was made by an older ropewalk; make new "
                        "ones with `ropewalk certs`";

// Certificates of every kind by one authority: broker, worker, clients/alice, and by hand those
// that an older ropewalk made (old-broker, old-worker, old-client) and those that the key usage
// lets serve whatever they are for (serving-worker, serving-client).
struct of_every_kind : certificates {
  of_every_kind() : certificates({"--client", "alice"}) {
    const auto folder = *this / "";
    issue_by_hand(folder, "old-broker", {"broker", "", true});
    issue_by_hand(folder, "old-worker", {"worker", {}});
    issue_by_hand(folder, "old-client", {"alice", {}});
    issue_by_hand(folder, "serving-worker", {"worker", "Ropewalk worker", true});
    issue_by_hand(folder, "serving-client", {"alice", "Ropewalk client", true});
  }
};

// Those of an authority of somebody's own: with and without roles.
class foreign_certificates {
public:
  foreign_certificates() {
    const auto& folder = folder_.path();
    authority_by_hand(folder, "Somebody's own");
    issue_by_hand(folder, "server", {"server", "Operations", true});
    issue_by_hand(folder, "person", {"bob", {}});
    issue_by_hand(folder, "broker", {"server", "Ropewalk broker", true});
    issue_by_hand(folder, "worker", {"node", "Ropewalk worker"});
  }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return folder_.path() + "/" + name;
  }
  [[nodiscard]] tls_files of(const std::string& who) const {
    return {*this / (who + "/cert.pem"), *this / (who + "/key.pem"), *this / "ca.pem"};
  }

private:
  temporary_folder folder_;
};

std::shared_ptr<const tls_context>
context_of(const result<std::shared_ptr<const tls_context>>& made) {
  if (!made) FAIL(made.why().text());
  return *made;
}

// What becomes of a node that checks nothing of its own certificate; empty: it is let in.
std::string join_by_hand(const cluster& c, const tls_files& files) {
  const auto context = context_of(tls_context::for_client(files, roles::nobody_asks));
  auto connected = connect_tls(c.nodes(), *context, 5s);
  if (!connected) return connected.why().text();
  ::signal(SIGPIPE,
           SIG_IGN); // as a worker has it: OpenSSL writes to a broker that has gone as to a pipe
  const auto greeted = greet_broker(**connected, 5s);
  return greeted ? std::string{} : greeted.why().text();
}

// Serves with a certificate of which it checks nothing, and says nothing.
class fake_broker {
public:
  explicit fake_broker(const tls_files& files)
      : context_(context_of(
            tls_context::for_server({files.certificate, files.key, {}}, roles::nobody_asks))) {
    auto listening = listen_tcp({"127.0.0.1", 0});
    REQUIRE(listening);
    listening_ = *std::move(listening);
    where_ = local_endpoint(listening_.get());
    serving_ = std::jthread{[this](const std::stop_token& told) { serve(told); }};
  }

  [[nodiscard]] const endpoint& where() const { return where_; }

private:
  void serve(const std::stop_token& told) const {
    while (!told.stop_requested()) {
      if (!readable(listening_.get())) continue;
      const descriptor accepted{
          ::accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
      if (!accepted.valid()) continue;
      const auto connection = context_->accept(accepted.get());
      std::array<char, 4096> buffer;
      const iovec into{buffer.data(), buffer.size()};
      auto state = stream::state::blocked;
      while (!told.stop_requested() &&
             (state == stream::state::blocked || state == stream::state::ok))
        if (readable(accepted.get())) state = connection->receive({&into, 1}).state;
    }
  }

  static bool readable(int fd) {
    pollfd waiting{fd, POLLIN, 0};
    return ::poll(&waiting, 1, 50) > 0;
  }

  std::shared_ptr<const tls_context> context_;
  descriptor listening_;
  endpoint where_;
  std::jthread serving_;
};

std::vector<std::string> as_worker(const std::string& folder) {
  return {"--service", "echo=builtin:echo", "--cluster-tls", folder};
}

std::vector<std::string> as_client(const endpoint& broker, const tls_files& files) {
  return {"send",        "echo",     "--data",        "x",          "--broker",
          broker.text(), "--tls-ca", files.authority, "--tls-cert", files.certificate,
          "--tls-key",   files.key};
}

std::vector<std::string> as_broker(const std::vector<std::string>& options) {
  return std::vector<std::string>{"broker",      "--listen",    "127.0.0.1:0", "--cluster",
                                  "127.0.0.1:0", "--log-level", "error"} +
         options;
}

} // namespace

TEST_CASE("nobody joins at the cluster port but with a worker's certificate") {
  const of_every_kind certs;
  cluster c{{"--cluster-tls", certs / "broker"}};
  CHECK(join_by_hand(c, certs.of("worker")).empty());
  const std::array<std::pair<const char*, std::string>, 6> refused{{
      {"clients/alice", "the peer showed a client's certificate (alice); only a worker's may join"},
      {"serving-client",
       "the peer showed a client's certificate (alice); only a worker's may join"},
      {"broker", "the peer showed a broker's certificate (broker); only a worker's may join"},
      {"old-worker",
       std::string{"the peer's certificate (worker) "} + older + " and copy them to the workers"},
      {"old-client", std::string{"the peer's certificate (alice) "} + older},
      {"old-broker", std::string{"the peer's certificate (broker) "} + older},
  }};
  for (const auto& [who, why] : refused) {
    INFO(who);
    CHECK(contains(join_by_hand(c, certs.of(who)),
                   "the peer refuses our certificate (it is not for this use); its log says why"));
    CHECK(c.broker().says("refused at the cluster port: 127.0.0.1: " + why));
  }
  CHECK(c.status()["nodes"].empty());
  c.start_node("good", as_worker(certs / "worker"));
  CHECK(c.has_nodes(1));
}

TEST_CASE("a worker does not start with a certificate that is none of a worker's, nor under a "
          "master") {
  const of_every_kind certs;
  cluster c{{"--cluster-tls", certs / "broker"}};
  auto start = [&](const std::string& folder, std::vector<std::string> more = {}) {
    return c.run(std::vector<std::string>{"worker", "--broker", c.nodes().text()} +
                 as_worker(folder) + more);
  };
  const auto clients = start(certs / "clients/alice");
  CHECK(clients.status == 2);
  CHECK(clients.err == "ropewalk worker: " + certs / "clients/alice/cert.pem" +
                           " is a client's certificate; a worker needs a worker's: `ropewalk "
                           "certs` makes it in certs/worker\n");
  const auto brokers = start(certs / "broker", {"--processes", "2"});
  CHECK(brokers.status == 2);
  CHECK(contains(brokers.err, "is a broker's certificate; a worker needs a worker's"));
  const auto old = start(certs / "old-worker");
  CHECK(old.status == 2);
  CHECK(old.err == "ropewalk worker: " + certs / "old-worker/cert.pem" + " " + older + "\n");
}

TEST_CASE("a broker does not start with a certificate that is none of a broker's, on either port") {
  const of_every_kind certs;
  const foreign_certificates others;
  cluster c;
  auto cluster_port = [&](const std::string& folder) {
    return c.run(as_broker({"--cluster-tls", folder}));
  };
  auto client_port = [&](const std::string& folder) {
    return c.run(as_broker({"--tls-cert", folder + "/cert.pem", "--tls-key", folder + "/key.pem"}));
  };
  for (const auto& started : {cluster_port(certs / "worker"), client_port(certs / "worker"),
                              client_port(certs / "serving-worker")}) {
    CHECK(started.status == 2);
    CHECK(contains(started.err, "is a worker's certificate; a broker needs a broker's: `ropewalk "
                                "certs` makes it in certs/broker"));
  }
  for (const auto& started :
       {cluster_port(certs / "clients/alice"), client_port(certs / "clients/alice")}) {
    CHECK(started.status == 2);
    CHECK(contains(started.err, "is a client's certificate; a broker needs a broker's"));
  }
  for (const auto& started :
       {cluster_port(certs / "old-broker"), client_port(certs / "old-broker")}) {
    CHECK(started.status == 2);
    CHECK(contains(started.err, older));
  }
  const auto no_role = cluster_port(others / "server");
  CHECK(no_role.status == 2);
  CHECK(contains(no_role.err, "does not say what it is for: a broker's certificate must have OU = "
                              "Ropewalk broker in its subject"));
}

TEST_CASE("workers take no server for their broker but one with a broker's certificate") {
  const of_every_kind certs;
  cluster c;
  const std::array<std::pair<const char*, std::string>, 5> refused{{
      {"worker", "the peer showed a worker's certificate (worker); only a broker's may serve"},
      {"serving-worker",
       "the peer showed a worker's certificate (worker); only a broker's may serve"},
      {"clients/alice",
       "the peer showed a client's certificate (alice); only a broker's may serve"},
      {"serving-client",
       "the peer showed a client's certificate (alice); only a broker's may serve"},
      {"old-broker",
       std::string{"the peer's certificate (broker) "} + older + " and copy them to the broker"},
  }};
  for (const auto& [who, why] : refused) {
    INFO(who);
    const fake_broker fake{certs.of(who)};
    const process worker{
        std::vector<std::string>{ROPEWALK_PROGRAM, "worker", "--broker", fake.where().text()} +
            as_worker(certs / "worker"),
        c.folder() + "/lured-by-" + fs::path{who}.filename().string() + ".log"};
    CHECK(worker.says("no TLS with " + fake.where().text() + ": " + why));
  }
}

TEST_CASE("clients take no server for their broker that has another role") {
  const of_every_kind certs;
  const foreign_certificates others;
  cluster c;
  const std::array<std::pair<const char*, std::string>, 5> refused{{
      {"worker", "the peer showed a worker's certificate (worker); only a broker's may serve"},
      {"serving-worker",
       "the peer showed a worker's certificate (worker); only a broker's may serve"},
      {"clients/alice",
       "the peer showed a client's certificate (alice); only a broker's may serve"},
      {"serving-client",
       "the peer showed a client's certificate (alice); only a broker's may serve"},
      {"old-broker", std::string{"the peer's certificate (broker) "} + older},
  }};
  for (const auto& [who, why] : refused) {
    INFO(who);
    const fake_broker fake{certs.of(who)};
    for (const auto& command :
         {std::vector<std::string>{"send", "echo", "--data", "x"}, {"status"}, {"bench", "echo"}}) {
      const auto words = command + std::vector<std::string>{"--broker", fake.where().text(),
                                                            "--tls-ca", certs / "ca.pem"};
      const auto asked = c.run(words);
      INFO(command.front() << ": " << asked.err);
      CHECK(asked.status != 0);
      CHECK(contains(asked.err, why));
    }
  }
  cluster foreign{
      {"--tls-cert", others / "server/cert.pem", "--tls-key", others / "server/key.pem"}};
  foreign.start_node("a", {"--service", "echo=builtin:echo"});
  const std::vector<std::string> words{"send",     "echo",           "--data",
                                       "x",        "--broker",       foreign.clients().text(),
                                       "--tls-ca", others / "ca.pem"};
  CHECK(eventually([&] { return foreign.run(words).out == "x"; }));
}

TEST_CASE("where client certificates are wanted, only a client's will do, or one of somebody's own "
          "authority") {
  const of_every_kind certs;
  const foreign_certificates others;
  const auto both = certs / "both.pem"; // both authorities
  std::ofstream{both} << std::ifstream{certs / "ca.pem"}.rdbuf()
                      << std::ifstream{others / "ca.pem"}.rdbuf();
  cluster c{client_port_tls(certs) + std::vector<std::string>{"--client-ca", both}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  auto ask_by_hand = [&](tls_files files) {
    files.authority = certs / "ca.pem";
    const auto context = context_of(tls_context::for_client(files, roles::nobody_asks));
    auto connected = connect_tls(c.clients(), *context, 5s);
    if (!connected) return connected.why().text();
    client asking{*std::move(connected)};
    const auto answer = asking.call("echo", "x");
    return answer.code == error_code::ok ? std::string{} : asking.why_closed();
  };
  CHECK(eventually([&] { return ask_by_hand(certs.of("clients/alice")).empty(); }));
  CHECK(ask_by_hand(others.of("person")).empty());
  const std::array<std::pair<const char*, std::string>, 4> refused{{
      {"worker", "the peer showed a worker's certificate (worker); only a client's may ask"},
      {"broker", "the peer showed a broker's certificate (broker); only a client's may ask"},
      {"old-client",
       std::string{"the peer's certificate (alice) "} + older + " and copy them to the clients"},
      {"old-worker", std::string{"the peer's certificate (worker) "} + older},
  }};
  for (const auto& [who, why] : refused) {
    INFO(who);
    const auto heard = ask_by_hand(certs.of(who));
    INFO(heard);
    CHECK(contains(heard, "the peer refuses our certificate (it is not for this use)"));
    CHECK(c.broker().says("is refused: " + why));
  }
  CHECK(contains(ask_by_hand({}), "the peer asks for a certificate, and there is none to show"));
  const auto foreign_worker = ask_by_hand(others.of("worker"));
  CHECK(contains(foreign_worker, "refuses our certificate"));
  CHECK(c.broker().says("the peer showed a worker's certificate (node)"));

  // The program does not even try.
  const auto workers = c.run(as_client(c.clients(), certs.of("worker")));
  CHECK(workers.status == 3);
  CHECK(contains(workers.err, "is a worker's certificate; a client needs a client's: `ropewalk "
                              "certs` makes it in certs/clients/NAME"));
  CHECK(contains(c.run(as_client(c.clients(), certs.of("old-client"))).err, older));
  CHECK(c.run(as_client(c.clients(), certs.of("clients/alice"))).out == "x");
}

TEST_CASE("a certificate of another role is not reloaded, and the one that is there goes on") {
  const of_every_kind certs;
  const temporary_folder used;
  auto use = [&](const std::string& who) {
    for (const auto* file : {"cert.pem", "key.pem"})
      fs::copy_file(certs / (who + "/" + file), used.path() + "/" + file,
                    fs::copy_options::overwrite_existing);
  };
  use("broker");
  cluster c{{"--tls-cert", used.path() + "/cert.pem", "--tls-key", used.path() + "/key.pem"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  const std::vector<std::string> ask{
      "send", "echo", "--data", "x", "--broker", c.clients().text(), "--tls-ca", certs / "ca.pem"};
  CHECK(eventually([&] { return c.run(ask).out == "x"; }));
  use("serving-worker");
  c.broker().signal(SIGHUP);
  CHECK(c.broker().says("nothing is reloaded: " + used.path() +
                        "/cert.pem is a worker's certificate; a broker needs a broker's"));
  use("old-broker");
  c.broker().signal(SIGHUP);
  CHECK(c.broker().says("nothing is reloaded: " + used.path() + "/cert.pem " + older));
  CHECK(c.run(ask).out == "x");
}

TEST_CASE("an authority of one's own makes workers and brokers by saying so in its certificates") {
  const foreign_certificates others;
  cluster c{{"--cluster-tls", others / "broker"}};
  c.start_node("mine", as_worker(others / "worker"));
  CHECK(c.has_nodes(1));
  CHECK_FALSE(join_by_hand(c, others.of("person")).empty());
  CHECK(c.broker().says("the peer's certificate (bob) does not say what it is for: it must "
                        "have OU = Ropewalk worker in its subject"));
}

TEST_CASE("certs --keep leaves good certificates alone, and makes anew what an older ropewalk made "
          "or what is of no use") {
  const certificates certs{{"--client", "alice"}};
  const certificates another;
  const auto folder = certs / "";
  auto bytes_of = [&](const std::string& who) {
    std::ifstream in{certs / (who + "/cert.pem")};
    return std::string{std::istreambuf_iterator<char>{in}, {}};
  };
  const std::array everybody{"broker", "worker", "clients/alice"};
  auto keep = [&] {
    std::map<std::string, std::string> before;
    for (const auto* who : everybody) before[who] = bytes_of(who);
    fs::remove(certs / "certs.log");
    certs.make({"--keep", "--client", "alice"});
    std::set<std::string> anew;
    for (const auto* who : everybody)
      if (bytes_of(who) != before[who]) anew.insert(who);
    return anew;
  };
  auto said = [&] {
    std::ifstream in{certs / "certs.log"};
    return std::string{std::istreambuf_iterator<char>{in}, {}};
  };
  using who = std::set<std::string>;
  CHECK(keep().empty());

  issue_by_hand(folder, "broker", {"broker", "", true});
  issue_by_hand(folder, "worker", {"worker", {}});
  issue_by_hand(folder, "clients/alice", {"alice", {}});
  CHECK(keep() == who{"broker", "worker", "clients/alice"});
  CHECK(contains(said(), "worker: made anew, for it was made by an older ropewalk and does not say "
                         "what it is for"));
  CHECK(contains(said(), "worker: cert.pem, key.pem, ca.pem: a worker's (worker, 825 days)"));

  // The broker's volume is an old one, and the workers' is empty.
  issue_by_hand(folder, "broker", {"broker", "", true});
  fs::remove_all(certs / "worker");
  CHECK(keep() == who{"broker", "worker"});
  // The workers' is an old one, and the broker's is good.
  issue_by_hand(folder, "worker", {"worker", {}});
  CHECK(keep() == who{"worker"});
  // The broker's was lost, and with it the authority.
  for (const auto* file : {"cert.pem", "key.pem", "ca.pem"})
    fs::copy_file(another / (std::string{"worker/"} + file),
                  certs / (std::string{"worker/"} + file), fs::copy_options::overwrite_existing);
  CHECK(keep() == who{"worker"});
  CHECK(contains(said(), "it does not come from the authority in "));
  issue_by_hand(folder, "worker", {"alice", "Ropewalk client"});
  CHECK(keep() == who{"worker"});
  CHECK(contains(said(), "it is a client's and no worker's"));
  fs::remove(certs / "worker/key.pem");
  CHECK(keep() == who{"worker"});
  CHECK(contains(said(), "its key is not beside it"));
  std::ofstream{certs / "worker/cert.pem"} << "nonsense";
  CHECK(keep() == who{"worker"});
  certs.make({"--days", "0"});
  CHECK(keep() == who{"broker", "worker"});
  CHECK(contains(said(), "it has expired"));
  CHECK(keep().empty());

  cluster c{{"--cluster-tls", certs / "broker"}};
  c.start_node("a", as_worker(certs / "worker"));
  CHECK(c.has_nodes(1));

  // What somebody's own authority made is not ours to replace.
  const foreign_certificates others;
  fs::copy_file(others / "worker/cert.pem", certs / "worker/cert.pem",
                fs::copy_options::overwrite_existing);
  CHECK(keep().empty());
}
