#include "actors/settings/machine.hpp"
#include "tests/catch.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace ropewalk;

namespace {

namespace fs = std::filesystem;

// A root with a proc and control groups in it, as a kernel would show them.
class fake_root {
public:
  fake_root() {
    std::string name = (fs::temp_directory_path() / "ropewalk-root-").string() +
                       std::string(6, 'X'); // for mkdtemp
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~fake_root() { fs::remove_all(path_); }
  fake_root(const fake_root&) = delete;
  fake_root& operator=(const fake_root&) = delete;

  fake_root& file(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path{path_ + path}.parent_path());
    std::ofstream{path_ + path} << text << '\n';
    return *this;
  }

  // Version 2, in `group`, as seen where the group `top` is mounted.
  fake_root& version_2(const std::string& group, const std::string& top = "/") {
    file("/proc/self/cgroup", "0::" + group);
    return file("/proc/self/mountinfo",
                "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
                "31 23 0:28 " +
                    top + " /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate");
  }

  fake_root& version_1(const std::string& group, const std::string& top = "/") {
    file("/proc/self/cgroup", "12:cpu,cpuacct:" + group + "\n4:memory:" + group +
                                  "\n3:cpuset:/\n1:name=systemd:/\n0::/");
    return file("/proc/self/mountinfo",
                "32 31 0:29 " + top + " /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup " +
                    "rw,cpu,cpuacct\n35 31 0:32 " + top +
                    " /sys/fs/cgroup/memory rw,relatime shared:9 master:3 - cgroup cgroup " +
                    "rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw");
  }

  [[nodiscard]] control_groups groups() const { return control_groups{path_}; }

private:
  std::string path_;
};

using limits::mib;

} // namespace

