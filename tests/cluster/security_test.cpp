#include "net/tls/tls.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/certificates.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>

using namespace ropewalk;
namespace fs = std::filesystem;

/// Who does not belong does not get in: garbage, plain text, wrong and expired certificates, tokens
/// that are not known, services that are not theirs.

namespace {

// A client over TLS.
result<client> try_tls(const cluster& c, const tls_files& files) {
  const auto context = tls_context::for_client(files, roles::nobody_asks);
  if (!context) return context.why();
  auto connected = connect_tls(c.clients(), **context, 5s);
  if (!connected) return std::move(connected).why();
  return client{*std::move(connected)};
}

client over_tls(const cluster& c, const tls_files& files) {
  auto made = try_tls(c, files);
  if (!made) FAIL(made.why().text());
  return *std::move(made);
}

// An access file; tokens for those in it.
class access_file {
public:
  access_file() { clear(); }

  // A token for `name`, whose line is added.
  std::string add(const std::string& name, const std::string& services) const {
    const auto made = run_ropewalk({"token", name, "--services", services}, folder_.path());
    REQUIRE(made.status == 0);
    std::ofstream{path(), std::ios::app} << made.err;
    return made.out.substr(0, made.out.size() - 1);
  }

  void clear() const { std::ofstream{path()} << ""; }
  [[nodiscard]] std::string path() const { return folder_.path() + "/access"; }

private:
  temporary_folder folder_;
};

} // namespace

TEST_CASE("messages of every size go through TLS on the client port, from several clients") {
  const certificates certs;
  cluster c{client_port_tls(certs)};
  c.start_node("a", {"--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(eventually([&] {
    return over_tls(c, {{}, {}, certs / "ca.pem"}).call("echo", "x").code == error_code::ok;
  }));
  for (const std::size_t size : {0u, 1u, 1000u, 16'383u, 16'384u, 100'000u, 2'000'000u}) {
    load l{over_tls(c, {{}, {}, certs / "ca.pem"}), "echo", size > 50'000 ? 20u : 500u, 16,
           [size](std::uint64_t id) {
             std::string text(size, static_cast<char>('a' + id % 26));
             return text;
           }};
    l.run(60s);
    INFO(size << ' ' << l.last_error);
    REQUIRE(l.missing() == 0);
    REQUIRE(l.wrong == 0);
    REQUIRE(l.errors.empty());
  }
  const auto sent =
      c.run({"send", "echo", "--data", "hello", "--broker",
             "localhost:" + std::to_string(c.clients().port), "--tls-ca", certs / "ca.pem"});
  INFO(sent.err);
  REQUIRE(sent.out == "hello");
}

TEST_CASE("many lines in one record of TLS are all answered, though a newcomer is read little by "
          "little") {
  const certificates certs;
  cluster c{client_port_tls(certs)};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(eventually([&] {
    return over_tls(c, {{}, {}, certs / "ca.pem"}).call("echo", "x").code == error_code::ok;
  }));
  const auto context = tls_context::for_client({{}, {}, certs / "ca.pem"}, roles::nobody_asks);
  const auto s = *connect_tls(c.clients(), **context, 5s);
  constexpr int count = 2000;
  std::string lines;
  for (int i = 0; i < count; ++i) lines += "echo a\n"; // 14 KB: the loop is woken once
  const iovec all{lines.data(), lines.size()};
  REQUIRE(s->send({&all, 1}).state == stream::state::ok);
  std::string answers;
  REQUIRE(eventually([&] {
    std::array<char, 16'384> buffer;
    const iovec into{buffer.data(), buffer.size()};
    const auto got = s->receive({&into, 1});
    if (got.state == stream::state::ok) answers.append(buffer.data(), got.bytes);
    return std::count(answers.begin(), answers.end(), '\n') == count;
  }));
}

TEST_CASE("who speaks plainly to a TLS port is told so, in frames or in text") {
  const certificates certs;
  cluster c{client_port_tls(certs)};
  raw text{c.clients()};
  text.send("echo hello\n");
  REQUIRE(text.receive_line().starts_with("ERR UNAUTHORIZED this port speaks TLS"));
  raw binary{c.clients()};
  binary.send(frame(frame_kind::request, 1, "echo", "hello"));
  const auto answer = binary.receive([](const std::string& s) { return s.size() > 40; });
  REQUIRE(answer.find("this port speaks TLS") != std::string::npos);
  REQUIRE(c.broker().says("does not speak TLS"));
  const auto sent = c.run({"send", "echo", "--data", "x", "--broker", c.clients().text()});
  REQUIRE(sent.status == 3);
  REQUIRE(sent.err.find("speaks TLS") != std::string::npos);
}

