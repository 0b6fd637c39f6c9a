#include "tests/sim/quality.hpp"

#include "actors/dispatch/dispatcher.hpp"
#include "tests/sim/event_queue.hpp"
#include "tests/sim/random.hpp"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ropewalk::sim {

namespace {

struct message {
  instant arrives;
  microseconds runs;
};

struct setting {
  const char* name;
  std::uint32_t nodes;
  std::uint32_t slots;
  double mean_run_us;
  double load;
  std::uint32_t messages;
};

// The way between broker and node, one way: a local network's.
constexpr microseconds way{50};

// As a gateway has them.
constexpr milliseconds look_interval{2};
constexpr milliseconds stall_timeout{5};

constexpr std::uint64_t seed = 20261123;

std::vector<message> plan(const setting& s) {
  random_source random{seed};
  std::vector<message> result(s.messages);
  const double between_us = s.mean_run_us / (s.load * s.nodes * s.slots);
  double at_us = 0;
  double sum = 0;
  std::vector<double> runs;
  for (std::uint32_t i = 0; i < s.messages; ++i) {
    runs.push_back(random.heavy_tailed(1));
    sum += runs.back();
  }
  const double scale = s.mean_run_us * s.messages / sum; // the mean is what it says, tail and all
  for (std::uint32_t i = 0; i < s.messages; ++i) {
    at_us += random.exponential(between_us);
    // Below a microsecond nothing is told apart here; between arrivals it would add up.
    result[i].arrives = instant{} + std::chrono::duration_cast<instant::duration>(
                                        std::chrono::duration<double, std::micro>(at_us));
    result[i].runs = microseconds{static_cast<std::int64_t>(runs[i] * scale) + 1};
  }
  return result;
}

struct result {
  double p50_ms, p99_ms, p999_ms;
};

result percentiles(std::vector<double>& times_ms) {
  times_ms.erase(times_ms.begin(),
                 times_ms.begin() + static_cast<std::ptrdiff_t>(times_ms.size() / 10));
  auto at = [&](double q) {
    const auto n = static_cast<std::ptrdiff_t>(q * static_cast<double>(times_ms.size() - 1));
    std::nth_element(times_ms.begin(), times_ms.begin() + n, times_ms.end());
    return times_ms[static_cast<std::size_t>(n)];
  };
  return {at(0.5), at(0.99), at(0.999)};
}

double ms(instant::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

// One queue for all slots, and no network: nothing can do better without knowing the future.
std::vector<double> central_queue(const setting& s, const std::vector<message>& messages) {
  std::vector<instant> free(std::size_t{s.nodes} * s.slots,
                            instant{}); // a heap: the next one first
  std::vector<double> times;
  for (const auto& m : messages) {
    std::pop_heap(free.begin(), free.end(), std::greater<>{});
    const auto done = std::max(free.back(), m.arrives) + m.runs;
    free.back() = done;
    std::push_heap(free.begin(), free.end(), std::greater<>{});
    times.push_back(ms(done - m.arrives));
  }
  return times;
}

// A queue at every node, and who comes chooses one without ever looking back. What is known of a
// node's load is what the broker sent and has had an answer for.
std::vector<double>
node_queues(const setting& s, const std::vector<message>& messages,
            const std::function<std::uint32_t(const std::vector<std::uint32_t>&)>& choose) {
  std::vector<std::vector<instant>> free(s.nodes, std::vector<instant>(s.slots, instant{}));
  std::vector<std::uint32_t> in_flight(s.nodes, 0);
  event_queue<std::uint32_t> answers;
  std::vector<double> times;
  for (const auto& m : messages) {
    while (!answers.empty() && answers.next_time() <= m.arrives) --in_flight[answers.take()];
    const auto to = choose(in_flight);
    ++in_flight[to];
    auto& slots = free[to];
    const auto slot = std::min_element(slots.begin(), slots.end());
    *slot = std::max(*slot, m.arrives + way) + m.runs;
    answers.add(*slot + way, to);
    times.push_back(ms(*slot + way - m.arrives));
  }
  return times;
}

// The real dispatcher, with nodes as gateways and slots make them.
class under_dispatcher {
public:
  under_dispatcher(const setting& s, const std::vector<message>& messages)
      : messages_(messages), nodes_(s.nodes), times_(messages.size()),
        dispatcher_(lifted(), {}, 1) {
    for (auto& n : nodes_) n.free = s.slots;
    for (std::uint32_t i = 0; i < s.nodes; ++i) dispatcher_.join({{"a", s.slots}}, {});
    client_ = dispatcher_.connect();
  }

  std::vector<double> run() {
    const auto service = *dispatcher_.find_service("a");
    std::uint32_t next = 0;
    while (next < messages_.size() || !events_.empty()) {
      if (next < messages_.size() &&
          (events_.empty() || messages_[next].arrives <= events_.next_time())) {
        now_ = messages_[next].arrives;
        submission what;
        what.connection = client_;
        what.request_id = next++;
        what.service = service;
        dispatcher_.submit(what, now_);
        carry_out();
      } else {
        now_ = events_.next_time();
        step(events_.take());
      }
    }
    return std::move(times_);
  }

private:
  enum class what : std::uint8_t { work, done, answer, returned, look };

  struct event {
    what kind;
    std::uint32_t fence;
    std::uint32_t node;
    std::uint32_t id;
    token request;
  };

  struct node {
    std::deque<event> waiting;
    std::uint32_t free = 0;
    instant last_end{};
    bool looking = false;
  };

  static dispatch_settings lifted() {
    dispatch_settings result; // only those that would refuse are lifted
    result.timeout = std::chrono::hours{24};
    result.queue = result.connection_requests = 1'000'000'000;
    result.memory = result.service_memory = result.connection_memory = std::uint64_t{1} << 60;
    return result;
  }

  void begin(node& n) {
    while (n.free > 0 && !n.waiting.empty()) {
      auto e = n.waiting.front();
      n.waiting.pop_front();
      --n.free;
      e.kind = what::done;
      events_.add(now_ + messages_[e.id].runs, e);
    }
    if (!n.waiting.empty() && !std::exchange(n.looking, true))
      events_.add(now_ + look_interval,
                  {what::look, 0, static_cast<std::uint32_t>(&n - nodes_.data()), 0, 0});
  }

  void step(event e) {
    auto& n = nodes_[e.node];
    switch (e.kind) {
    case what::work:
      n.waiting.push_back(e);
      return begin(n);
    case what::done:
      ++n.free;
      n.last_end = now_;
      e.kind = what::answer;
      events_.add(now_ + way, e);
      return begin(n);
    case what::look:
      n.looking = false;
      if (n.free == 0 && now_ - n.last_end >= stall_timeout)
        for (auto item : std::exchange(n.waiting, {})) {
          item.kind = what::returned;
          events_.add(now_ + way, item);
        }
      return begin(n);
    case what::returned:
      dispatcher_.give_back(e.node, e.request, e.fence, now_);
      return carry_out();
    case what::answer:
      if (dispatcher_.complete(e.node, e.request, e.fence, messages_[e.id].runs, now_))
        times_[e.id] = ms(now_ - messages_[e.id].arrives);
      return carry_out();
    }
  }

  void carry_out() {
    dispatcher_.take_placed([&](node_number node, token which, const request& r, std::uint16_t) {
      events_.add(now_ + way,
                  {what::work, r.fence, node, static_cast<std::uint32_t>(r.client_id), which});
    });
  }

  const std::vector<message>& messages_;
  instant now_{};
  event_queue<event> events_;
  std::vector<node> nodes_;
  std::vector<double> times_;
  dispatcher dispatcher_;
  connection_id client_;
};

void measure(const setting& s, bool last) {
  const auto messages = plan(s);
  struct row {
    const char* name;
    std::vector<double> times;
  };
  random_source random{seed + 1};
  std::uint32_t turn = 0;
  auto any = [&] { return random.below(s.nodes); };
  row rows[] = {
      {"ideal central queue", central_queue(s, messages)},
      {"Ropewalk", under_dispatcher{s, messages}.run()},
      {"power of two choices", node_queues(s, messages,
                                           [&](const std::vector<std::uint32_t>& in_flight) {
                                             const auto a = any();
                                             const auto b = any();
                                             return in_flight[a] <= in_flight[b] ? a : b;
                                           })},
      {"round robin", node_queues(s, messages, [&](const auto&) { return turn++ % s.nodes; })},
      {"random", node_queues(s, messages, [&](const auto&) { return any(); })},
  };
  std::printf("  {\"setting\": \"%s\", \"nodes\": %u, \"slots\": %u, \"mean_run_us\": %g, "
              "\"load\": %g, \"messages\": %u, \"rows\": [\n",
              s.name, s.nodes, s.slots, s.mean_run_us, s.load, s.messages);
  for (auto& r : rows) {
    const auto p = percentiles(r.times);
    std::printf("    {\"name\": \"%s\", \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f}%s\n",
                r.name, p.p50_ms, p.p99_ms, p.p999_ms, &r == std::end(rows) - 1 ? "" : ",");
  }
  std::printf("  ]}%s\n", last ? "" : ",");
  std::fflush(stdout);
}

} // namespace

int print_quality() {
  std::vector<setting> all;
  for (const double load : {0.5, 0.8, 0.9, 0.95}) {
    all.push_back({"1,000 nodes of 16 slots, 10 ms", 1000, 16, 10'000, load, 1'500'000});
    all.push_back({"4 nodes of 4 slots, 10 ms", 4, 4, 10'000, load, 1'000'000});
    all.push_back({"4 nodes of 4 slots, 0.1 ms", 4, 4, 100, load, 1'000'000});
  }
  std::printf("[\n");
  for (const auto& s : all) measure(s, &s == &all.back());
  std::printf("]\n");
  return 0;
}

} // namespace ropewalk::sim
