#include "actors/dispatch/deadline_wheel.hpp"
#include "tests/bench/hot_path.hpp"

#include <benchmark/benchmark.h>

/// What the parts of the hot path take, one by one: `tests/run micro`.

using namespace ropewalk;

namespace {

void whole_path(benchmark::State& state) {
  bench::hot_path path{static_cast<std::size_t>(state.range(0))};
  for (auto _ : state) path.turn();
  state.SetItemsProcessed(state.iterations() * path.messages_a_turn());
}
BENCHMARK(whole_path)->Arg(64)->Arg(1024)->Arg(16'000);

void decode_requests(benchmark::State& state) {
  std::vector<char> bytes;
  field_writer fields;
  fields.text(field::service, "echo");
  for (std::uint64_t id = 1; id <= 64; ++id)
    append_frame(bytes, frame_kind::request, error_code::ok, id, fields.bytes(),
                 std::string(static_cast<std::size_t>(state.range(0)), 'x'));
  decoder d{limits::default_max_message_bytes};
  for (auto _ : state) {
    d.feed({bytes.data(), bytes.size()});
    while (auto* event = d.next()) benchmark::DoNotOptimize(event);
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(decode_requests)->Arg(64)->Arg(1024);

// The cost of one more request must not grow with those that are in flight.
void submit_and_complete(benchmark::State& state) {
  dispatch_settings with;
  with.connection_requests = with.queue = 10'000'000;
  with.connection_memory = with.memory = with.service_memory = std::uint64_t{1} << 40;
  with.node_bytes = std::uint64_t{1} << 40;
  instant now{};
  dispatcher d{with, now, 1};
  const auto in_flight = static_cast<std::uint32_t>(state.range(0));
  const auto node = d.join({{"echo", in_flight + 1}}, now);
  const auto client = d.connect();
  const auto service = *d.find_service("echo");
  const auto payload = shared_bytes::copy_of(std::string(64, 'x'));
  std::vector<token> placed;
  std::uint64_t id = 0;
  auto submit = [&] {
    submission what;
    what.connection = client;
    what.request_id = ++id;
    what.service = service;
    what.payload = payload;
    d.submit(std::move(what), now);
    d.take_placed(
        [&](node_number, token which, const request&, std::uint16_t) { placed.push_back(which); });
  };
  for (std::uint32_t i = 0; i < in_flight; ++i) submit();
  std::size_t next = 0;
  for (auto _ : state) {
    now += microseconds{1};
    submit();
    d.complete(node, placed[next++], 1, microseconds{1}, now);
    if (next == 1'000'000) {
      placed.erase(placed.begin(), placed.begin() + static_cast<std::ptrdiff_t>(next));
      next = 0;
    }
  }
}
BENCHMARK(submit_and_complete)->Arg(10)->Arg(1000)->Arg(100'000);

void deadlines(benchmark::State& state) {
  deadline_wheel wheel{instant{}};
  instant now{};
  const auto pending = static_cast<std::uint32_t>(state.range(0));
  for (std::uint32_t i = 0; i < pending; ++i)
    wheel.insert(i, now + milliseconds{10 + i % 30'000}, now);
  std::uint32_t next = 0;
  std::vector<std::uint32_t> expired;
  for (auto _ : state) {
    wheel.erase(next % pending);
    wheel.insert(next % pending, now + milliseconds{30'000}, now);
    ++next;
    if (next % 1000 == 0) wheel.advance(now += microseconds{100}, expired, limits::ends_per_turn);
    for (const auto i : expired) wheel.insert(i, now + milliseconds{30'000}, now);
    expired.clear();
  }
}
BENCHMARK(deadlines)->Arg(10)->Arg(1000)->Arg(100'000);

void build_batch(benchmark::State& state) {
  batch_builder builder;
  const auto payload =
      shared_bytes::copy_of(std::string(static_cast<std::size_t>(state.range(0)), 'x'));
  for (auto _ : state) {
    for (std::uint64_t i = 0; i < 64; ++i) builder.add(work_item{{i, 30'000, 1, 0, 1}, payload});
    benchmark::DoNotOptimize(builder.take());
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(build_batch)->Arg(64)->Arg(1024)->Arg(65'536);

} // namespace

BENCHMARK_MAIN();