TEST_CASE("a client that does not trust the broker's certificate does not send its message") {
  const certificates certs;
  const certificates others;
  cluster c{client_port_tls(certs)};
  const auto wrong = try_tls(c, {{}, {}, others / "ca.pem"});
  REQUIRE(wrong.why().text().find("it does not come from the authority that is trusted here") !=
          std::string::npos);
  const certificates elsewhere{{"--host", "elsewhere.example"}};
  cluster misnamed{client_port_tls(elsewhere)};
  const auto mismatch = try_tls(misnamed, {{}, {}, elsewhere / "ca.pem"});
  REQUIRE(mismatch.why().text().find("it is made out to elsewhere.example and not to ") !=
          std::string::npos);
}

TEST_CASE("where client certificates are wanted, only those of the authority get in") {
  const certificates certs{{"--client", "alice"}};
  const certificates others{{"--client", "mallory"}};
  const certificates expired{{"--client", "old", "--days", "0"}};
  fs::copy_file(certs / "ca.pem", expired / "trusted.pem");
  cluster c{client_port_tls(certs) + std::vector<std::string>{"--client-ca", certs / "ca.pem"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(eventually([&] {
    return over_tls(c, certs.of("clients/alice")).call("echo", "x").code == error_code::ok;
  }));
  auto refused = [&](const tls_files& files) {
    auto tried = try_tls(c, files); // in TLS 1.3 the server's verdict comes after the handshake
    if (!tried) return true;
    auto& connected = *tried;
    return connected.call("echo", "x").code != error_code::ok && connected.closed();
  };
  REQUIRE(refused({{}, {}, certs / "ca.pem"}));
  REQUIRE(c.broker().says("the peer showed no certificate, and needs one here"));
  auto with_own_trust = [&](tls_files files) {
    files.authority = certs / "ca.pem";
    return files;
  };
  REQUIRE(refused(with_own_trust(others.of("clients/mallory"))));
  REQUIRE(c.broker().says("certificate is refused"));
  REQUIRE(refused(with_own_trust(expired.of("clients/old"))));
  REQUIRE(c.broker().log().find("BEGIN") == std::string::npos); // nothing secret in the log
}

TEST_CASE("a certificate that has expired is refused on either side, with a sentence") {
  const certificates certs{{"--days", "0"}};
  const certificates good;
  cluster c;
  const auto started =
      c.run({"broker", "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:0", "--tls-cert",
             certs / "broker/cert.pem", "--tls-key", certs / "broker/key.pem"});
  REQUIRE(started.status == 2);
  REQUIRE(started.err.find("has expired: make a new one") != std::string::npos);
  const auto mixed =
      c.run({"broker", "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:0", "--tls-cert",
             good / "broker/cert.pem", "--tls-key", good / "worker/key.pem"});
  REQUIRE(mixed.status == 2);
  const auto missing = c.run({"broker", "--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.pem"});
  REQUIRE(missing.status == 2);
  REQUIRE(missing.err.find("/nowhere.pem") != std::string::npos);
}

TEST_CASE("the cluster port with certificates lets in workers of its authority and nobody else") {
  const certificates certs;
  const certificates others;
  cluster c{{"--cluster-tls", certs / "broker"}};
  c.start_node("good", {"--service", "echo=builtin:echo", "--cluster-tls", certs / "worker"});
  REQUIRE(c.has_nodes(1));
  for (const std::size_t size : {10u, 5000u, 1'000'000u}) {
    load l{c.connect(), "echo", size > 50'000 ? 40u : 2000u, 16, [size](std::uint64_t id) {
             return std::string(size, static_cast<char>('a' + id % 26));
           }};
    l.run(60s);
    REQUIRE(l.missing() == 0);
    REQUIRE(l.wrong == 0);
    REQUIRE(l.errors.empty());
  }
  auto& plain = c.start_node("plain", {"--service", "echo=builtin:echo"});
  auto& stranger = c.start_node(
      "stranger", {"--service", "echo=builtin:echo", "--cluster-tls", others / "worker"});
  REQUIRE(plain.says("no broker at"));
  REQUIRE(stranger.says("certificate is refused"));
  REQUIRE(c.broker().says("refused at the cluster port"));
  raw garbage{c.nodes()};
  garbage.send(std::string(2000, '\xff'));
  garbage.receive([](const std::string&) { return false; }, 3s);
  REQUIRE(garbage.closed);
  REQUIRE(c.status()["nodes"].size() == 1);
}

TEST_CASE("work is made good over TLS when a worker is killed") {
  const certificates certs;
  cluster c{{"--cluster-tls", certs / "broker"}};
  auto& doomed =
      c.start_node("doomed", {"--service", "echo=builtin:echo", "--cluster-tls", certs / "worker"});
  c.start_node("other", {"--service", "echo=builtin:echo", "--cluster-tls", certs / "worker"});
  REQUIRE(c.has_nodes(2));
  load l{c.connect(), "echo", 20'000, 64, [](std::uint64_t id) { return std::to_string(id); }};
  l.run(60s, [&](std::uint64_t answered) {
    if (answered == 5000) doomed.signal(SIGKILL);
  });
  REQUIRE(l.answered == 20'000);
  REQUIRE(l.twice == 0);
}

TEST_CASE("with an access file, a token opens the services that it is for and no others") {
  const access_file file;
  const auto alice = file.add("alice", "echo");
  const auto boss = file.add("boss", "*");
  cluster c{{"--access-file", file.path()}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--service", "upper=builtin:upper"});
  auto with_token = [&](const std::string& token) {
    auto connected = c.connect();
    auto said = connected.hello(token, 5s);
    return std::pair{std::move(connected), std::move(said)};
  };
  REQUIRE(
      eventually([&] { return with_token(boss).first.call("upper", "x").code == error_code::ok; }));
  auto [as_alice, welcome] = with_token(alice);
  REQUIRE(welcome);
  REQUIRE(as_alice.call("echo", "hi").payload.view() == "hi");
  REQUIRE(as_alice.call("echo", std::string(1'000'000, 'x')).code == error_code::ok);
  const auto denied = as_alice.call("upper", "hi");
  REQUIRE(denied.code == error_code::unauthorized);
  REQUIRE(denied.payload.view() == "alice may not ask for service 'upper'");
  REQUIRE(as_alice.call("echo", "still here").code == error_code::ok);

  for (const auto* wrong : {"guess", "", "sha256:0"}) {
    const auto refused = with_token(wrong).second;
    REQUIRE_FALSE(refused);
    REQUIRE(refused.why().text().find("UNAUTHORIZED") != std::string::npos);
  }
  REQUIRE(c.connect().call("echo", "x").code != error_code::ok); // no hello at all
  raw text{c.clients()};
  text.send("AUTH " + alice + "\necho over text\nupper no\n");
  REQUIRE(text.receive([](const std::string& s) { return s.ends_with("'upper'\n"); }) ==
          "OK\nOK over text\nERR UNAUTHORIZED alice may not ask for service 'upper'\n");
  raw stranger{c.clients()};
  stranger.send("echo hello\n");
  REQUIRE(
      stranger.receive_line().starts_with("ERR UNAUTHORIZED the first line must be AUTH TOKEN"));
  REQUIRE(c.broker().says("the token is not known"));
  REQUIRE(c.broker().log().find(alice) == std::string::npos);
  REQUIRE(c.broker().log().find("guess") == std::string::npos);

  std::ofstream{c.folder() + "/token"} << alice << '\n';
  const auto sent = c.run({"send", "echo", "--data", "x", "--broker", c.clients().text(),
                           "--token-file", c.folder() + "/token"});
  INFO(sent.err);
  REQUIRE(sent.out == "x");
}

TEST_CASE(
    "SIGHUP reloads tokens and certificates, and a file that makes no sense changes nothing") {
  const certificates certs;
  const access_file file;
  const auto alice = file.add("alice", "*");
  cluster c{client_port_tls(certs) + std::vector<std::string>{"--access-file", file.path()}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  const tls_files trust{{}, {}, certs / "ca.pem"};
  auto ask = [&](client& as) { return as.call("echo", "x").code; };
  auto old = over_tls(c, trust);
  REQUIRE(old.hello(alice, 5s));
  REQUIRE(eventually([&] { return ask(old) == error_code::ok; }));

  std::ofstream{file.path()} << "nonsense\n";
  c.broker().signal(SIGHUP);
  REQUIRE(c.broker().says("nothing is reloaded"));
  REQUIRE(c.broker().says("line 1: wants three words"));
  REQUIRE(ask(old) == error_code::ok);

  file.clear();
  const auto bob = file.add("bob", "*");
  certs.make({}); // new certificates of the same authority
  c.broker().signal(SIGHUP);
  REQUIRE(c.broker().says("certificates and tokens are reloaded"));
  REQUIRE(ask(old) != error_code::ok); // alice is out
  auto fresh = over_tls(c, trust);
  REQUIRE(fresh.hello(bob, 5s));
  REQUIRE(ask(fresh) == error_code::ok);
  REQUIRE_FALSE(over_tls(c, trust).hello(alice, 5s));
}

TEST_CASE(
    "SIGHUP reloads the cluster port's certificates, on every shard: who is in stays, and who "
    "comes must fit the new ones") {
  const certificates old;
  const certificates fresh; // of another authority
  const temporary_folder used;
  const auto use = [&](const certificates& which) {
    fs::create_directories(used.path() + "/broker");
    fs::copy(which / "ca.pem", used.path() + "/ca.pem", fs::copy_options::overwrite_existing);
    fs::copy(which / "broker", used.path() + "/broker",
             fs::copy_options::overwrite_existing | fs::copy_options::recursive);
  };
  use(old);
  cluster c{{"--cluster-tls", used.path() + "/broker", "--shards", "2"}};
  const auto start = [&](const std::string& name, const certificates& with) {
    c.start_node(name, {"--service", "echo=builtin:echo", "--cluster-tls", with / "worker"});
  };
  start("a", old);
  REQUIRE(c.has_nodes(1));
  use(fresh);
  c.broker().signal(SIGHUP);
  REQUIRE(c.broker().says("the cluster port's certificates are reloaded"));
  start("late", old);
  start("b", fresh);
  REQUIRE(c.broker().says("shard 0: node b joined"));
  REQUIRE(c.broker().says("shard 1: node b joined"));
  REQUIRE(c.broker().says("refused at the cluster port"));
  CHECK(c.broker().log().find("node late joined") == std::string::npos);
  CHECK(c.broker().log().find("node a is gone") == std::string::npos);

  std::ofstream{used.path() + "/broker/key.pem"} << "nonsense\n";
  c.broker().signal(SIGHUP);
  REQUIRE(c.broker().says("the cluster port's certificates are not reloaded: "));
  start("d", fresh);
  REQUIRE(c.broker().says("shard 1: node d joined"));
}

TEST_CASE("who never says who it is, or never shakes hands, is shown the door in time") {
  const certificates certs;
  const access_file file;
  file.add("alice", "*");
  cluster c{{"--access-file", file.path(), "--hello-time", "500"}};
  raw silent{c.clients()};
  raw half{c.clients()};
  half.send(std::string("\0\0\0", 3));
  const auto said = half.receive([](const std::string&) { return false; }, 6s);
  REQUIRE(said.find("has not said who it is in time") != std::string::npos);
  silent.receive([](const std::string&) { return false; }, 6s);
  REQUIRE(silent.closed);
  cluster t{client_port_tls(certs) + std::vector<std::string>{"--hello-time", "500"}};
  raw mute{t.clients()};
  mute.send("\x16\x03\x01");
  mute.receive([](const std::string&) { return false; }, 6s);
  REQUIRE(mute.closed);
}

TEST_CASE("attempts to get in cost little memory, and do not fill the log") {
  const certificates certs;
  const access_file file;
  file.add("alice", "*");
  cluster c{client_port_tls(certs) + std::vector<std::string>{"--access-file", file.path(),
                                                              "--cluster-tls", certs / "broker"}};
  const auto before = resident_kib(c.broker().pid());
  constexpr int attempts = 200;
  std::vector<std::unique_ptr<raw>> held;
  for (int i = 0; i < attempts; ++i) { // all at a time: a hello that goes nowhere
    held.push_back(std::make_unique<raw>(i % 2 ? c.clients() : c.nodes()));
    held.back()->send(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) +
                      std::string(200, 'r'));
  }
  REQUIRE(eventually([&] { return !held.back()->send("x", 100ms) || true; }));
  const auto during = resident_kib(c.broker().pid());
  const auto per_attempt = during > before ? (during - before) / attempts : 0;
  WARN("KiB of memory per attempt, held open: " << per_attempt);
#if !defined(__SANITIZE_ADDRESS__)
  REQUIRE(per_attempt <= 64);
#endif
  // Those that only wait at the cluster port do not keep workers out.
  for (int i = 0; i < 300; ++i) held.push_back(std::make_unique<raw>(c.nodes()));
  c.start_node("late", {"--service", "echo=builtin:echo", "--cluster-tls", certs / "worker"});
  REQUIRE(c.broker().says("node late joined"));
  held.clear();
  const tls_files trust{{}, {}, certs / "ca.pem"};
  for (int i = 0; i < 300; ++i) {
    auto guess = over_tls(c, trust);
    REQUIRE_FALSE(guess.hello("guess " + std::to_string(i), 5s));
  }
  const auto log = c.broker().log();
  REQUIRE(std::count(log.begin(), log.end(), '\n') < 250);
}

TEST_CASE("a token that cannot be written is no success") {
  const temporary_folder folder;
  const auto made = run_ropewalk({"token", "alice"}, folder.path(), "/dev/full");
  REQUIRE(made.status == 1);
  REQUIRE(made.err.find("is the disk full?") != std::string::npos);
}
