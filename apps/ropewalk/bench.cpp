#include "actors/settings/units.hpp"
#include "actors/stats/histogram.hpp"
#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/display_text.hpp"
#include "apps/ropewalk/options.hpp"
#include "apps/ropewalk/process.hpp"
#include "apps/ropewalk/progress.hpp"
#include "net/client/client.hpp"

#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <sched.h>
#include <sys/epoll.h>
#include <unordered_map>

/// A closed loop: every connection has a window of requests in flight, and sends the next when one
/// is answered.
namespace ropewalk {

namespace {

using steady = std::chrono::steady_clock;

struct bench_options {
  std::string service;
  connection_options connection;
  std::size_t size = 64;
  std::optional<std::string> data;
  unsigned window = 64;
  unsigned connections = 8;
  double seconds = 3;
  std::string verify = "echo";
  bool json = false;
};

struct measurement {
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;
  std::uint64_t wrong = 0;
  std::map<std::string, std::uint64_t> errors;
  histogram latency;
  double seconds = 0;
  std::string broken;
};

std::vector<shared_bytes> make_payloads(const bench_options& o) {
  if (o.data) return {shared_bytes::copy_of(*o.data)};
  // Several, so that an answer to another request is seen to be wrong; few, so that they stay in
  // the cache.
  std::vector<shared_bytes> payloads;
  std::mt19937_64 random{o.size};
  for (int i = 0; i < (o.size > 256 * 1024 ? 2 : 4); ++i) {
    std::string text(o.size, '\0');
    for (auto& c : text) c = static_cast<char>(random());
    payloads.push_back(shared_bytes::copy_of(text));
  }
  return payloads;
}

class connection {
public:
  connection(client c, const bench_options& options, const std::vector<shared_bytes>& payloads,
             measurement& into)
      : client_(std::move(c)), options_(options), payloads_(payloads), result_(into),
        sent_at_(std::bit_ceil(std::size_t{4} * options.window)) {}

  void start(steady::time_point now) {
    now_ = now;
    for (unsigned i = 0; i < options_.window; ++i) send();
    client_.flush();
  }

  // False if the connection broke.
  bool ready(bool readable, bool sending) {
    sending_ = sending;
    now_ = steady::now();
    const bool alive =
        !readable || client_.receive([this](const client_answer& a) { answered(a); });
    return client_.flush() && alive;
  }

  [[nodiscard]] client& wire() { return client_; }
  bool watching_writes = false;

private:
  struct sent {
    std::uint64_t id = 0;
    steady::time_point at;
  };

  const shared_bytes& payload_of(std::uint64_t id) const {
    return payloads_[id % payloads_.size()];
  }

  void send() {
    const auto id = client_.send(options_.service, payload_of(next_));
    if (id != next_) throw std::logic_error("request ids are not 1, 2, 3, ...");
    ++next_;
    ++result_.sent;
    auto& place = sent_at_[id % sent_at_.size()];
    if (place.id != 0) stragglers_.emplace(place.id, place.at); // its answer is that late
    place = {id, now_};
  }

  steady::time_point take_sent_at(std::uint64_t id) {
    auto& place = sent_at_[id % sent_at_.size()];
    if (place.id == id) {
      place.id = 0;
      return place.at;
    }
    auto straggler = stragglers_.extract(id);
    return straggler ? straggler.mapped() : now_;
  }

  void answered(const client_answer& a) {
    const auto ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(now_ - take_sent_at(a.id)).count();
    if (a.code == error_code::ok) {
      ++result_.answered;
      result_.latency.record(static_cast<std::uint64_t>(ns));
      if (options_.verify == "echo" && a.payload.view() != payload_of(a.id).view()) ++result_.wrong;
    } else {
      ++result_.errors[std::string{name_of(a.code)}];
    }
    if (sending_) send();
  }