TEST_CASE("what is left of memory is the machine's or the control group's, whichever is less") {
  const auto left = [](fake_root& root) { return free_memory(root.groups()); };
  fake_root machine;
  CHECK_FALSE(left(machine));
  machine.file("/proc/meminfo", "MemTotal:  4000000 kB\nMemAvailable:  2000000 kB\nBuffers: 1 kB");
  CHECK(left(machine) == 2'000'000 * limits::kib);
  fake_root group;
  group.version_2("/a/b").file("/proc/meminfo", "MemAvailable:  2000000 kB");
  CHECK(left(group) == 2'000'000 * limits::kib);
  group.file("/sys/fs/cgroup/a/memory.max", "100000000");
  group.file("/sys/fs/cgroup/a/memory.current", "70000000");
  CHECK(left(group) == 30'000'000);
  group.file("/sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 20000000\nactive_file 5");
  CHECK(left(group) == 50'000'000);
  group.file("/sys/fs/cgroup/a/b/memory.max", "10000");
  group.file("/sys/fs/cgroup/a/b/memory.current", "20000");
  CHECK(left(group) == 0);
  fake_root old;
  old.version_1("/c").file("/proc/meminfo", "MemAvailable:  2000000 kB");
  old.file("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "100000000");
  old.file("/sys/fs/cgroup/memory/c/memory.usage_in_bytes", "60000000");
  old.file("/sys/fs/cgroup/memory/c/memory.stat", "total_inactive_file 10000000");
  CHECK(left(old) == 50'000'000);
}

TEST_CASE("control groups of version 2 limit processors and memory, the tightest of those around") {
  fake_root root;
  root.version_2("/system.slice/worker.service")
      .file("/sys/fs/cgroup/system.slice/worker.service/cpu.max", "50000 100000")
      .file("/sys/fs/cgroup/system.slice/worker.service/memory.max", "max")
      .file("/sys/fs/cgroup/system.slice/cpu.max", "max 100000")
      .file("/sys/fs/cgroup/system.slice/memory.max", "268435456");
  CHECK(root.groups().processors() == 0.5);
  CHECK(root.groups().memory() == 256 * mib);
  root.file("/sys/fs/cgroup/system.slice/cpu.max", "2500 10000")
      .file("/sys/fs/cgroup/system.slice/worker.service/memory.max", "134217728");
  CHECK(root.groups().processors() == 0.25);
  CHECK(root.groups().memory() == 128 * mib);
  root.file("/sys/fs/cgroup/system.slice/worker.service/memory.high", "67108864");
  CHECK(root.groups().memory() == 64 * mib);
}

TEST_CASE("control groups of version 1 limit processors and memory") {
  fake_root root;
  root.version_1("/docker/abc")
      .file("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "150000")
      .file("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000")
      .file("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712");
  CHECK(root.groups().processors() == 1.5);
  CHECK(root.groups().memory() == std::nullopt);
  root.file("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1")
      .file("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "268435456");
  CHECK(root.groups().processors() == std::nullopt);
  CHECK(root.groups().memory() == 256 * mib);
}

TEST_CASE("a container's limits are found whether it sees its groups from within or as its host "
          "names them") {
  const bool by_the_host = GENERATE(false, true);
  CAPTURE(by_the_host);
  fake_root root;
  const std::string group = by_the_host ? "/docker/abc" : "/";
  const std::string top = by_the_host ? "/docker/abc" : "/";
  root.version_2(group, top)
      .file("/sys/fs/cgroup/cpu.max", "50000 100000")
      .file("/sys/fs/cgroup/memory.max", "268435456");
  CHECK(root.groups().processors() == 0.5);
  CHECK(root.groups().memory() == 256 * mib);
  fake_root old;
  old.version_1(group, top)
      .file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000")
      .file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
      .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456");
  CHECK(old.groups().processors() == 0.5);
  CHECK(old.groups().memory() == 256 * mib);
}

TEST_CASE("a group outside of what is mounted is limited by what is") {
  fake_root root;
  root.version_2("/../other").file("/sys/fs/cgroup/memory.max", "268435456");
  CHECK(root.groups().memory() == 256 * mib);
  fake_root beside;
  beside.version_2("/docker/abcdef", "/docker/abc").file("/sys/fs/cgroup/memory.max", "268435456");
  CHECK(beside.groups().memory() == 256 * mib);
}

TEST_CASE("without a proc, control groups are looked for where they usually are") {
  fake_root root;
  root.file("/sys/fs/cgroup/memory.max", "268435456")
      .file("/sys/fs/cgroup/cpu.max", "50000 100000");
  CHECK(root.groups().processors() == 0.5);
  CHECK(root.groups().memory() == 256 * mib);
  fake_root old;
  old.file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000")
      .file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
      .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456");
  CHECK(old.groups().processors() == 0.5);
  CHECK(old.groups().memory() == 256 * mib);
}

TEST_CASE("what control groups say that makes no sense limits nothing") {
  fake_root root;
  CHECK(root.groups().processors() == std::nullopt);
  CHECK(root.groups().memory() == std::nullopt);
  for (const auto* nonsense :
       {"", "0 0", "-5 100000", "x y", "50000", "50000 0", "99999999999999999999999 1"}) {
    CAPTURE(nonsense);
    root.version_2("/").file("/sys/fs/cgroup/cpu.max", nonsense);
    root.file("/sys/fs/cgroup/memory.max", nonsense[0] == '5' ? "" : nonsense);
    CHECK(root.groups().processors() == std::nullopt);
    CHECK(root.groups().memory() == std::nullopt);
  }
  root.file("/proc/self/mountinfo", "1 2 3\n\n- cgroup2\n").file("/proc/self/cgroup", "::\n:\n4");
  CHECK(root.groups().memory() == std::nullopt);
}

TEST_CASE("slots follow the processors and the quota, of which a part counts as one") {
  CHECK(machine_share{2, std::nullopt, {}}.slots() == 2);
  CHECK(machine_share{2, 0.5, {}}.slots() == 1);
  CHECK(machine_share{8, 1.5, {}}.slots() == 2);
  CHECK(machine_share{8, 3.0, {}}.slots() == 3);
  CHECK(machine_share{2, 16.0, {}}.slots() == 2);
  CHECK(machine_share{0, std::nullopt, {}}.slots() == 1);
}

TEST_CASE("a process's share is what its affinity and its limit on addresses leave it") {
  fake_root root;
  const auto groups = root.groups();
  // In a process of its own: such limits are not taken back.
  const auto pid = ::fork();
  if (pid == 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    ::sched_getaffinity(0, sizeof one, &one);
    int first = 0;
    while (!CPU_ISSET(first, &one)) ++first;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ::sched_setaffinity(0, sizeof one, &one);
    const rlimit addresses{300 * mib, RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &addresses);
    const auto share = machine_share::of_this_process(groups);
    ::_exit(share.processors == 1 && share.memory == 300 * mib ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
}

TEST_CASE("a broker's memory follows what there is, unless it was said") {
  const broker_tuning whole;
  const auto nothing_said = [](std::string_view) { return false; };
  auto large = whole;
  CHECK(fit_memory(large, 1 * limits::gib, nothing_said).empty());
  CHECK(large.dispatch.memory == whole.dispatch.memory);
  auto small = whole;
  CHECK(fit_memory(small, 256 * mib, nothing_said) ==
        "--memory 128MiB, --service-memory 96MiB, --connection-memory 16MiB, "
        "--unread-answers 4MiB, --answers-memory 64MiB");
  CHECK(small.dispatch.memory == 128 * mib);
  CHECK(small.dispatch.service_memory == 96 * mib);
  CHECK(small.answers_memory == 64 * mib);
  auto said = whole;
  fit_memory(said, 256 * mib, [](std::string_view name) { return name == "memory"; });
  CHECK(said.dispatch.memory == whole.dispatch.memory);
  CHECK(said.dispatch.service_memory == 96 * mib);
  auto tiny = whole;
  fit_memory(tiny, 1 * mib, nothing_said);
  CHECK(tiny.dispatch.memory == 8 * mib); // the least that may be said
}
