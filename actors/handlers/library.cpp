#include "actors/handlers/library.hpp"

#include "actors/handlers/library_abi.h"
#include "net/transport/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

namespace ropewalk {

namespace {

struct library_functions {
  decltype(&ropewalk_open) open = nullptr;
  decltype(&ropewalk_run) run = nullptr;
  decltype(&ropewalk_close) close = nullptr;
};

failure bad_library(const std::string& path, const std::string& why, std::string advice) {
  return {failure_kind::unavailable, "cannot use the library '" + path + "': " + why,
          std::move(advice)};
}

template <class F>
bool find(void* handle, const char* name, F& into) {
  into = reinterpret_cast<F>(::dlsym(handle, name));
  return into != nullptr;
}

// Runs what the library does when it is loaded. Never unloaded: memory of its own may be on its way
// to a client.
result<library_functions> load(const std::string& path) {
  void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* const why = ::dlerror();
    return bad_library(path, why ? why : "it cannot be loaded",
                       "write its whole path, and see `ldd` for what it needs");
  }
  const std::uint32_t* version = nullptr;
  library_functions found;
  const char* missing = nullptr;
  if (!find(handle, "ropewalk_library_version", version)) missing = "ropewalk_library_version";
  if (!missing && *version != ROPEWALK_LIBRARY_VERSION)
    return bad_library(path,
                       "it was made for version " + std::to_string(*version) +
                           " of ropewalk/library.h, and this node has version " +
                           std::to_string(ROPEWALK_LIBRARY_VERSION),
                       "build it anew");
  if (!missing && !find(handle, "ropewalk_open", found.open)) missing = "ropewalk_open";
  if (!missing && !find(handle, "ropewalk_run", found.run)) missing = "ropewalk_run";
  if (!missing && !find(handle, "ropewalk_close", found.close)) missing = "ropewalk_close";
  if (missing)
    return bad_library(path, std::string{"it has no "} + missing,
                       "ropewalk/library.h says what it must export, in C++ as extern \"C\"");
  return found;
}

// The child's side of `probe`: what is wrong goes into the pipe.
[[noreturn]] void probe_as_child(const std::string& path, int to) {
  const auto loaded = load(path);
  const auto text = loaded ? std::string{} : loaded.why().what + '\n' + loaded.why().advice;
  const auto written = ::write(to, text.data(), text.size());
  ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
}

std::string read_all(int from) {
  std::string all;
  std::array<char, 4096> buffer{};
  while (true) {
    const auto count = ::read(from, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return all;
    all.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

// Loads it in a process of its own: whoever checks a text is not to run what it names, and a
// library that crashes when it is loaded is a failure with a sentence.
result<void> probe(const std::string& path) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return bad_library(path, std::strerror(errno), "raise `ulimit -n`");
  const descriptor from{ends[0]};
  descriptor to{ends[1]};
  const auto child = ::fork();
  if (child == 0) probe_as_child(path, to.get());
  if (child < 0)
    return bad_library(path, std::string{"no process to try it in: "} + std::strerror(errno), {});
  to.close();
  const auto said = read_all(from.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status))
    return bad_library(path,
                       "loading it ends the process, by signal " +
                           std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) +
                           ")",
                       {});
  if (WEXITSTATUS(status) != 0) return bad_library(path, "loading it ends the process", {});
  if (said.empty()) return {};
  const auto line = said.find('\n');
  return failure{failure_kind::unavailable, said.substr(0, line), said.substr(line + 1)};
}

// A reply that is the library's own memory until its last holder lets go of it.
class released_reply final : public shared_memory {
public:
  explicit released_reply(const ropewalk_reply& reply) : reply_(reply) {}
  ~released_reply() override {
    reply_.release(reply_.context, reply_.payload, reply_.payload_bytes);
  }

private:
  const ropewalk_reply reply_;
};

// What `stopped` is given is the first member of one of these.
struct lent_request {
  ropewalk_request request;
  const std::atomic<bool>* stop;

  static int stopped(const ropewalk_request* request) {
    const auto* const stop = reinterpret_cast<const lent_request*>(request)->stop;
    return stop && stop->load(std::memory_order_relaxed) ? 1 : 0;
  }
};
static_assert(offsetof(lent_request, request) == 0);

std::uint32_t time_left_ms(const invocation& of) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(of.deadline - of.begun);
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(left.count(), 0, UINT32_MAX));
}

shared_bytes payload_of(const ropewalk_reply& reply, const shared_bytes& request) {
  if (reply.release)
    return {new released_reply{reply}, {reply.payload, reply.payload_bytes}}; // NOLINT: held there
  if (reply.payload_bytes == 0) return {};
  const auto all = request.view();
  const auto offset = reinterpret_cast<std::uintptr_t>(reply.payload) -
                      reinterpret_cast<std::uintptr_t>(all.data());
  if (offset <= all.size() && reply.payload_bytes <= all.size() - offset && !request.borrowed())
    return request.part(offset, reply.payload_bytes);
  return shared_bytes::copy_of({reply.payload, reply.payload_bytes});
}

outcome outcome_of(int how, shared_bytes payload) {
  switch (how) {
  case ROPEWALK_OK:
    return {error_code::ok, std::move(payload)};
  case ROPEWALK_BUSY:
    return not_started(payload.empty() ? "its library is busy" : payload.view());
  case ROPEWALK_CANCELLED:
    return {error_code::cancelled, std::move(payload)};
  case ROPEWALK_FAILED:
    break;
  default:
    if (payload.empty())
      return failed("ropewalk_run returned " + std::to_string(how) +
                    ", which ropewalk/library.h does not have");
  }
  return {error_code::failed, std::move(payload)};
}

class library final : public handler {
public:
  library(std::string path, std::string argument, std::string service)
      : path_(std::move(path)), argument_(std::move(argument)), service_(std::move(service)) {}

  result<void> start() override {
    const auto loaded = load(path_);
    if (!loaded) return loaded.why();
    const library_functions all = *loaded;
    std::array<char, 256> error{};
    const ropewalk_slot slot{sizeof slot, service_.c_str(), argument_.c_str(), error.data(),
                             error.size()};
    if (all.open(&slot, &state_) != 0) {
      error.back() = '\0';
      return bad_library(path_, std::string{"ropewalk_open failed: "} + error.data(), {});
    }
    functions_ = all;
    return {};
  }

  outcome run(invocation& what) override {
    const auto bytes = what.payload.view();
    const lent_request lent{{sizeof(ropewalk_request), bytes.data(), bytes.size(), what.attempt,
                             time_left_ms(what), lent_request::stopped},
                            what.stop};
    ropewalk_reply reply{};
    const int how = functions_.run(state_, &lent.request, &reply);
    return outcome_of(how, payload_of(reply, what.payload));
  }

  void stop() override { functions_.close(state_); }

private:
  const std::string path_;
  const std::string argument_;
  const std::string service_;
  library_functions functions_;
  void* state_ = nullptr;
};

} // namespace

result<handler_maker> parse_library(const std::string& rest) {
  const auto colon = rest.find(':');
  auto path = rest.substr(0, colon);
  auto argument = colon == std::string::npos ? std::string{} : rest.substr(colon + 1);
  if (path.empty())
    return failure{
        failure_kind::bad_input, "'lib:' wants a shared library, such as lib:./libscore.so", {}};
  if (const auto usable = probe(path); !usable) return usable.why();
  return handler_maker{[path, argument](const handler_options& options) {
    return std::make_unique<library>(path, argument, options.service);
  }};
}

std::string library_usage() {
  return "lib:PATH[:ARGUMENT]";
}

} // namespace ropewalk
