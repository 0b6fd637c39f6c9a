#pragma once

#include "actors/time/instant.hpp"
#include "apps/ropewalk/top_rates.hpp"
#include "apps/ropewalk/top_table.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ropewalk {

/// A key as a terminal says it: a character, or one of these.
struct top_key {
  enum class named : std::uint8_t {
    none,
    up,
    down,
    page_up,
    page_down,
    home,
    end,
    left,
    right,
    enter,
    escape,
    backspace,
  };

  char character = 0; ///< 0: it is a named one
  named name = named::none;
};

/// A line of the screen.
struct top_line {
  enum class style : std::uint8_t { plain, heading, bold, alarm };

  std::string text;
  style as = style::plain;
};

/// What `ropewalk top` shows and how it answers to keys: rows of text out of the broker's reports.
/// Knows no terminal and no clock.
class top_view {
public:
  static constexpr milliseconds min_delay{100};

  explicit top_view(std::string broker, milliseconds delay)
      : broker_(std::move(broker)), delay_(delay) {}

  /// A report has come: a STATUS answer, parsed (net/STATUS.md).
  void show(nlohmann::json report, instant now);

  /// There is no broker now, or it does not answer. What was there last stays on the screen.
  void lose_broker(std::string why, instant now);

  /// A key is pressed. False: that is the end.
  bool press(const top_key& key);

  /// Exactly `height` lines, none wider than `width`. `time` stands in the corner.
  [[nodiscard]] std::vector<top_line> screen(std::size_t width, std::size_t height, instant now,
                                             std::string_view time);

  /// All there is, in lines as long as they need be: for --once.
  [[nodiscard]] std::vector<std::string> page(const std::vector<top_tab>& tabs) const;

  /// The last report, with what top_rates adds, and of each list what is selected, in its order.
  [[nodiscard]] nlohmann::json report() const;

  void choose(top_tab tab) { tab_ = tab; }
  void sort(top_tab tab, const top_order& order) { order_[index(tab)] = order; }
  void filter(std::string text) { filter_ = std::move(text); }

  /// How often a report is wanted.
  [[nodiscard]] milliseconds delay() const { return delay_; }

  /// True, once: a report is wanted now.
  [[nodiscard]] bool take_wants_report() { return std::exchange(wants_report_, false); }

private:
  // What the keys go to.
  enum class mode : std::uint8_t { table, filter, delay, help };

  static std::size_t index(top_tab tab) { return static_cast<std::size_t>(tab); }
  [[nodiscard]] top_selection selection(top_tab tab) const;

  bool press_in_table(const top_key& key);
  void press_in_line(const top_key& key);
  void move(const top_key& key);
  void turn_tab(int by);
  void sort_by_next(int by);
  void finish_line();

  [[nodiscard]] std::vector<top_line> summary(std::size_t width, instant now,
                                              std::string_view time) const;
  [[nodiscard]] top_line first_line(std::size_t width, instant now, std::string_view time) const;
  [[nodiscard]] std::string rates_line() const;
  [[nodiscard]] std::string work_line() const;
  [[nodiscard]] std::string memory_line() const;
  [[nodiscard]] std::string tabs_line(std::size_t width) const;
  [[nodiscard]] std::string last_line(std::size_t shown, std::size_t all) const;
  void add_table(std::vector<top_line>& to, std::size_t width, std::size_t height);

  const std::string broker_;
  milliseconds delay_;
  top_rates rates_;
  nlohmann::json report_ = nlohmann::json::object();
  instant reported_{};
  std::string trouble_; // why there is no broker; empty: there is one
  mode mode_ = mode::table;
  top_tab tab_ = top_tab::services;
  std::array<top_order, 3> order_{usual_order(top_tab::services), usual_order(top_tab::nodes),
                                  usual_order(top_tab::clients)};
  std::array<std::size_t, 3> first_row_{};
  std::size_t page_rows_ = 1; // as the screen had them last
  std::size_t window_ = 0;    // of the rates
  std::string filter_;
  std::string typed_; // in the line at the bottom
  std::string complaint_;
  bool wants_report_ = false;
};

} // namespace ropewalk
