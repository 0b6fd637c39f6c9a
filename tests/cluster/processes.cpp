#include "tests/cluster/processes.hpp"

#include "tests/catch.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace ropewalk {

namespace fs = std::filesystem;

std::chrono::seconds how_long(int standard) {
  const char* told = std::getenv("ROPEWALK_TEST_SECONDS");
  return std::chrono::seconds{told ? std::atoi(told) : standard};
}

std::string file_text(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

namespace {

constexpr std::size_t shown_of_a_complaint = 1500; // bytes, in a test's last words

// The value behind `name=` in the last line of the log that says "ready".
std::optional<endpoint> find_endpoint(const std::string& log, const std::string& name) {
  const auto line = log.rfind("ready: ");
  if (line == std::string::npos) return std::nullopt;
  const auto at = log.find(name + "=", line);
  if (at == std::string::npos) return std::nullopt;
  const auto begin = at + name.size() + 1;
  const auto end = log.find_first_of(" \n,\"", begin);
  if (end == std::string::npos) return std::nullopt;
  return parse_endpoint(log.substr(begin, end - begin));
}

} // namespace

process::process(std::vector<std::string> words, std::string log_path)
    : log_path_(std::move(log_path)) {
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const auto parent = ::getpid();
  // A signal that comes before the program has begun is for the program, not for Catch's handlers.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_ = ::fork();
  if (pid_ == 0) {
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::signal(number, SIG_DFL);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    const int log = ::open(log_path_.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    ::dup2(log, 1);
    ::dup2(log, 2);
    ::execv(words.front().c_str(), arguments.data());
    ::_exit(127);
  }
  ::setpgid(pid_, pid_); // whoever of the two is first
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

process::~process() {
  if (status_) return;
  ::kill(pid_, SIGCONT);
  ::kill(pid_, SIGKILL);
  wait(10s);
}

void process::signal(int number) const {
  if (!status_) ::kill(pid_, number);
}

void process::signal_group(int number) const {
  if (!status_) ::kill(-pid_, number);
}

std::optional<int> wait_for_end(pid_t child, std::optional<int>& known,
                                std::chrono::milliseconds patience) {
  eventually(
      [&] {
        int status = 0;
        if (!known && ::waitpid(child, &status, WNOHANG) == child)
          known = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return known.has_value();
      },
      patience);
  return known;
}

std::optional<int> process::wait(std::chrono::milliseconds patience) {
  return wait_for_end(pid_, status_, patience);
}

std::string process::log() const {
  return file_text(log_path_);
}

bool process::says(const std::string& what, std::chrono::milliseconds patience) const {
  return eventually([&] { return log().find(what) != std::string::npos; }, patience);
}

temporary_folder::temporary_folder() {
  std::string name = (fs::temp_directory_path() / "ropewalk-test-").string() + std::string(6, 'X');
  if (!::mkdtemp(name.data())) throw std::runtime_error{"cannot make the folder " + name};
  path_ = name;
}

temporary_folder::~temporary_folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<pid_t> children_of(pid_t parent, bool zombies) {
  std::vector<pid_t> result;
  std::ifstream list{"/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) +
                     "/children"};
  for (pid_t pid = 0; list >> pid;) {
    const auto stat = file_text("/proc/" + std::to_string(pid) + "/stat");
    const auto state = stat.rfind(") ");
    if (state == std::string::npos) continue;
    const bool is_zombie = stat.compare(state, 3, ") Z") == 0;
    if (is_zombie == zombies) result.push_back(pid);
  }
  return result;
}

cluster::cluster(std::vector<std::string> broker_options, std::uint16_t nodes_port)
    : broker_options_(std::move(broker_options)), nodes_{"127.0.0.1", nodes_port} {
  failed_before_ = std::uncaught_exceptions();
  start_broker();
}

cluster::~cluster() {
  processes_.clear();
  broker_.reset();
  std::vector<fs::path> logs;
  for (const auto& entry : fs::directory_iterator(folder()))
    if (entry.path().extension() == ".log") logs.push_back(entry.path());
  std::sort(logs.begin(), logs.end());
  // What a sanitizer or CAF found in a process must not pass because another process took over.
  std::string found;
  for (const auto& log : logs)
    for (const auto* sign :
         {"AddressSanitizer", "runtime error:", "*** unhandled", "*** unexpected"})
      if (const auto text = file_text(log.string()); text.find(sign) != std::string::npos)
        found = log.filename().string() + ": " + text.substr(text.find(sign), shown_of_a_complaint);
  if (!found.empty() || std::uncaught_exceptions() > failed_before_)
    for (const auto& log : logs)
      std::cerr << "---- " << log.filename() << '\n' << file_text(log.string());
  if (!found.empty()) {
    std::cerr << "a process complained; the logs are above. " << found << '\n';
    std::abort();
  }
}

void cluster::start_broker() {
  std::vector<std::string> words{ROPEWALK_PROGRAM, "broker",    "--listen",
                                 clients_.text(),  "--cluster", nodes_.text()};
  words.insert(words.end(), broker_options_.begin(), broker_options_.end());
  const auto log = folder() + "/broker-" + std::to_string(started_++) + ".log";
  broker_ = std::make_unique<process>(words, log);
  const bool ready = eventually(
      [&] { return find_endpoint(broker_->log(), "nodes").has_value() || broker_->wait(0ms); });
  if (!ready || !find_endpoint(broker_->log(), "nodes"))
    FAIL("the broker does not start:\n" << broker_->log());
  clients_ = *find_endpoint(broker_->log(), "clients");
  nodes_ = *find_endpoint(broker_->log(), "nodes");
}

void cluster::restart_broker() {
  broker_.reset();
  start_broker();
}

std::size_t processes_of_a_node() {
  const char* const text = std::getenv("ROPEWALK_TEST_PROCESSES");
  return text ? std::stoul(text) : 1;
}

process& cluster::start_node(const std::string& name, std::vector<std::string> options) {
  std::vector<std::string> words{ROPEWALK_PROGRAM, "worker", "--broker",
                                 nodes_.text(),    "--name", name};
  words.insert(words.end(), options.begin(), options.end());
  if (const auto processes = processes_of_a_node(); processes > 1)
    words.insert(words.end(), {"--processes", std::to_string(processes)});
  processes_.push_back(std::make_unique<process>(words, folder() + "/" + name + ".log"));
  return *processes_.back();
}

client cluster::connect() const {
  auto result = client::connect(clients_, 5s);
  if (!result) FAIL(result.why().text());
  return *std::move(result);
}

nlohmann::json cluster::status() const {
  auto c = connect();
  c.send_status();
  const auto answer = c.wait(10s);
  if (!answer) FAIL("no status: " << c.why_closed());
  return nlohmann::json::parse(answer->payload.view());
}

bool cluster::has_nodes(std::size_t count, std::chrono::milliseconds patience) const {
  count *= processes_of_a_node();
  return eventually([&] { return status()["nodes"].size() == count; }, patience);
}

output run_ropewalk(std::vector<std::string> words, const std::string& folder,
                    const std::string& stdout_path) {
  const auto out = stdout_path.empty() ? folder + "/run.out" : stdout_path;
  const auto err = folder + "/run.err";
  words.insert(words.begin(), ROPEWALK_PROGRAM);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const auto pid = ::fork();
  if (pid == 0) {
    ::dup2(::open("/dev/null", O_RDONLY), 0);
    ::dup2(::open(out.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600), 1);
    ::dup2(::open(err.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600), 2);
    ::execv(ROPEWALK_PROGRAM, arguments.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          stdout_path.empty() ? file_text(out) : std::string{}, file_text(err)};
}

load::load(client c, std::string service, std::uint64_t count, std::uint64_t window,
           std::function<std::string(std::uint64_t)> message, request_options options)
    : client_(std::move(c)), service_(std::move(service)), count_(count), window_(window),
      message_(std::move(message)), options_(options), seen_(count + 1, 0) {}

std::uint64_t load::missing() const {
  return static_cast<std::uint64_t>(std::count(seen_.begin() + 1, seen_.end(), 0));
}

void load::run(std::chrono::milliseconds patience,
               const std::function<void(std::uint64_t)>& meanwhile) {
  const auto end = std::chrono::steady_clock::now() + patience;
  std::uint64_t done = 0;
  while (done < count_) {
    for (; sent_ < count_ && sent_ - done < window_; ++sent_)
      client_.send(service_, shared_bytes::copy_of(message_(sent_ + 1)), options_);
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    const auto answer = client_.wait(left);
    if (!answer) return;
    if (answer->id == 0 || answer->id > sent_ || std::exchange(seen_[answer->id], 1) != 0) {
      ++twice;
      continue;
    }
    ++done;
    if (on_answer) on_answer(*answer);
    if (answer->code == error_code::ok) {
      ++answered;
      if (expects_echo && answer->payload.view() != message_(answer->id)) ++wrong;
    } else {
      ++errors[std::string{name_of(answer->code)}];
      last_error = answer->payload.view();
    }
    if (meanwhile) meanwhile(done);
  }
}

} // namespace ropewalk
