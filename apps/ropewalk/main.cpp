#include "apps/ropewalk/command_line.hpp"

#include <algorithm>

int main(int argc, char** argv) {
  ropewalk::command_line program{
      "Ropewalk: messages in over TCP, through worker processes, and back.\n"
      "One broker owns the sockets; workers, on as many machines as you like, run your handlers.",
      "ropewalk"};
  program.add("broker", "own the client sockets and hand messages to workers",
              ropewalk::add_broker);
  program.add("worker", "run handlers for a broker",
              [](CLI::App& app) { return ropewalk::add_worker(app); });
  program.add("relay", "connect a worker with a server", ropewalk::add_relay);
  program.add("send", "send messages, print the replies", ropewalk::add_send);
  program.add("bench", "measure throughput and latency of a service", ropewalk::add_bench);
  program.add("status", "what a broker has: nodes, slots, messages in flight",
              ropewalk::add_status);
  program.add("explain", "what became of messages, and why one waits", ropewalk::add_explain);
  program.add("top", "services, nodes and clients as they change, in a terminal",
              ropewalk::add_top);
  program.add("certs", "make certificates for a broker, its workers and clients",
              ropewalk::add_certs);
  program.add("token", "make a token for a client", ropewalk::add_token);
  program.add("limits", "every limit with its unit, default and reason", ropewalk::add_limits);
  return program.run({argv + std::min(argc, 1), argv + argc});
}
