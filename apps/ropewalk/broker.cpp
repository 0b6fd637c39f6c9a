#include "actors/broker/broker_supervisor.hpp"
#include "actors/log/log_rate_limiter.hpp"
#include "actors/settings/largest_message.hpp"
#include "actors/settings/machine.hpp"
#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/http_port.hpp"
#include "apps/ropewalk/log.hpp"
#include "apps/ropewalk/options.hpp"
#include "apps/ropewalk/process.hpp"
#include "net/cluster/basp_transport.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/protocol/cluster_greeting.hpp"
#include "net/transport/socket.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace ropewalk {

namespace {

struct broker_options {
  std::vector<std::string> listen{"127.0.0.1:7070"};
  std::string cluster = "127.0.0.1:7071";
  http_port_options http;
  std::string no_node_reply = "wait";
  log_options log;
  bool insecure_cluster = false;
  bool own_user = false;
  bool check = false;
  std::string cluster_tls;
  std::string otlp;
  broker_settings settings;
};

// A CAF system with one shard of the broker in it.
class shard_system {
public:
  // `cluster_tls`: what this shard is to reload, for all of them; null: nothing.
  shard_system(const broker_settings& settings, const basp_transport_settings& transport,
               std::shared_ptr<reloadable_tls> cluster_tls)
      : system_(config_) {
    shared_loop::of(system_).start();
    auto dependencies = default_broker_dependencies(spawn_basp_transport(system_, transport));
    dependencies.cluster_tls = std::move(cluster_tls);
    top_ = system_.spawn(broker_supervisor, settings, std::move(dependencies));
  }

  [[nodiscard]] const caf::actor& top() const { return top_; }

private:
  process_config config_;
  caf::actor_system system_;
  caf::actor top_;
};

// Shards listen on the same ports. Those are nobody else's as long as what is returned lives.
result<std::vector<descriptor>> reserve_ports(const std::vector<endpoint>& listen) {
  std::vector<descriptor> held;
  for (const auto& address : listen) {
    auto port = reserve_port(address);
    if (!port) return std::move(port).why();
    held.push_back(*std::move(port));
  }
  return held;
}

// What nobody has said follows what there is: a broker in a small container is not to be killed for
// what its defaults would let it hold.
// Returns what is to be said of it in the log; empty: nothing.
std::string fit_to_machine(broker_settings& s, const CLI::App& command_line) {
  const auto memory = machine_share::of_this_process().memory;
  if (!memory) return {};
  const auto lowered = fit_memory(s, *memory, [&](std::string_view name) {
    return command_line.count("--" + std::string{name}) > 0;
  });
  if (lowered.empty()) return {};
  return "there are " + std::to_string(*memory / limits::mib) +
         " MiB of memory for this process (container, `ulimit -v` or machine), so that "
         "defaults are lowered: " +
         lowered;
}

// Where HTTP is to be spoken, and what is wrong with that.
void find_http_problems(broker_options& o, std::vector<std::string>& problems) {
  if (o.http.where.empty()) return;
  auto& s = o.settings;
  auto port =
      open_http_port(o.http, s.access, "see all numbers, ask for all services and pause them");
  if (!port) return problems.push_back(port.why().text());
  s.http = port->addresses;
  s.guard = port->guard;
}

// All that is wrong with what it was told; what it will speak with at the cluster port goes to the
// settings, and with clients to `clients`.
std::vector<std::string> find_problems(broker_options& o, client_access& clients) {
  auto& s = o.settings;
  auto problems = limits_below_largest(s);
  s.listen.clear();
  for (const auto& text : o.listen) {
    const auto addresses = listening_addresses(*parse_endpoint(text));
    if (addresses)
      s.listen.insert(s.listen.end(), addresses->begin(), addresses->end());
    else
      problems.push_back(addresses.why().text());
  }
  if (!is_loopback(s.cluster) && !o.insecure_cluster && o.cluster_tls.empty())
    problems.push_back(
        "the cluster port " + o.cluster +
        " could be reached from other machines, and whoever reaches it could run as a "
        "worker. Make certificates (ropewalk certs) and say --cluster-tls DIR; or listen on "
        "127.0.0.1; or, on a network that only your nodes are in, say "
        "--insecure-cluster.");
  if (o.own_user && s.cluster.host != "127.0.0.1")
    problems.push_back("--own-user is for workers of this machine: listen on 127.0.0.1, not on " +
                       o.cluster);
  if (!o.cluster_tls.empty()) {
    auto opened = reloadable_tls::open([files = cluster_files(o.cluster_tls)] {
      return tls_context::for_server(files, roles::broker_to_workers);
    });
    if (opened)
      s.cluster_tls = *std::move(opened);
    else
      problems.push_back(opened.why().text());
  }
  find_http_problems(o, problems);
  if (s.cluster.port != 0 && s.cluster.port + s.shards - 1 > 65535)
    problems.push_back(std::to_string(s.shards) + " shards take as many cluster ports, from " +
                       std::to_string(s.cluster.port) +
                       " on, and there are none beyond 65535: choose a lower one");
  if (const auto loaded = clients.load(); !loaded) problems.push_back(loaded.why().text());
  return problems;
}

// How long a collector may take for what there is when the broker has finished everything else.
constexpr std::chrono::seconds last_traces_timeout{2};

void start_traces(broker_settings& s, otlp_url where) {
  s.dispatch.export_traces = true;
  const otlp_resource who{own_cluster_greeting().release,
                          s.cluster.text() + ":" + std::to_string(::getpid())};
  s.traces = std::make_shared<otlp_exporter>(std::move(where), who);
}

int run_broker(broker_options& o, const CLI::App& command_line) {
  take_signals();
  auto& s = o.settings;
  s.dispatch.refuse_unoffered = o.no_node_reply == "now";
  s.cluster = *parse_endpoint(o.cluster);
  basp_transport_settings transport;
  transport.forms = frequent_messages();
  transport.hello_time = s.hello_time;
  // One for all connections and all shards.
  transport.when_refused =
      [log = std::make_shared<shared_log_rate_limiter>()](const std::string& who) {
        log->warn(std::chrono::steady_clock::now(), "refused at the cluster port: " + who);
      };
  const auto lowered = fit_to_machine(s, command_line);
  client_access clients{s.access};
  const auto problems = find_problems(o, clients);
  const std::array contexts{clients.tls(),
                            s.cluster_tls ? s.cluster_tls->current().get() : nullptr};
  if (o.check || !problems.empty()) return report_check("broker", problems, warnings_of(contexts));
  transport.server = s.cluster_tls;
  transport.own_user = o.own_user;
  set_up_log("broker", o.log);
  if (!lowered.empty()) spdlog::info("{}", lowered);
  for (const auto& warning : warnings_of(contexts)) spdlog::warn("{}", warning);
  tune_allocator();
  allow_descriptors();
  if (!o.otlp.empty()) start_traces(s, *read_otlp_url(o.otlp));
  s.seed = std::uint64_t{std::random_device{}()} << 32 | std::random_device{}();
  std::vector<descriptor> ports;
  if (s.shards > 1) {
    auto reserved = reserve_ports(s.listen);
    auto for_http = reserve_ports(s.http);
    if (reserved && !for_http) reserved = for_http.why();
    if (!reserved) {
      spdlog::error("cannot start: {}", reserved.why().text());
      leave_process(1);
    }
    ports = *std::move(reserved);
    for (std::size_t i = 0; i < ports.size(); ++i) s.listen[i] = local_endpoint(ports[i].get());
    for (auto& port : *for_http) {
      s.http[ports.size() - s.listen.size()] = local_endpoint(port.get());
      ports.push_back(std::move(port));
    }
  }
  const auto group =
      std::make_shared<shard_group>(s.shards, connection_limiter::settings{s.clients, ~s.seed});
  std::vector<std::unique_ptr<shard_system>> systems;
  std::vector<caf::actor> tops;
  for (std::uint16_t i = 0; i < s.shards; ++i) {
    systems.push_back(std::make_unique<shard_system>(share_of(s, group, i), transport,
                                                     i == 0 ? s.cluster_tls : nullptr));
    tops.push_back(systems.back()->top());
  }
  const auto status = run_until_done(tops);
  if (s.traces) s.traces->finish(last_traces_timeout);
  leave_process(status);
}

} // namespace

