// NATS request/reply with a queue group, through libnats:
//
//   nats worker PORT
//   nats load PORT BYTES WINDOW SECONDS CONNECTIONS
//
// The broker is nats-server. At a window of 1 every message is written at once (SendAsap); above
// that libnats' flusher thread writes what has collected, which is faster there. Worker and load
// choose by ROPEWALK_BENCH_ASAP=1 and by the window.
#include "load.hpp"

#include <atomic>
#include <nats/nats.h>
#include <thread>

namespace {

void check(natsStatus status) {
  if (status == NATS_OK) return;
  std::fprintf(stderr, "nats: %s\n", natsStatus_GetText(status));
  std::exit(1);
}

natsConnection* connect_to(int port, bool asap) {
  natsOptions* options = nullptr;
  check(natsOptions_Create(&options));
  check(natsOptions_SetURL(options, ("nats://127.0.0.1:" + std::to_string(port)).c_str()));
  check(natsOptions_SetSendAsap(options, asap));
  natsConnection* result = nullptr;
  check(natsConnection_Connect(&result, options));
  natsOptions_Destroy(options);
  return result;
}

void echo(natsConnection* connection, natsSubscription*, natsMsg* message, void*) {
  check(natsConnection_Publish(connection, natsMsg_GetReply(message), natsMsg_GetData(message),
                               natsMsg_GetDataLength(message)));
  natsMsg_Destroy(message);
}

int run_worker(int port) {
  auto* connection = connect_to(port, std::getenv("ROPEWALK_BENCH_ASAP") != nullptr);
  natsSubscription* subscription = nullptr;
  check(natsConnection_QueueSubscribe(&subscription, connection, "echo", "workers", echo, nullptr));
  check(natsSubscription_SetPendingLimits(subscription, -1, -1));
  for (;;) std::this_thread::sleep_for(std::chrono::hours{1});
}

struct client {
  natsConnection* connection = nullptr;
  natsInbox* inbox = nullptr;
  std::string message;
  peers::recorder answers;
  static std::atomic<bool> ending;

  void send() {
    peers::stamp(message, peers::now_ns());
    check(natsConnection_PublishRequest(connection, "echo", inbox, message.data(),
                                        static_cast<int>(message.size())));
  }

  static void answered(natsConnection*, natsSubscription*, natsMsg* message, void* self) {
    auto& c = *static_cast<client*>(self);
    if (!ending) {
      c.answers.answered(natsMsg_GetData(message),
                         static_cast<std::size_t>(natsMsg_GetDataLength(message)),
                         c.message.size());
      c.send();
    }
    natsMsg_Destroy(message);
  }
};

std::atomic<bool> client::ending{false};

int run_load(const peers::load_settings& s) {
  std::vector<client> clients(static_cast<std::size_t>(s.connections));
  for (auto& c : clients) {
    c.connection = connect_to(s.port, s.window == 1);
    c.message.assign(s.bytes, 'x');
    check(natsInbox_Create(&c.inbox));
    natsSubscription* subscription = nullptr;
    check(natsConnection_Subscribe(&subscription, c.connection, c.inbox, client::answered, &c));
    check(natsSubscription_SetPendingLimits(subscription, -1, -1));
    check(natsConnection_Flush(c.connection));
  }
  const auto begin = peers::now_ns();
  for (auto& c : clients)
    for (int i = 0; i < s.window; ++i) c.send();
  std::this_thread::sleep_for(std::chrono::duration<double>(s.seconds));
  client::ending = true;
  const auto seconds = static_cast<double>(peers::now_ns() - begin) / 1e9;
  std::this_thread::sleep_for(std::chrono::milliseconds{100}); // callbacks end
  std::vector<peers::recorder> all;
  for (auto& c : clients) all.push_back(c.answers);
  peers::report(all, seconds);
  std::fflush(stdout);
  std::_Exit(0);
}

} // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  if (role == "worker" && argc == 3) return run_worker(std::atoi(argv[2]));
  if (role == "load" && argc == 7) return run_load(peers::settings_of(argv));
  std::fprintf(stderr, "nats worker PORT | load PORT BYTES WINDOW SECONDS CONNECTIONS\n");
  return 2;
}
