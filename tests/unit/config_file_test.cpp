#include "apps/ropewalk/config_file.hpp"
#include "apps/ropewalk/options.hpp"
#include "tests/catch.hpp"

#include <algorithm>

using namespace ropewalk;

namespace {

using words = std::vector<std::string>;

// The options of a program that are as the real one's, as far as a file is concerned.
struct file_options {
  file_options() {
    auto* broker = app.add_subcommand("broker");
    broker->add_option("--listen", listen)->check(is_endpoint())->allow_extra_args(false);
    broker->add_option("--access-file", file);
    broker->add_flag("--insecure-cluster", flag);
    broker->add_option("--master-fd", number)->group("");
    broker->add_option("--config", file);
    add_settings(*broker, tuning);
    auto* worker = app.add_subcommand("worker");
    worker->add_option("--service", services)->allow_extra_args(false);
    worker->add_option("--recycle-after", number);
  }
  config_words read(std::string_view text, const std::string& subcommand = "broker",
                    const words& given = {}) {
    return read_config(text, "f.toml", app, subcommand, given);
  }
  std::string only_error(std::string_view text) {
    const auto said = read(text);
    return said.errors.size() == 1 ? said.errors.front()
                                   : std::to_string(said.errors.size()) + " errors";
  }

  CLI::App app;
  words listen;
  words services;
  std::string file;
  bool flag = false;
  std::uint64_t number = 0;
  broker_tuning tuning;
};

} // namespace

TEST_CASE(
    "a file of options is TOML: a # within quotes is a letter, and every table is read by the "
    "subcommand that it is for") {
  file_options p;
  const auto text = "# comment\n[broker]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n"
                    "access-file = \"a#b\" # comment\ninsecure-cluster = true\nattempts = 5\n"
                    "[worker]\nservice = [\"a=builtin:echo\"]\nrecycle-after = 7\n";
  const auto broker = p.read(text);
  CHECK(broker.errors == words{});
  CHECK(words(broker.words.begin(), broker.words.end()).size() == 5);
  for (const auto* word : {"--listen=127.0.0.1:1", "--listen=127.0.0.1:2", "--access-file=a#b",
                           "--insecure-cluster", "--attempts=5"})
    CHECK(std::count(broker.words.begin(), broker.words.end(), word) == 1);
  CHECK(p.read(text, "worker").words.size() == 2);
  CHECK(p.read(text, "send").words.empty());
}

TEST_CASE("services are a table of their own, each with its handler, or on a line") {
  file_options p;
  const auto said = p.read("[worker.service]\nup = \"builtin:upper\"\n"
                           "[worker.service.sum]\nhandler = \"cmd:sha256sum\"\n",
                           "worker");
  CHECK(said.errors == words{});
  auto found = said.words;
  std::sort(found.begin(), found.end());
  CHECK(found == words{"--service=sum=cmd:sha256sum", "--service=up=builtin:upper"});
  CHECK(p.only_error("[worker.service.sum]\nhandlr = \"x\"\nhandler = \"cmd:x\"\n") ==
        "f.toml:2: there is no key 'handlr' in [worker.service.sum]; do you mean 'handler'?");
  CHECK(p.only_error("[worker.service.sum]\n").find("sum] has no handler") != std::string::npos);
}

TEST_CASE("what the command line says goes before what the file says") {
  file_options p;
  const auto* text = "[broker]\nattempts = 5\nlisten = \"127.0.0.1:1\"\n";
  CHECK(p.read(text, "broker", {"broker", "--attempts", "2"}).words ==
        words{"--listen=127.0.0.1:1"});
  CHECK(p.read(text, "broker", {"broker", "--listen=127.0.0.1:9"}).words == words{"--attempts=5"});
}

TEST_CASE("a typo in a file of options is an error that names the key, the line and the nearest "
          "key, so is every other mistake, and all are said") {
  file_options p;
  CHECK(p.only_error("[broker]\n\nacess-file = \"a\"\n") ==
        "f.toml:3: there is no key 'acess-file' in [broker]; do you mean 'access-file'?");
  CHECK(p.only_error("[brokr]\nattempts = 5\n") ==
        "f.toml:1: there is no table [brokr]; do you mean 'broker'?");
  CHECK(p.only_error("attempts = 5\n").find("stands in no table") != std::string::npos);
  CHECK(p.only_error("broker = 5\n").find("broker is a table") != std::string::npos);
  CHECK(p.only_error("[broker]\nmaster-fd = 3\n").find("no key 'master-fd'") != std::string::npos);
  CHECK(p.only_error("[broker]\nlisten = \"nowhere\"\n")
            .starts_with("f.toml:2: 'listen' in [broker]: 'nowhere' is no HOST:PORT"));
  CHECK(p.only_error("[broker]\nattempts = 101\n").starts_with("f.toml:2: 'attempts' in [broker]"));
  CHECK(p.only_error("[broker]\nattempts = \"many\"\n").starts_with("f.toml:2: 'attempts'"));
  CHECK(p.only_error("[broker]\nattempts = 1.5\n").starts_with("f.toml:2: 'attempts'"));
  CHECK(p.only_error("[broker]\nattempts = true\n").starts_with("f.toml:2: 'attempts'"));
  CHECK(p.only_error("[broker]\nattempts = [1]\n").starts_with("f.toml:2: 'attempts'"));
  CHECK(p.only_error("[broker]\ninsecure-cluster = \"yes\"\n") ==
        "f.toml:2: 'insecure-cluster' in [broker] is true or false");
  CHECK(p.only_error("[broker]\naccess-file = \"\"\n").find("is empty") != std::string::npos);
  CHECK(p.only_error("[broker]\naccess-file = a\n").starts_with("f.toml:2: this is no TOML"));
  CHECK(p.only_error("[worker]\nrecycle-after = -1\n").starts_with("f.toml:2: 'recycle-after'"));
  CHECK(p.only_error("[)broker]\n").starts_with("f.toml:1: this is no TOML"));
  CHECK(p.only_error("[broker]\naccess-file = b\xc3\xa4r\n").find("ASCII") != std::string::npos);
  CHECK(p.only_error("# b\xc3\xa4r\n\xd0\x91=1\n").starts_with("f.toml:2: a character that"));
  CHECK(p.only_error("[broker]\nlisten = \"\"\"x\n\"\"\"\n").find("one line") != std::string::npos);
  const auto said = p.read("[broker]\nattemps = 5\ntimeout = 0\n[worker]\nsevice = \"x\"\n");
  CHECK(said.errors.size() == 3);
}
