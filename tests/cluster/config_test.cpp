#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

using namespace ropewalk;

namespace {

output run_with_file(const std::string& command, const std::string& text,
                     std::vector<std::string> more = {"--check"}) {
  const temporary_folder folder;
  const auto file = folder.path() + "/file.toml";
  std::ofstream{file} << text;
  std::vector<std::string> words{command, "--config", file};
  words.insert(words.end(), more.begin(), more.end());
  return run_ropewalk(words, folder.path());
}

} // namespace

TEST_CASE("the option --check reads everything, says all that is wrong, and ends") {
  const auto typo = run_with_file("broker", "[broker]\nacess-file = \"a\"\ntimeout = \"x\"\n");
  CHECK(typo.status == 2);
  CHECK(typo.err.find(":2: there is no key 'acess-file' in [broker]; do you mean 'access-file'?") !=
        std::string::npos);
  CHECK(typo.err.find(":3: 'timeout' in [broker]") != std::string::npos);
  const auto broker = run_with_file(
      "broker", "[broker]\ncluster = \"0.0.0.0:0\"\naccess-file = \"/nowhere/access\"\n");
  CHECK(broker.status == 2);
  CHECK(broker.err.find("the cluster port 0.0.0.0:0") != std::string::npos);
  CHECK(broker.err.find("/nowhere/access") != std::string::npos);
  const auto worker =
      run_with_file("worker", "[worker.service]\na = \"nothing:x\"\nb = \"builtin:none\"\n");
  CHECK(worker.status == 2);
  CHECK(worker.err.find("nothing:x") != std::string::npos);
  CHECK(worker.err.find("none") != std::string::npos);
}

TEST_CASE("the example of a file of options is read, before the subcommand and after it") {
  const temporary_folder folder;
  const std::string file = ROPEWALK_SOURCE_DIR "/apps/examples/ropewalk.toml";
  for (const auto* command : {"broker", "worker"}) {
    const auto after = run_ropewalk({command, "--config", file, "--check"}, folder.path());
    CHECK(after.err == "ropewalk " + std::string{command} + ": everything is in order\n");
    CHECK(after.status == 0);
    CHECK(run_ropewalk({"--config=" + file, command, "--check"}, folder.path()).status == 0);
  }
  CHECK(run_ropewalk({"--config", file, "broker", "--config", file}, folder.path()).status == 2);
  const auto missing = run_ropewalk({"broker", "--config", "/nowhere/f"}, folder.path());
  CHECK(missing.status == 2);
  CHECK(missing.err == "cannot read /nowhere/f (No such file or directory)\n");
}

TEST_CASE("an access file that is a folder is a clear error, and at a reload the old one stays") {
  const temporary_folder folder;
  const auto file = folder.path() + "/access";
  const auto token = run_ropewalk(
      {"token", "me", "--services", "*", "--to", folder.path() + "/token"}, folder.path());
  std::ofstream{file} << token.err;
  const auto tried =
      run_ropewalk({"broker", "--access-file", folder.path(), "--check"}, folder.path());
  CHECK(tried.status == 2);
  CHECK(tried.err.find("cannot read " + folder.path() + " (Is a directory); name a file in it") !=
        std::string::npos);
  cluster c{{"--access-file", file}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  std::remove(file.c_str());
  std::filesystem::create_directory(file);
  c.broker().signal(SIGHUP);
  CHECK(c.broker().says("(Is a directory)"));
  const auto sent = c.run({"send", "echo", "--data", "x", "--broker", c.clients().text(),
                           "--token-file", folder.path() + "/token"});
  INFO(sent.err);
  CHECK(sent.out == "x");
}

TEST_CASE("a name that would do something to a terminal is refused") {
  const temporary_folder folder;
  const auto tried = [&](const std::string& service, const std::string& name) {
    return run_ropewalk({"worker", "--service", service, "--name", name, "--check"}, folder.path());
  };
  CHECK(tried("a=builtin:echo", "left").status == 0);
  for (const auto* bad : {"a\x1b[2J", "a\tb", "a\xc2\x9b", "\xff"}) {
    INFO(bad);
    const auto service = tried(std::string{bad} + "=builtin:echo", "left");
    CHECK(service.status == 2);
    CHECK(service.err.find("has a control character in it, or is no UTF-8") != std::string::npos);
    CHECK(service.err.find('\x1b') == std::string::npos);
    CHECK(tried("a=builtin:echo", bad).status == 2);
  }
}

TEST_CASE("send of a directory is a clear error, and status says when it cannot be written") {
  cluster c;
  const auto sent = c.run({"send", "echo", "--file", "/tmp", "--broker", c.clients().text()});
  CHECK(sent.status == 2);
  CHECK(sent.err.find("cannot read /tmp (Is a directory)") != std::string::npos);
  const auto status =
      run_ropewalk({"status", "--broker", c.clients().text()}, c.folder(), "/dev/full");
  CHECK(status.status == 4);
  CHECK(status.err.find("cannot write to stdout") != std::string::npos);
}
