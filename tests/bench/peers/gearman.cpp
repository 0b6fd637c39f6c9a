// gearmand through libgearman:
//
//   gearman worker PORT
//   gearman load PORT BYTES WINDOW SECONDS CONNECTIONS
//
// A thread a connection. libgearman runs a set of tasks to its end: a window is that many tasks,
// and the next set begins when the last of them is done.
#include "load.hpp"

#include <libgearman/gearman.h>
#include <thread>

namespace {

void check(gearman_return_t result) {
  if (result == GEARMAN_SUCCESS) return;
  std::fprintf(stderr, "gearman: %s\n", gearman_strerror(result));
  std::exit(1);
}

void* echo(gearman_job_st* job, void*, std::size_t* size, gearman_return_t* result) {
  *size = gearman_job_workload_size(job);
  auto* const copy = std::malloc(*size); // libgearman frees it
  std::memcpy(copy, gearman_job_workload(job), *size);
  *result = GEARMAN_SUCCESS;
  return copy;
}

int run_worker(int port) {
  gearman_worker_st worker;
  gearman_worker_create(&worker);
  check(gearman_worker_add_server(&worker, "127.0.0.1", static_cast<in_port_t>(port)));
  check(gearman_worker_add_function(&worker, "echo", 0, echo, nullptr));
  for (;;) check(gearman_worker_work(&worker));
}

struct connection {
  peers::recorder answers;
  std::size_t bytes;
};

gearman_return_t done(gearman_task_st* task) {
  auto& c = *static_cast<connection*>(gearman_task_context(task));
  c.answers.answered(gearman_task_data(task), gearman_task_data_size(task), c.bytes);
  return GEARMAN_SUCCESS;
}

void keep_asking(const peers::load_settings& s, connection& c, int number, std::uint64_t end) {
  gearman_client_st client;
  gearman_client_create(&client);
  check(gearman_client_add_server(&client, "127.0.0.1", static_cast<in_port_t>(s.port)));
  gearman_client_set_complete_fn(&client, done);
  std::vector<std::string> messages(static_cast<std::size_t>(s.window), std::string(s.bytes, 'x'));
  for (std::uint64_t sent = 0; peers::now_ns() < end;) {
    for (auto& message : messages) {
      peers::stamp(message, peers::now_ns());
      const auto unique = std::to_string(number) + "-" + std::to_string(sent++);
      gearman_return_t result = GEARMAN_SUCCESS;
      gearman_client_add_task(&client, nullptr, &c, "echo", unique.c_str(), message.data(),
                              message.size(), &result);
      check(result);
    }
    check(gearman_client_run_tasks(&client));
    gearman_client_task_free_all(&client);
  }
  gearman_client_free(&client);
}

int run_load(const peers::load_settings& s) {
  std::vector<connection> connections(static_cast<std::size_t>(s.connections));
  const auto begin = peers::now_ns();
  const auto end = begin + static_cast<std::uint64_t>(s.seconds * 1e9);
  std::vector<std::thread> threads;
  for (int i = 0; i < s.connections; ++i) {
    auto& c = connections[static_cast<std::size_t>(i)];
    c.bytes = s.bytes;
    threads.emplace_back([&s, &c, i, end] { keep_asking(s, c, i, end); });
  }
  for (auto& t : threads) t.join();
  std::vector<peers::recorder> all;
  for (auto& c : connections) all.push_back(c.answers);
  peers::report(all, static_cast<double>(peers::now_ns() - begin) / 1e9);
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  if (role == "worker" && argc == 3) return run_worker(std::atoi(argv[2]));
  if (role == "load" && argc == 7) return run_load(peers::settings_of(argv));
  std::fprintf(stderr, "gearman worker PORT | load PORT BYTES WINDOW SECONDS CONNECTIONS\n");
  return 2;
}
