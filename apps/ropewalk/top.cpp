#include "actors/settings/units.hpp"
#include "actors/time/clock.hpp"
#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/exit_status.hpp"
#include "apps/ropewalk/options.hpp"
#include "apps/ropewalk/process.hpp"
#include "apps/ropewalk/screen_signals.hpp"
#include "apps/ropewalk/status_query.hpp"
#include "apps/ropewalk/terminal_trouble.hpp"
#include "apps/ropewalk/top_screen.hpp"
#include "apps/ropewalk/top_view.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <iostream>
#include <memory>
#include <poll.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace ropewalk {

namespace {

using namespace exit_status;

struct top_options {
  connection_options connection;
  std::string delay = "500ms";
  std::string view;
  std::string sort;
  std::string filter;
  bool once = false;
  bool json = false;
};

constexpr std::array tabs{top_tab::services, top_tab::nodes, top_tab::clients};

std::string time_of_day() {
  const auto now = std::time(nullptr);
  std::tm local{};
  std::array<char, 16> text{};
  ::localtime_r(&now, &local);
  return {text.data(), std::strftime(text.data(), text.size(), "%H:%M:%S", &local)};
}

int say(const failure& why) {
  std::cerr << "ropewalk top: " << why.text() << '\n';
  return why.kind == failure_kind::refused ? answered_with_error : no_broker;
}

// A STATUS answer goes to the view; false: it makes no sense.
bool show(top_view& view, const std::string& text) {
  try {
    view.show(nlohmann::json::parse(text), clock_now());
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

// -- the view that was asked for -----------------------------------------------------------------------

// The table of which --sort names a column: that of --view, or the first that has one.
std::optional<std::pair<top_tab, std::size_t>> find_column(const top_options& o) {
  for (const auto tab : tabs) {
    if (!o.view.empty() && name_of(tab) != o.view) continue;
    const auto titles = titles_of(tab);
    const auto found = std::find(titles.begin(), titles.end(), o.sort);
    if (found != titles.end())
      return std::pair{tab, static_cast<std::size_t>(found - titles.begin())};
  }
  return std::nullopt;
}

std::string all_titles() {
  std::string result;
  for (const auto tab : tabs) {
    result += (result.empty() ? "" : "; ") + std::string{name_of(tab)} + ":";
    for (const auto& title : titles_of(tab)) result += " " + title;
  }
  return result;
}

result<top_view> make_view(const top_options& o) {
  top_view view{o.connection.broker, std::max(*parse_wait(o.delay), top_view::min_delay)};
  view.filter(o.filter);
  for (const auto tab : tabs)
    if (name_of(tab) == o.view) view.choose(tab);
  if (o.sort.empty()) return view;
  const auto by = find_column(o);
  if (!by)
    return failure{failure_kind::bad_input, "--sort " + o.sort + ": there is no such column",
                   "there are, of " + all_titles()};
  view.choose(by->first);
  view.sort(by->first, order_by(by->first, by->second));
  return view;
}

// -- for scripts ----------------------------------------------------------------------------------------

void print(const top_view& view, const top_options& o) {
  if (o.json) {
    std::cout << view.report().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
              << '\n';
  } else {
    std::vector<top_tab> shown;
    for (const auto tab : tabs)
      if (o.view.empty() || name_of(tab) == o.view) shown.push_back(tab);
    for (const auto& line : view.page(shown)) std::cout << line << '\n';
  }
  std::cout.flush();
}

// Two reports, for what is made of the difference; with --json and without --once one more each time.
int print_reports(top_view& view, const top_options& o) {
  status_query query{o.connection};
  int reports = 0;
  for (bool gone = false;;) {
    const auto said = query.ask();
    if (said && show(view, *said)) {
      if (std::exchange(gone, false)) std::cerr << "ropewalk top: the broker is back\n";
      if (++reports > 1) print(view, o);
    } else {
      const auto why = said ? not_understood(o.connection.broker) : said.why();
      if (reports == 0 || o.once) return say(why);
      if (!std::exchange(gone, true)) (void)say(why);
    }
    if (!std::cout) {
      std::cerr << "ropewalk top: cannot write to stdout; is the disk full?\n";
      return cannot_write;
    }
    if (reports > 1 && o.once) return 0;
    std::this_thread::sleep_for(view.delay());
  }
}

// -- on the screen --------------------------------------------------------------------------------------

void take_report(top_view& view, status_feed& feed, const std::string& broker) {
  const auto said = feed.take();
  if (!said) return;
  if (!*said)
    view.lose_broker(said->why().text(), clock_now());
  else if (!show(view, **said))
    view.lose_broker(not_understood(broker).text(), clock_now());
}

// The time in the corner, and since when there is no broker, go on without anything coming.
constexpr int redraw_ms = 1000;

void run_screen(top_view& view, status_feed& feed, top_screen& screen,
                const screen_signals& signals, const std::string& broker) {
  for (;;) {
    const auto size = screen.dimensions();
    screen.draw(view.screen(size.width, size.height, clock_now(), time_of_day()));
    std::array<pollfd, 3> waiting{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{feed.fd(), POLLIN, 0},
                                  pollfd{signals.fd(), POLLIN, 0}};
    (void)::poll(waiting.data(), waiting.size(), redraw_ms);
    const auto seen = signals.take();
    if (seen.end) return;
    if (seen.resized) screen.resize();
    const auto delay = view.delay();
    while (const auto key = screen.key())
      if (!view.press(*key)) return;
    // Its terminal is gone.
    if ((waiting[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return;
    if (view.delay() != delay) feed.set_interval(view.delay());
    if (view.take_wants_report()) feed.ask_now();
    take_report(view, feed, broker);
  }
}

int run_on_screen(top_view& view, const top_options& o) {
  if (const auto trouble = find_terminal_trouble()) {
    std::cerr << "ropewalk top: " << trouble->text() << '\n';
    return cannot_start;
  }
  // What is wrong from the beginning is said where it stays to be read.
  status_query query{o.connection};
  const auto first = query.ask();
  if (!first) return say(first.why());
  if (!show(view, *first)) return say(not_understood(o.connection.broker));
  const screen_signals signals;
  status_feed feed{std::move(query), view.delay()};
  {
    top_screen screen;
    run_screen(view, feed, screen, signals, o.connection.broker);
  }
  leave_process(0);
}

int run_top(const top_options& o) {
  auto view = make_view(o);
  if (!view) {
    std::cerr << "ropewalk top: " << view.why().text() << '\n';
    return cannot_start;
  }
  return o.once || o.json ? print_reports(*view, o) : run_on_screen(*view, o);
}

} // namespace

command_action add_top(CLI::App& app) {
  auto o = std::make_shared<top_options>();
  app.footer("Exit status: 0 after q, SIGINT or SIGTERM, 1 if the broker does not tell us, 2 for a "
             "wrong command line or a terminal that will not do, 3 if the broker cannot be reached "
             "at the start, 4 if stdout cannot be written.");
  add_connection(app, o->connection);
  app.add_option("--delay", o->delay, "how often the numbers are asked for: 100ms or more, 2s")
      ->check(is_wait())
      ->capture_default_str();
  app.add_option("--view", o->view, "what is shown first; with --once, alone")
      ->check(CLI::IsMember({"services", "nodes", "clients"}));
  app.add_option("--sort", o->sort, "by this column: oldest, out/s, unread, ...");
  app.add_option("--filter", o->filter, "only rows with this text in a name or an address");
  app.add_flag("--once", o->once, "print all rows and end, for scripts; takes as long as --delay");
  app.add_flag(
      "--json", o->json,
      "print what `status --json` says, with more rates, a line each time (net/STATUS.md)");
  return [o] { return run_top(*o); };
}

} // namespace ropewalk