command_action add_broker(CLI::App& app) {
  auto o = std::make_shared<broker_options>();
  app.add_option("--listen", o->listen,
                 "where clients connect; may be given several times; port 0 takes a free one")
      ->check(is_endpoint())
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--cluster", o->cluster,
                 "where workers join; with --shards, the first of so many ports")
      ->check(is_endpoint())
      ->capture_default_str();
  app.add_flag("--insecure-cluster", o->insecure_cluster,
               "allow a cluster port beyond loopback although it is not encrypted");
  add_cluster_tls(app, o->cluster_tls);
  app.add_flag("--own-user", o->own_user,
               "let in only workers of this machine and this user, who say --own-user, too")
      ->excludes("--cluster-tls");
  add_http_port(
      app, o->http,
      "speak HTTP here: the page at /, /metrics, /status, /healthz, /readyz, and messages "
      "to /v1/services/NAME; with TLS and tokens as for clients");
  app.add_option("--otlp", o->otlp,
                 "send messages whose trace is sampled as spans to the collector there, such as "
                 "http://127.0.0.1:4318: OTLP over HTTP, in JSON, without TLS")
      ->check([](const std::string& text) {
        const auto read = read_otlp_url(text);
        return read ? std::string{} : read.why().text();
      });
  add_client_access(app, o->settings.access,
                    "let in only who is in this file, and only to the services named there");
  app.add_option("--no-node-reply", o->no_node_reply,
                 "a request for a service whose last node has left: wait for another until its "
                 "deadline, or be answered now (NO_SERVICE)")
      ->check(CLI::IsMember({"wait", "now"}))
      ->capture_default_str();
  add_log_options(app, o->log);
  add_check(app, o->check);
  add_settings(app, o->settings);
  return [o, &app] { return run_broker(*o, app); };
}

} // namespace ropewalk