  client client_;
  const bench_options& options_;
  const std::vector<shared_bytes>& payloads_;
  measurement& result_;
  std::vector<sent> sent_at_;
  std::unordered_map<std::uint64_t, steady::time_point> stragglers_;
  std::uint64_t next_ = 1;
  steady::time_point now_;
  bool sending_ = true;
};

void show(progress& to, const bench_options& o, const measurement& r, steady::time_point now) {
  to.show(short_number(static_cast<double>(r.answered) / r.seconds) + " answers a second",
          r.seconds / o.seconds, now);
}

// What is in flight when the time is over is waited for this long, and not counted into the rate.
constexpr std::chrono::seconds last_answers{10};

measurement measure(const bench_options& o, std::vector<client> clients) {
  measurement r;
  const auto payloads = make_payloads(o);
  const descriptor poller{::epoll_create1(EPOLL_CLOEXEC)};
  std::vector<std::unique_ptr<connection>> connections;
  for (auto& c : clients) {
    connections.push_back(std::make_unique<connection>(std::move(c), o, payloads, r));
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.ptr = connections.back().get();
    ::epoll_ctl(poller.get(), EPOLL_CTL_ADD, connections.back()->wire().fd(), &e);
  }
  const auto start = steady::now();
  const auto end = start + std::chrono::duration_cast<steady::duration>(
                               std::chrono::duration<double>(o.seconds));
  for (auto& c : connections) c->start(start);
  std::uint64_t in_time = 0;
  std::vector<epoll_event> events(64);
  progress shown{start};
  for (auto now = start; now < end + last_answers; now = steady::now()) {
    const bool sending = now < end;
    if (shown.due(now)) show(shown, o, r, now);
    if (sending) {
      in_time = r.answered;
      r.seconds = std::chrono::duration<double>(now - start).count();
    } else if (std::all_of(connections.begin(), connections.end(),
                           [](const auto& c) { return c->wire().unanswered() == 0; })) {
      break;
    }
    const int count =
        ::epoll_wait(poller.get(), events.data(), static_cast<int>(events.size()), 100);
    for (int i = 0; i < count; ++i) {
      auto& c = *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (!c.ready((events[static_cast<std::size_t>(i)].events & ~EPOLLOUT) != 0, sending)) {
        r.broken = c.wire().why_closed();
        return r;
      }
      if (c.wire().wants_write() == c.watching_writes) continue;
      c.watching_writes = c.wire().wants_write();
      epoll_event e{};
      e.events = c.watching_writes ? EPOLLIN | EPOLLOUT : EPOLLIN;
      e.data.ptr = &c;
      ::epoll_ctl(poller.get(), EPOLL_CTL_MOD, c.wire().fd(), &e);
    }
    for (auto& c : connections)
      if (now == start && c->wire().wants_write()) { // what start() could not send
        c->watching_writes = true;
        epoll_event e{};
        e.events = EPOLLIN | EPOLLOUT;
        e.data.ptr = c.get();
        ::epoll_ctl(poller.get(), EPOLL_CTL_MOD, c->wire().fd(), &e);
      }
  }
  for (const auto& c : connections)
    if (c->wire().unanswered() > 0) r.errors["unanswered"] += c->wire().unanswered();
  r.answered = std::max(r.answered, in_time);
  return r;
}

void print(const bench_options& o, const measurement& r) {
  const double rate = r.seconds > 0 ? static_cast<double>(r.latency.count()) / r.seconds : 0;
  const double megabytes = rate * static_cast<double>(o.size) / 1e6;
  auto us = [&](double q) { return static_cast<double>(r.latency.quantile(q)) / 1e3; };
  if (o.json) {
    nlohmann::json j;
    j["sent"] = r.sent;
    j["answered"] = r.answered;
    j["wrong"] = r.wrong;
    j["errors"] = r.errors;
    j["messages_per_second"] = rate;
    j["megabytes_per_second"] = megabytes;
    j["latency_us"] = {{"p50", us(0.5)},
                       {"p90", us(0.9)},
                       {"p99", us(0.99)},
                       {"p99_9", us(0.999)},
                       {"max", static_cast<double>(r.latency.max()) / 1e3}};
    std::cout << j.dump() << '\n';
    return;
  }
  std::printf("%s, %zu bytes, %u connections, %u in flight on each, %.1f s\n", o.service.c_str(),
              o.size, o.connections, o.window, r.seconds);
  std::printf("%.0f messages/s, %.1f MB/s; %llu sent, %llu answered\n", rate, megabytes,
              static_cast<unsigned long long>(r.sent), static_cast<unsigned long long>(r.answered));
  std::printf("latency in us: p50 %.0f, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n", us(0.5),
              us(0.9), us(0.99), us(0.999), static_cast<double>(r.latency.max()) / 1e3);
  for (const auto& [name, count] : r.errors)
    std::printf("%s: %llu\n", name.c_str(), static_cast<unsigned long long>(count));
  if (r.wrong > 0)
    std::printf("replies that differ from what was sent: %llu\n",
                static_cast<unsigned long long>(r.wrong));
}

// With so many messages in flight on a connection it waits for its turn when it is woken, and does
// not interrupt the broker that it measures: dozens of answers come at once then.
constexpr unsigned many_in_flight = 32;

void do_not_interrupt() {
  const sched_param none{};
  (void)::sched_setscheduler(0, SCHED_BATCH, &none);
}

int run_bench(bench_options& o) {
  if (o.data) o.size = o.data->size();
  if (o.window >= many_in_flight) do_not_interrupt();
  tune_allocator();
  allow_descriptors();
  std::vector<client> clients;
  for (unsigned i = 0; i < o.connections; ++i) {
    auto connected = connect(o.connection);
    if (!connected) {
      std::cerr << "ropewalk bench: " << connected.why().text() << '\n';
      return 3;
    }
    clients.push_back(*std::move(connected));
  }
  const auto r = measure(o, std::move(clients));
  print(o, r);
  if (!r.broken.empty()) std::cerr << "ropewalk bench: " << r.broken << '\n';
  return r.broken.empty() && r.errors.empty() && r.wrong == 0 ? 0 : 1;
}

} // namespace

command_action add_bench(CLI::App& app) {
  auto o = std::make_shared<bench_options>();
  app.footer("Exit status: 0 if every message was answered as it should be, 1 if not, 3 without a "
             "broker.");
  app.add_option("service", o->service, "the service's name; one that echoes, or say --verify none")
      ->required();
  add_connection(app, o->connection);
  auto* const size = app.add_option_function<std::string>(
                            "--size", [o](const std::string& text) { o->size = *parse_size(text); },
                            "payload of a message, random bytes: 1000, 64KiB, 2MB; at most 256MiB")
                         ->check(is_size())
                         ->check([](const std::string& text) {
                           return *parse_size(text) <= limits::max_frame_payload_bytes
                                      ? std::string{}
                                      : text + " is over 256MiB";
                         })
                         ->type_name("SIZE")
                         ->default_str(std::to_string(o->size));
  app.add_option("--data", o->data, "send this and not random bytes")->excludes(size);
  app.add_option("--window", o->window, "messages in flight on each connection")
      ->check(CLI::Range(1u, 100'000u))
      ->capture_default_str();
  app.add_option("--connections", o->connections, "connections")
      ->check(CLI::Range(1u, 10'000u))
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--seconds",
         [o](const std::string& text) {
           o->seconds = std::chrono::duration<double>(*parse_wait(text)).count();
         },
         "how long: seconds, or 500ms, 10s, 2m")
      ->check(is_wait())
      ->default_str("3");
  app.add_option("--verify", o->verify,
                 "echo: a reply must be what was sent; none: it may be anything")
      ->check(CLI::IsMember({"echo", "none"}))
      ->capture_default_str();
  app.add_flag("--json", o->json, "as JSON, for scripts");
  return [o] { return run_bench(*o); };
}

} // namespace ropewalk
