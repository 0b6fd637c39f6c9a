// ZeroMQ's broker pattern, ROUTER in front and DEALER behind (zmq_proxy):
//
//   zeromq broker CLIENT_PORT WORKER_PORT
//   zeromq worker WORKER_PORT
//   zeromq load CLIENT_PORT BYTES WINDOW SECONDS CONNECTIONS
//
// One I/O thread a process, no limits on queues (a limit would drop messages).
#include "load.hpp"

#include <zmq.h>

namespace {

void check(int result) {
  if (result >= 0) return;
  std::fprintf(stderr, "zeromq: %s\n", zmq_strerror(zmq_errno()));
  std::exit(1);
}

void* make_socket(void* context, int kind) {
  auto* result = zmq_socket(context, kind);
  const int none = 0;
  check(zmq_setsockopt(result, ZMQ_SNDHWM, &none, sizeof none));
  check(zmq_setsockopt(result, ZMQ_RCVHWM, &none, sizeof none));
  check(zmq_setsockopt(result, ZMQ_LINGER, &none, sizeof none));
  return result;
}

std::string address(int port) {
  return "tcp://127.0.0.1:" + std::to_string(port);
}

int run_broker(int clients, int workers) {
  auto* context = zmq_ctx_new();
  auto* front = make_socket(context, ZMQ_ROUTER);
  auto* back = make_socket(context, ZMQ_DEALER);
  check(zmq_bind(front, address(clients).c_str()));
  check(zmq_bind(back, address(workers).c_str()));
  return zmq_proxy(front, back, nullptr);
}

int run_worker(int port) {
  auto* context = zmq_ctx_new();
  auto* socket = make_socket(context, ZMQ_DEALER);
  check(zmq_connect(socket, address(port).c_str()));
  zmq_msg_t client;
  zmq_msg_t message;
  for (;;) {
    zmq_msg_init(&client);
    zmq_msg_init(&message);
    check(zmq_msg_recv(&client, socket, 0));
    check(zmq_msg_recv(&message, socket, 0));
    check(zmq_msg_send(&client, socket, ZMQ_SNDMORE));
    check(zmq_msg_send(&message, socket, 0));
  }
}

int run_load(const peers::load_settings& s) {
  auto* context = zmq_ctx_new();
  std::vector<zmq_pollitem_t> items;
  std::vector<peers::recorder> answers(static_cast<std::size_t>(s.connections));
  for (int i = 0; i < s.connections; ++i) {
    auto* socket = make_socket(context, ZMQ_DEALER);
    check(zmq_connect(socket, address(s.port).c_str()));
    items.push_back({socket, 0, ZMQ_POLLIN, 0});
  }
  std::string message(s.bytes, 'x');
  auto send = [&message](void* socket) {
    peers::stamp(message, peers::now_ns());
    check(zmq_send(socket, message.data(), message.size(), 0));
  };
  const auto begin = peers::now_ns();
  const auto end = begin + static_cast<std::uint64_t>(s.seconds * 1e9);
  for (auto& item : items)
    for (int i = 0; i < s.window; ++i) send(item.socket);
  zmq_msg_t answer;
  zmq_msg_init(&answer);
  while (peers::now_ns() < end) {
    check(zmq_poll(items.data(), s.connections, 100));
    for (std::size_t i = 0; i < items.size(); ++i) {
      if ((items[i].revents & ZMQ_POLLIN) == 0) continue;
      while (zmq_msg_recv(&answer, items[i].socket, ZMQ_DONTWAIT) >= 0) {
        answers[i].answered(zmq_msg_data(&answer), zmq_msg_size(&answer), s.bytes);
        send(items[i].socket);
      }
    }
  }
  peers::report(answers, static_cast<double>(peers::now_ns() - begin) / 1e9);
  std::fflush(stdout);
  std::_Exit(0);
}

} // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  if (role == "broker" && argc == 4) return run_broker(std::atoi(argv[2]), std::atoi(argv[3]));
  if (role == "worker" && argc == 3) return run_worker(std::atoi(argv[2]));
  if (role == "load" && argc == 7) return run_load(peers::settings_of(argv));
  std::fprintf(stderr, "zeromq broker CLIENT_PORT WORKER_PORT | worker PORT | load PORT BYTES "
                       "WINDOW SECONDS CONNECTIONS\n");
  return 2;
}
