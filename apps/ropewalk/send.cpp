#include "actors/settings/read_file.hpp"
#include "actors/settings/units.hpp"
#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/exit_status.hpp"
#include "apps/ropewalk/options.hpp"
#include "apps/ropewalk/progress.hpp"
#include "net/client/reconnecting_client.hpp"
#include "net/protocol/readable.hpp"
#include "net/protocol/trace_context.hpp"

#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <unistd.h>

namespace ropewalk {

namespace {

using namespace exit_status;

// How much longer than the request's own deadline the client waits for the answer that the broker
// then gives.
constexpr std::chrono::seconds timeout_beyond_deadline{5};

// With --reconnect: how long a broker that has just been found again, and knows no worker yet, is let
// alone. Workers look for it several times a second.
constexpr std::chrono::milliseconds workers_pause{100};

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
  std::string reconnect;
  bool trace = false;
  std::string traceparent;
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

// A trace of its own, to be recorded by whoever sees it.
std::string new_traceparent() {
  std::random_device random;
  trace_context context;
  const auto fill = [&](auto& id) {
    for (auto& byte : id) byte = static_cast<std::uint8_t>(random());
    id.back() |= 1; // never all zero
  };
  fill(context.trace);
  fill(context.parent);
  context.flags = trace_context::sampled_flag;
  return context.text();
}

// Nothing, unless it is asked for. What started this program may have said to which trace it belongs.
std::string traceparent_of(const send_options& o) {
  if (!o.traceparent.empty() || !o.trace) return o.traceparent;
  const char* const inherited = std::getenv("TRACEPARENT");
  return inherited && read_traceparent(inherited) ? inherited : new_traceparent();
}

request_options options_of(const send_options& o) {
  request_options options;
  options.timeout = *parse_wait(o.timeout); // checked with the command line
  if (o.attempts) options.attempts = static_cast<std::uint8_t>(*o.attempts);
  options.key = o.key;
  if (!o.priority.empty()) options.priority = priority_numbers.at(o.priority);
  options.trace = traceparent_of(o);
  return options;
}

// What a handler says of a message may have lines. A terminal obeys what else is in it.
std::string shown(std::string_view said) {
  if (::isatty(STDERR_FILENO) == 0) return std::string{said};
  std::string result;
  while (!said.empty()) {
    const auto end = std::min(said.find_first_of("\n\t"), said.size());
    result += one_line(said.substr(0, end), end) + std::string{said.substr(end, 1)};
    said.remove_prefix(std::min(end + 1, said.size()));
  }
  return result;
}

void print_error(const client_answer& answer) {
  std::cerr << name_of(answer.code) << ": " << shown(answer.payload.view());
  if (answer.retry_after_ms > 0) std::cerr << " (again in " << answer.retry_after_ms << " ms)";
  std::cerr << '\n';
}

// Sends the message as often as it is to be sent, a window at a time. With --reconnect, what was
// not started (DRAINING, or NO_SERVICE of a broker that has just started) is sent again, and so is
// what was lost with its connection, unless it is to run at most once.
class sender {
public:
  sender(reconnecting_client& c, const send_options& o, shared_bytes payload)
      : client_(c), options_(o), request_(options_of(o)), payload_(std::move(payload)),
        reconnects_(!o.reconnect.empty()), shown_(std::chrono::steady_clock::now()) {}

  int run() {
    if (const auto context = read_traceparent(request_.trace))
      std::cerr << "trace " << hex_of(context->trace) << '\n';
    while (done_ < options_.count) {
      if (draining_ && sent_ == done_) follow();
      if (!draining_)
        for (; sent_ < options_.count && sent_ - done_ < options_.window; ++sent_)
          client_.send(options_.service, payload_, request_);
      const auto answer = client_.wait(*request_.timeout + timeout_beyond_deadline);
      if (!answer)
        return give_up("no answer from " + options_.connection.broker +
                       "; is it overloaded, or stopped?");
      if (answer->code == error_code::connection_lost) {
        if (!reconnects_) return give_up(std::string{answer->payload.view()});
        draining_ = false; // it has gone by itself
        if (auto found = client_.connect(); !found) return give_up(found.why().text());
      }
      if (is_sent_again(*answer))
        --sent_;
      else
        take(*answer);
      show_progress();
    }
    std::cout.flush();
    if (!std::cout)
      return report_error("cannot write the replies to stdout; is the disk full?", cannot_write);
    return errors_ == 0 ? 0 : answered_with_error;
  }

private:
  [[nodiscard]] bool is_sent_again(const client_answer& answer) {
    if (!reconnects_) return false;
    if (answer.code == error_code::connection_lost) return request_.attempts != 1;
    if (answer.code == error_code::no_service &&
        client_.just_found_again(*parse_wait(options_.reconnect))) {
      std::this_thread::sleep_for(workers_pause);
      return true;
    }
    if (answer.code != error_code::draining) return false;
    draining_ = true;
    pause_ = std::chrono::milliseconds{answer.retry_after_ms};
    return true;
  }

