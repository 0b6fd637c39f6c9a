#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>

using namespace ropewalk;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t wanted_files = 1000;
constexpr std::uintmax_t largest_file = 2 << 20;

// Files of this machine: documents and manuals, and, where a slim image has few of those, programs'
// data.
std::vector<fs::path> real_files() {
  std::vector<fs::path> result;
  for (const auto* top : {"/usr/share/doc", "/usr/share/man", "/usr/include", "/usr/share"}) {
    std::error_code error;
    for (auto i = fs::recursive_directory_iterator(
             top, fs::directory_options::skip_permission_denied, error);
         i != fs::recursive_directory_iterator{} && result.size() < wanted_files;
         i.increment(error)) {
      if (!error && i->is_regular_file(error) && !error && i->file_size(error) <= largest_file)
        result.push_back(i->path());
    }
  }
  return result;
}

std::string run_by_hand(const std::string& command, const fs::path& input) {
  // By a pipe, as a handler gets it: `file` says more of a file that it can seek in.
  FILE* pipe = ::popen(("cat '" + input.string() + "' | " + command).c_str(), "r");
  std::string result;
  std::array<char, 65536> buffer;
  for (std::size_t count = 0; (count = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    result.append(buffer.data(), count);
  ::pclose(pipe);
  return result;
}

} // namespace

// 1,000 files through three programs on three nodes, of which one is killed and another started
// every 50 answers.
TEST_CASE("real files through real programs while nodes die: every answer is what the program "
          "prints by hand") {
  const std::vector<std::pair<std::string, std::string>> services{
      {"sum", "sha256sum"}, {"zip", "gzip -nc"}, {"kind", "file -b -"}};
  const auto files = real_files();
  REQUIRE(files.size() == wanted_files);

  cluster c;
  std::vector<process*> nodes;
  auto start = [&] {
    std::vector<std::string> options{"--slots", "2"};
    for (const auto& [name, command] : services)
      options.insert(options.end(), {"--service", name + "=cmd:" + command});
    nodes.push_back(&c.start_node("n" + std::to_string(nodes.size()), options));
  };
  for (int i = 0; i < 3; ++i) start();
  REQUIRE(c.has_nodes(3));

  std::mt19937 random{2024};
  auto connection = c.connect();
  std::vector<std::pair<std::size_t, std::size_t>> asked{{0, 0}}; // by request id: file, service
  std::size_t next = 0;
  std::size_t in_flight = 0;
  std::size_t compared = 0;
  while (compared < files.size()) {
    for (; in_flight < 24 && next < files.size(); ++next, ++in_flight) {
      const auto id =
          connection.send(services[next % 3].first, shared_bytes::copy_of(file_text(files[next])));
      REQUIRE(id == asked.size());
      asked.emplace_back(next, next % 3);
    }
    const auto answer = connection.wait(60s);
    REQUIRE(answer);
    --in_flight;
    const auto [file, service] = asked[answer->id];
    INFO(files[file].string() << " through " << services[service].second << ": "
                              << name_of(answer->code));
    REQUIRE(answer->code == error_code::ok);
    REQUIRE((answer->payload.view() == run_by_hand(services[service].second, files[file])));
    if (++compared % 50 == 0) { // one of the three that live goes, another comes
      nodes[nodes.size() - 1 - random() % 3]->signal(SIGKILL);
      std::erase_if(nodes, [](process* p) { return p->wait(0ms).has_value(); });
      start();
    }
  }
  std::cout << compared << " files compared, " << c.status()["redispatched"]
            << " messages run again after a node was killed\n";
}
