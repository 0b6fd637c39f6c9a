#pragma once

#include "apps/ropewalk/display_text.hpp"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// The tables of `ropewalk top`, as rows of text out of a report (net/STATUS.md, with what top_rates
/// adds). Pure.
namespace ropewalk {

enum class top_tab : std::uint8_t { services, nodes, clients };

/// services, nodes, clients: as the report, the options and the screen call them.
std::string_view name_of(top_tab tab);

/// How a table's rows follow each other: by the value of this column.
struct top_order {
  std::size_t column = 0;
  bool descending = false;

  bool operator==(const top_order&) const = default;
};

/// What the tables show of a report.
struct top_selection {
  top_tab tab = top_tab::services;
  top_order order;
  std::string filter;        ///< only rows with this in a name, an address, ...; empty: all
  std::string window = "1s"; ///< of a service's rates: 1s, 10s or 60s
};

/// The columns' titles, in small letters, as --sort takes them.
std::vector<std::string> titles_of(top_tab tab);

/// How rows are ordered that nobody has ordered: what is worst first.
top_order usual_order(top_tab tab);

/// How rows are ordered by this column when it is first chosen: numbers from the largest down.
top_order order_by(top_tab tab, std::size_t column);

/// The rows that are selected, in their order.
std::vector<nlohmann::json> selected_rows(const nlohmann::json& report, const top_selection& what);

/// How a table is laid out: which columns there is room for.
class top_layout {
public:
  /// `width` columns of a terminal, or nothing: as wide as these rows need. What matters least is
  /// left out first, and names are cut.
  top_layout(top_tab tab, std::optional<std::size_t> width,
             const std::vector<nlohmann::json>& rows = {});

  [[nodiscard]] std::string heading() const;
  [[nodiscard]] std::string line(const nlohmann::json& row, const top_selection& what) const;

private:
  struct place {
    std::size_t column;
    std::size_t width;
  };

  top_tab tab_;
  std::vector<place> places_;
};

/// True if a row is one to look at: slots that fail, errors, a client that takes no answers.
bool is_alarming(top_tab tab, const nlohmann::json& row, const std::string& window);

} // namespace ropewalk