  // The broker that goes down has answered all that it had: on to the next one.
  void follow() {
    client_.leave("the broker is going down");
    std::this_thread::sleep_for(pause_);
    draining_ = false;
  }

  void show_progress() {
    const auto now = std::chrono::steady_clock::now();
    if (!shown_.due(now)) return;
    shown_.show(std::to_string(done_) + " of " + std::to_string(options_.count) + " answered, " +
                    std::to_string(errors_) + " errors",
                static_cast<double>(done_) / static_cast<double>(options_.count), now);
  }

  void take(const client_answer& answer) {
    ++done_;
    if (replies_shown_ || answer.code != error_code::ok) shown_.hide();
    if (answer.code == error_code::ok) return print_reply(answer, options_.count > 1);
    ++errors_;
    print_error(answer);
  }

  int give_up(const std::string& why) {
    shown_.hide();
    std::cout.flush();
    return report_error(why, no_broker);
  }

  reconnecting_client& client_;
  const send_options& options_;
  const request_options request_;
  const shared_bytes payload_;
  const bool reconnects_;
  progress shown_;
  const bool replies_shown_ = ::isatty(STDOUT_FILENO) == 1; // where the progress is
  std::uint64_t sent_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t errors_ = 0;
  bool draining_ = false;
  std::chrono::milliseconds pause_{};
};

result<std::string> message_of(const send_options& o) {
  constexpr auto most = limits::max_frame_payload_bytes;
  if (o.data) return *o.data;
  if (!o.file.empty()) return read_file(o.file, most);
  auto read = read_descriptor(STDIN_FILENO, "the message from stdin", most);
  if (!read && read.why().kind == failure_kind::unavailable)
    return failure{read.why().kind, read.why().what, "say --data or --file, or redirect it"};
  return read;
}

int run_send(const send_options& o) {
  auto message = message_of(o);
  if (!message) return report_error(message.why().text(), cannot_start);
  if (message->size() > limits::max_frame_payload_bytes)
    return report_error("a message has at most 256 MiB", cannot_start);
  const auto payload = shared_bytes::copy_of(*message);
  reconnect_settings settings;
  settings.give_up_after =
      o.reconnect.empty() ? std::chrono::milliseconds{0} : *parse_wait(o.reconnect);
  reconnecting_client c{[&o] { return connect(o.connection); }, settings, std::random_device{}()};
  if (const auto connected = c.connect(); !connected)
    return report_error(connected.why().text(), no_broker);
  return sender{c, o, payload}.run();
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
  auto* data = app.add_option("--data", o->data, "the message (default: stdin)");
  app.add_option("--file", o->file, "the file that is the message")->excludes(data);
  app.add_option("--timeout", o->timeout, "the deadline: 250ms, 5s, 2m")
      ->check(is_wait())
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
  auto* trace = app.add_flag("--trace", o->trace,
                             "send it as part of a trace, and print that one's id to stderr: of "
                             "$TRACEPARENT, or of a new one (`ropewalk explain ID`)");
  app.add_option("--traceparent", o->traceparent, "send it as part of this trace (W3C)")
      ->excludes(trace)
      ->check([](const std::string& text) {
        return read_traceparent(text) ? std::string{}
                                      : "a traceparent looks like 00-TRACE-PARENT-01, with 32, 16 "
                                        "and 2 hexadecimal digits in lower case";
      });
  app.add_option("--reconnect", o->reconnect,
                 "if there is no broker, or it goes away or down, look for it for so long (250ms, "
                 "5s, 2m), and send again what it did not answer; with --attempts 1 not what may "
                 "have run")
      ->check(is_wait());
  return [o] { return run_send(*o); };
}

} // namespace ropewalk
