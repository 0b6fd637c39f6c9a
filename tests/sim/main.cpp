#include "tests/sim/quality.hpp"
#include "tests/sim/world.hpp"

#include <chrono>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>

using namespace ropewalk::sim;

namespace {

volatile std::uint64_t running_seed = 0;

void say_seed(int) {
  std::fprintf(stderr, "seed %llu ended by a signal\n",
               static_cast<unsigned long long>(running_seed));
  std::_Exit(1);
}

int replay(std::uint64_t seed) {
  try {
    const auto steps = world{seed, true}.run();
    std::printf("seed %llu: %llu steps, every promise kept\n",
                static_cast<unsigned long long>(seed), static_cast<unsigned long long>(steps));
    return 0;
  } catch (const std::logic_error& broken) {
    std::printf("BROKEN: %s\n", broken.what());
    return 1;
  }
}

int run_seeds(std::uint64_t first, std::uint64_t count) {
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t steps = 0;
  for (auto seed = first; seed < first + count; ++seed) {
    running_seed = seed;
    try {
      steps += world{seed}.run();
    } catch (const std::logic_error& broken) {
      std::printf("seed %llu: BROKEN: %s\nreplay with: tests/run sim --seed %llu\n",
                  static_cast<unsigned long long>(seed), broken.what(),
                  static_cast<unsigned long long>(seed));
      return 1;
    }
  }
  const auto seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%llu seeds, %llu steps, %.2f million steps a second, every promise kept\n",
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(steps),
              static_cast<double>(steps) / seconds / 1e6);
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs the dispatcher in simulated worlds and holds it to its promises."};
  std::uint64_t seeds = 5000;
  std::uint64_t first = 1;
  std::uint64_t seed = 0;
  bool quality = false;
  auto* many = app.add_option("--seeds", seeds, "run so many worlds")->capture_default_str();
  app.add_option("--from", first, "the first of them")->capture_default_str();
  app.add_option("--seed", seed, "run this one, and print what happens in it")->excludes(many);
  app.add_flag("--quality", quality, "measure how well it dispatches, and print it as JSON");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGABRT, say_seed);
  std::signal(SIGSEGV, say_seed);
  if (quality) return print_quality();
  return seed > 0 ? replay(seed) : run_seeds(first, seeds);
}
