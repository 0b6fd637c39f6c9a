#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/input.hpp"
#include "apps/ropewalk/options.hpp"
#include "net/client/client.hpp"

#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <unistd.h>

namespace ropewalk {

namespace {

constexpr int answered_with_error = 1;
constexpr int cannot_start = 2;
constexpr int no_broker = 3;
constexpr int cannot_write = 4;

// How much longer than the request's own deadline the client waits for the answer that the broker
// then gives.
constexpr std::chrono::seconds timeout_beyond_deadline{5};

struct send_options {
  std::string service;
  connection_options connection;
  std::optional<std::string> data;
  std::string file;
  std::string timeout = "30s";
  std::uint64_t count = 1;
  std::uint64_t window = 1;
  std::optional<unsigned> attempts;
  std::string key;
  std::string priority;
};

const std::map<std::string, std::uint8_t> priority_numbers{{"low", 0}, {"normal", 1}, {"high", 2}};

int report_error(const std::string& what, int status) {
  std::cerr << "ropewalk send: " << what << '\n';
  return status;
}

// Many replies stand on lines of their own; a single one is printed as it is.
void print_reply(const client_answer& answer, bool many) {
  const auto text = answer.payload.view();
  std::cout.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (many && (text.empty() || text.back() != '\n')) std::cout.put('\n');
}

class progress {
public:
  explicit progress(std::uint64_t total)
      : total_(total), shown_(total > 1 && ::isatty(STDERR_FILENO) == 1) {}
  ~progress() {
    if (drawn_) std::cerr << '\n';
  }
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  void at(std::uint64_t done, std::uint64_t errors) {
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || (now - last_ < std::chrono::milliseconds{200} && done < total_)) return;
    last_ = now;
    drawn_ = true;
    std::cerr << '\r' << done << " of " << total_ << " answered, " << errors << " errors "
              << std::flush;
  }

private:
  std::uint64_t total_;
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

int send_all(client& c, const send_options& o, const shared_bytes& payload) {
  request_options options;
  options.timeout = *parse_duration(o.timeout); // checked with the command line
  if (o.attempts) options.attempts = static_cast<std::uint8_t>(*o.attempts);
  options.key = o.key;
  if (!o.priority.empty()) options.priority = priority_numbers.at(o.priority);
  std::uint64_t sent = 0;
  std::uint64_t done = 0;
  std::uint64_t errors = 0;
  progress shown{o.count};
  while (done < o.count) {
    for (; sent < o.count && sent - done < o.window; ++sent) c.send(o.service, payload, options);
    const auto answer = c.wait(*options.timeout + timeout_beyond_deadline);
    if (!answer) {
      std::cout.flush();
      return report_error(c.closed() ? c.why_closed()
                                     : "no answer from " + o.connection.broker +
                                           "; is it overloaded, or stopped?",
                          no_broker);
    }
    ++done;
    if (answer->code == error_code::ok) {
      print_reply(*answer, o.count > 1);
    } else {
      ++errors;
      std::cerr << name_of(answer->code) << ": " << answer->payload.view();
      if (answer->retry_after_ms > 0)
        std::cerr << " (again in " << answer->retry_after_ms << " ms)";
      std::cerr << '\n';
    }
    shown.at(done, errors);
  }
  std::cout.flush();
  if (!std::cout)
    return report_error("cannot write the replies to stdout; is the disk full?", cannot_write);
  return errors == 0 ? 0 : answered_with_error;
}

int run_send(const send_options& o) {
  auto message =
      o.data ? result<std::string>{*o.data} : read_input(o.file, limits::max_frame_payload_bytes);
  if (!message) return report_error(message.why().text(), cannot_start);
  if (message->size() > limits::max_frame_payload_bytes)
    return report_error("a message has at most 256 MiB", cannot_start);
  const auto payload = shared_bytes::copy_of(*message);
  auto connected = connect(o.connection);
  if (!connected) return report_error(connected.why().text(), no_broker);
  return send_all(*connected, o, payload);
}

} // namespace

command_action add_send(CLI::App& app) {
  auto o = std::make_shared<send_options>();
  app.footer("The reply goes to stdout. Exit status: 0 for a reply, 1 for an error (its code and a "
             "sentence are on "
             "stderr), 2 for a wrong command line, 3 if the broker cannot be reached or goes away, "
             "4 if stdout cannot be written.");
  app.add_option("service", o->service, "the service's name")
      ->required()
      ->check([](const std::string& name) {
        return name.size() <= limits::max_service_bytes ? std::string{}
                                                        : "a service's name has at most 128 bytes";
      });
  add_connection(app, o->connection);
  auto* data = app.add_option("--data", o->data, "the message (standard: stdin)");
  app.add_option("--file", o->file, "the file that is the message")->excludes(data);
  app.add_option("--timeout", o->timeout, "the deadline: 250ms, 5s, 2m")
      ->check(is_duration())
      ->capture_default_str();
  app.add_option("--attempts", o->attempts,
                 "start it at most so often if workers die of it; 1: at most once")
      ->check(CLI::Range(1u, 100u));
  app.add_option("--key", o->key,
                 "ordering key: requests with the same key run one after the other, as they came")
      ->check([](const std::string& key) {
        return key.size() <= 255 ? std::string{} : "an ordering key has at most 255 bytes";
      });
  app.add_option("--priority", o->priority, "low, normal or high: which goes first when they wait")
      ->check(CLI::IsMember({"low", "normal", "high"}));
  app.add_option("--count", o->count, "send it so often")
      ->check(CLI::Range(1, 1'000'000'000))
      ->capture_default_str();
  app.add_option("--window", o->window, "so many wait for their answers at a time")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  return [o] { return run_send(*o); };
}

} // namespace ropewalk
