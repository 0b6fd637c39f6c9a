#include "actors/handlers/registry.hpp"
#include "actors/node/node.hpp"
#include "actors/node/node_succession.hpp"
#include "actors/node/slot_budget.hpp"
#include "actors/settings/machine.hpp"
#include "actors/supervise/master.hpp"
#include "actors/supervise/spawner.hpp"
#include "actors/worker/function_handler.hpp"
#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/config_file.hpp"
#include "apps/ropewalk/log.hpp"
#include "apps/ropewalk/options.hpp"
#include "apps/ropewalk/process.hpp"
#include "apps/ropewalk/worker_http.hpp"
#include "net/cluster/basp_transport.hpp"
#include "net/protocol/limits.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <random>
#include <set>
#include <spdlog/spdlog.h>
#include <unistd.h>
#include <utility>

namespace ropewalk {

namespace {

struct worker_options {
  std::string broker = "127.0.0.1:7071";
  std::vector<std::string> services;
  std::vector<own_service> own;
  std::vector<std::string> service_options;
  std::string name;
  log_options log;
  std::uint32_t processes = 1;
  std::uint64_t recycle_after = 0;
  bool after_fall = false;
  bool tcp_only = false;
  bool own_user = false;
  bool check = false;
  std::string cluster_tls;
  worker_http http;
  std::string config_file;        // empty: there was none
  std::vector<std::string> given; // the command line but for that
  CLI::App* program = nullptr;    // whose subcommand it is
  node_settings settings;
};

void add_options(CLI::App& app, worker_options& o);

std::string host_name() {
  char name[256] = "localhost";
  ::gethostname(name, sizeof name - 1);
  return name;
}

failure bad_service(std::string what) {
  return {failure_kind::bad_input, std::move(what), {}};
}

// It will stand in logs, tables and metrics, where a control character does harm.
result<void> check_text(const std::string& what, const std::string& name) {
  const auto shown = "the " + what + " name '" + one_line(name, limits::max_service_bytes) + "' ";
  if (name.size() > limits::max_service_bytes)
    return bad_service(shown + "is over " + std::to_string(limits::max_service_bytes) + " bytes");
  if (one_line(name, name.size()) != name)
    return bad_service(shown + "has a control character in it, or is no UTF-8");
  return {};
}

result<void> check_name(const std::string& name) {
  if (name.empty()) return bad_service("a service needs a name");
  if (const auto good = check_text("service", name); !good) return good.why();
  if (name.find(' ') != std::string::npos)
    return bad_service("the service name '" + name +
                       "' has a blank in it; text clients could not ask for it");
  return {};
}

// NAME=HANDLER.
result<service_settings> parse_service(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return bad_service("'" + text +
                       "' is no NAME=HANDLER, such as echo=builtin:echo or sum=cmd:sha256sum");
  auto name = text.substr(0, equals);
  if (const auto good = check_name(name); !good) return good.why();
  auto handler = parse_handler(text.substr(equals + 1));
  if (!handler) return std::move(handler).why();
  service_settings service{std::move(name), *std::move(handler)};
  if (service.handler.is_server) service.options.processes = 1; // unless said otherwise
  return service;
}

result<service_settings> parse_own(const own_service& own) {
  if (const auto good = check_name(own.name); !good) return good.why();
  return service_settings{own.name, own.handler};
}

// What is wrong with any of them is said before anything starts.
std::vector<service_settings> parse_services(const worker_options& o,
                                             std::vector<std::string>& problems) {
  if (o.own.size() + o.services.size() > limits::max_services)
    problems.push_back("a worker may offer " + std::to_string(limits::max_services) +
                       " services; start another for the rest");
  std::vector<service_settings> services;
  std::set<std::string> names;
  const auto add = [&](result<service_settings> service) {
    if (!service)
      problems.push_back(service.why().text());
    else if (!names.insert(service->name).second)
      problems.push_back("the service '" + service->name + "' is named twice");
    else
      services.push_back(*std::move(service));
  };
  for (const auto& one : o.own) add(parse_own(one));
  for (const auto& text : o.services) add(parse_service(text));
  return services;
}

runs what_runs(const handler_spec& handler) {
  if (handler.is_server) return runs::server;
  if (handler.stays_up) return runs::process;
  if (handler.runs_in_node) return runs::code;
  return handler.starts_programs ? runs::program : runs::built_in;
}

// SERVICE.OPTION=VALUE. A service's name may have dots in it; an option's has none.
result<void> set_option(std::vector<service_settings>& services, const std::string& text) {
  const auto equals = text.find('=');
  const auto dot = text.substr(0, equals).rfind('.');
  if (equals == std::string::npos || dot == std::string::npos)
    return bad_service("'" + text + "' is no SERVICE.OPTION=VALUE, such as score.slots=8");
  const auto name = text.substr(0, dot);
  const auto found = std::find_if(services.begin(), services.end(),
                                  [&](const service_settings& s) { return s.name == name; });
  if (found == services.end())
    return bad_service("--set " + text + ": this worker offers no service '" + name + "'");
  auto done = set_service_option(found->options, what_runs(found->handler),
                                 text.substr(dot + 1, equals - dot - 1), text.substr(equals + 1));
  if (!done) return bad_service("--set " + text + ": " + done.why().what);
  return {};
}

// All that is said of services; what is wrong with it goes to `problems`.
std::vector<service_settings> services_of(const worker_options& o,
                                          std::vector<std::string>& problems) {
  auto services = parse_services(o, problems);
  for (const auto& one : o.service_options)
    if (const auto set = set_option(services, one); !set) problems.push_back(set.why().text());
  for (const auto& one : services)
    if (const auto good = check_service_options(one.options); !good)
      problems.push_back("service " + one.name + ": " + good.why().text());
  return services;
}

// The command line and its file of options, as that is now.
result<worker_options> read_again(const worker_options& o) {
  auto words = o.given;
  words.push_back("--config=" + o.config_file);
  auto all = with_config(*o.program, std::move(words));
  if (!all) return std::move(all).why();
  CLI::App app;
  worker_options fresh;
  fresh.own = o.own;
  add_options(*app.add_subcommand("worker"), fresh);
  try {
    std::reverse(all->begin(), all->end()); // as CLI11 takes them
    app.parse(*std::move(all));
  } catch (const CLI::ParseError& error) {
    return bad_service(error.what());
  }
  return fresh;
}

result<std::vector<service_settings>> read_services_again(const worker_options& o) {
  const auto fresh = read_again(o);
  if (!fresh) return fresh.why();
  std::vector<std::string> problems;
  auto services = services_of(*fresh, problems);
  if (problems.empty()) return services;
  std::string all;
  for (const auto& problem : problems) all += (all.empty() ? "" : "; ") + problem;
  return bad_service(all);
}

bool runs_programs(const node_settings& s) {
  return std::any_of(s.services.begin(), s.services.end(),
                     [](const auto& service) { return service.handler.starts_programs; });
}

// Before there are threads. A broker sees this process's death when its programs are gone, too:
// what it then starts elsewhere never runs beside them.
// Returns 0, or the error because of which it was not started.
int start_spawner(basp_transport_settings& transport) {
  const int error = spawner::of_process().start() ? 0 : errno;
  transport.when_connected = [](int socket) { spawner::of_process().hold(socket); };
  return error;
}

// What is to be said although it starts, or would: certificates, programs that would not start as
// they are now, slots for which there are no descriptors.
std::vector<std::string> find_warnings(worker_options& o, const tls_context* tls) {
  auto& s = o.settings;
  auto result = warnings_of(std::array{tls});
  for (const auto& service : s.services)
    if (!service.handler.trouble.empty())
      result.push_back("service " + service.name + ": " + service.handler.trouble +
                       "; its messages go back unstarted until that is mended");
  const auto may_have = descriptor_limit();
  const auto fewer =
      fit_slots(s, may_have, o.http.port.where.empty() ? 0 : http_connections(may_have));
  result.insert(result.end(), fewer.begin(), fewer.end());
  return result;
}

int run_node(worker_options& o, std::shared_ptr<const tls_context> tls) {
  auto& s = o.settings;
  const auto warnings = find_warnings(o, tls.get());
  s.name = o.name;
  s.restarts_before = o.after_fall ? 1 : 0;
  basp_transport_settings transport;
  transport.forms = frequent_messages();
  transport.local = !o.tcp_only;
  transport.own_user = o.own_user;
  transport.client = tls;
  // A file that is read again may bring programs.
  const int spawner_error =
      runs_programs(s) || !o.config_file.empty() ? start_spawner(transport) : 0;
  set_up_log(o.name, o.log); // after that fork: the log has a thread
  for (const auto& warning : warnings) spdlog::warn("{}", warning);
  if (s.master_fd < 0) claim_ports(o.http, 1); // its master has done that for those that it starts
  if (spawner_error != 0)
    spdlog::error("cannot start the process that starts programs: {}",
                  std::strerror(spawner_error));
  tune_allocator();
  allow_descriptors(); // after the spawner has seen what programs are to have
  process_config config;
  caf::actor_system system{config};
  auto& loop = shared_loop::of(system);
  loop.start();
  const auto http = start_http(system, o.http, s, std::move(tls));
  succession_settings succession;
  succession.first = s;
  succession.start = [&loop, http, basp = spawn_basp_transport(system, std::move(transport))](
                         caf::event_based_actor* owner, const node_settings& settings) {
    auto dependencies = default_node_dependencies(settings, basp, loop);
    dependencies.owner = caf::actor{owner};
    watch_gateway(dependencies, settings, http);
    return caf::actor{owner->spawn(node, settings, std::move(dependencies))};
  };
  if (!o.config_file.empty()) succession.read = [&o] { return read_services_again(o); };
  const auto top = system.spawn(node_succession, std::move(succession));
  std::vector<caf::actor> tops{top};
  if (http) {
    caf::anon_send(http, attach_atom_v, top);
    tops.push_back(http);
  }
  leave_process(run_until_done(tops, s.master_fd));
}

[[noreturn]] void run_processes(worker_options& o) {
  set_up_log(o.name + " (master)", o.log);
  claim_ports(o.http, o.processes);
  master_settings m;
  m.processes = {o.processes, o.settings.drain_time, o.settings.restarts};
  std::mt19937_64 random{std::random_device{}()};
  m.command = [&o, &random](process_ref who, int fd, bool after_fall) {
    auto name = o.name + (o.processes > 1 ? "-" + std::to_string(who.place + 1) : "");
    if (who.generation > 0) name += "." + std::to_string(who.generation);
    std::vector<std::string> words{"ropewalk",     "worker",     "--broker",    o.broker,
                                   "--name",       name,         "--log-level", o.log.level,
                                   "--log-format", o.log.format, "--master-fd", std::to_string(fd)};
    const auto numbers = arguments_for(o.settings);
    words.insert(words.end(), numbers.begin(), numbers.end());
    for (const auto& service : o.services) words.insert(words.end(), {"--service", service});
    for (const auto& one : o.service_options) words.insert(words.end(), {"--set", one});
    if (o.recycle_after > 0) {
      // Jitter: processes that started together are not to be replaced together.
      const auto jitter = std::max<std::uint64_t>(1, o.recycle_after / 5);
      const auto after =
          std::max<std::uint64_t>(1, o.recycle_after - jitter / 2 + random() % jitter);
      words.insert(words.end(), {"--recycle-after", std::to_string(after)});
    }
    if (!o.cluster_tls.empty()) words.insert(words.end(), {"--cluster-tls", o.cluster_tls});
    if (o.tcp_only) words.emplace_back("--tcp-only");
    if (o.own_user) words.emplace_back("--own-user");
    const auto http = arguments_for(o.http, who.place);
    words.insert(words.end(), http.begin(), http.end());
    if (after_fall) words.emplace_back("--after-fall");
    if (!o.config_file.empty()) words.push_back("--config-file=" + o.config_file);
    for (const auto& word : o.given) words.push_back("--given=" + word);
    return words;
  };
  // What is started from now on; those that are there read it for themselves.
  m.on_reload = [&o] {
    if (o.config_file.empty()) return spdlog::info("SIGHUP: passed on to the processes");
    auto fresh = read_again(o);
    if (!fresh) return spdlog::error("SIGHUP: {}", fresh.why().text());
    o.services = std::move(fresh->services);
    o.service_options = std::move(fresh->service_options);
    spdlog::info("SIGHUP: {} is read again, by the processes too", o.config_file);
  };
  m.now = std::chrono::steady_clock::now;
  m.log = [](process_supervisor::severity how, const std::string& text) {
    auto level = spdlog::level::info;
    if (how == process_supervisor::severity::warning) level = spdlog::level::warn;
    if (how == process_supervisor::severity::error) level = spdlog::level::err;
    spdlog::log(level, "{}", text);
  };
  leave_process(run_master(m));
}

int run_worker(worker_options& o) {
  take_signals();
  auto& s = o.settings;
  // What a node says to its master no handler says for it.
  if (s.master_fd >= 0) ::fcntl(s.master_fd, F_SETFD, FD_CLOEXEC);
  s.broker = *parse_endpoint(o.broker);
  s.host = host_name();
  if (s.slots == 0) s.slots = machine_share::of_this_process().slots();
  s.recycle_after = o.recycle_after;
  if (o.name.empty()) o.name = s.host + "-" + std::to_string(::getpid());
  std::vector<std::string> problems;
  if (const auto good = check_text("node", o.name); !good) problems.push_back(good.why().text());
  s.services = services_of(o, problems);
  std::shared_ptr<const tls_context> tls;
  if (!o.cluster_tls.empty()) {
    auto context = tls_context::for_client(cluster_files(o.cluster_tls), roles::worker_to_broker);
    if (context)
      tls = *std::move(context);
    else
      problems.push_back(context.why().text());
  }
  find_http_problems(o.http, o.processes, problems);
  if (o.check) {
    for (auto& service : s.services)
      if (!service.handler.trouble.empty())
        problems.push_back("service " + service.name + ": " +
                           std::exchange(service.handler.trouble, {}));
    return report_check("worker", problems, find_warnings(o, tls.get()));
  }
  if (!problems.empty()) return report_check("worker", problems);
  const bool is_child = s.master_fd >= 0;
  if (!is_child && (o.processes > 1 || o.recycle_after > 0))
    run_processes(o); // each child reads the files for itself, as they are then
  return run_node(o, std::move(tls));
}

void add_options(CLI::App& app, worker_options& o) {
  app.add_option("--broker", o.broker, "the broker's cluster port")
      ->check(is_endpoint())
      ->capture_default_str();
  app.add_option(
         "--service", o.services,
         "NAME=HANDLER; may be given several times. HANDLER is builtin:echo (or another builtin), "
         "cmd:PROGRAM ARG... (run once a message, which is its stdin; its stdout is the reply), "
         "exec:PROGRAM ARG... (stays up, and speaks frames: net/PROTOCOL.md), "
         "lib:PATH[:ARGUMENT] (a shared library: ropewalk/library.h), or unix:PATH or "
         "tcp:HOST:PORT "
         "(a server that runs already and speaks the same frames; another broker is one)")
      ->required(o.own.empty())
      ->allow_extra_args(false);
  app.add_option("--set", o.service_options,
                 "SERVICE.OPTION=VALUE, such as score.slots=8; may be given several times:" +
                     service_options_usage())
      ->allow_extra_args(false);
  app.add_option("--name", o.name, "the node's name in status and logs (default: HOST-PID)");
  add_cluster_tls(app, o.cluster_tls);
  auto* tcp = app.add_flag("--tcp-only", o.tcp_only,
                           "reach a broker on this machine by TCP, too, and not by its local "
                           "socket");
  app.add_flag("--own-user", o.own_user,
               "work only for a broker of this machine and this user, by its local socket")
      ->excludes(tcp)
      ->excludes("--cluster-tls");
  add_worker_http(app, o.http);
  app.add_option("--processes", o.processes, "run so many node processes and keep them running")
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  app.add_option("--recycle-after", o.recycle_after,
                 "replace a process after about so many messages, before its leaks hurt; 0: never")
      ->capture_default_str();
  add_log_options(app, o.log);
  add_check(app, o.check);
  app.add_option("--master-fd", o.settings.master_fd)->group(""); // of a process under a master
  app.add_flag("--after-fall", o.after_fall)->group("");
  app.add_option("--config-file", o.config_file)->group("");
  app.add_option("--given", o.given)->allow_extra_args(false)->group("");
  add_settings(app, o.settings);
}

} // namespace

command_action add_worker(CLI::App& app) {
  return add_worker(app, {});
}

command_action add_worker(CLI::App& app, const std::vector<own_service>& own) {
  auto o = std::make_shared<worker_options>();
  o->own = own;
  o->program = app.get_parent();
  add_options(app, *o);
  return [o] { return run_worker(*o); };
}

} // namespace ropewalk
