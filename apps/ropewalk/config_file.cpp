#include "apps/ropewalk/config_file.hpp"

#include "actors/settings/read_file.hpp"
#include "actors/settings/service_options.hpp"
#include "net/protocol/limits.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#define TOML_EXCEPTIONS 0
// The parser asserts that a table's name begins with a letter before it says that it does not.
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

namespace ropewalk {

namespace {

// How many letters are to be put in, left out or changed to make one of the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0u);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

// "; do you mean 'access-file'?", or what there is.
std::string nearest(std::string_view name, const std::vector<std::string>& names) {
  const auto best = std::min_element(names.begin(), names.end(), [&](const auto& a, const auto& b) {
    return distance(name, a) < distance(name, b);
  });
  if (best == names.end()) return {};
  if (distance(name, *best) <= std::max<std::size_t>(2, name.size() / 3))
    return "; do you mean '" + *best + "'?";
  std::string all;
  for (const auto& one : names) all += (all.empty() ? "" : ", ") + one;
  return "; there are " + all;
}

// Options that a file may set: those that the help shows, and that make sense there.
bool is_key(CLI::Option& option) {
  const auto& names = option.get_lnames();
  return !names.empty() && !option.get_group().empty() && names.front() != "help" &&
         names.front() != "config" && names.front() != "check";
}

CLI::App* find_command(CLI::App& program, std::string_view name) {
  for (auto* command : program.get_subcommands({}))
    if (command->get_name() == name) return command;
  return nullptr;
}

CLI::Option* option_named(CLI::App& of, std::string_view name) {
  for (auto* option : of.get_options({}))
    if (is_key(*option) && option->get_lnames().front() == name) return option;
  return nullptr;
}

std::vector<std::string> keys_of(CLI::App& of) {
  std::vector<std::string> result;
  for (auto* option : of.get_options({}))
    if (is_key(*option)) result.push_back(option->get_lnames().front());
  return result;
}

// Why the parser is not asked about this line, or nothing. toml++ 3.3.0 takes a character beyond
// ASCII, where it might be white space, for one of a few (is_non_ascii_horizontal_whitespace has an
// unreachable place for the others); TOML has such characters in texts and comments alone. Texts
// over several lines, which no option needs, have such places inside.
const char* unreadable(std::string_view line) {
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto c = line[i];
    if (quote) {
      if (c == '\\' && quote == '"')
        ++i;
      else if (c == quote)
        quote = 0;
    } else if (c == '#') {
      return nullptr;
    } else if (c == '"' || c == '\'') {
      if (line.substr(i).starts_with(std::string(3, c)))
        return "a text stands on one line, in one pair of quotes";
      quote = c;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      return "a character that is not ASCII stands outside of quotes; put the text in quotes";
    }
  }
  return nullptr;
}

class reader {
public:
  reader(const std::string& file, CLI::App& program, const std::string& subcommand,
         const std::vector<std::string>& given)
      : file_(file), program_(program), subcommand_(subcommand), given_(given) {}

  config_words read(std::string_view text) {
    std::size_t line = 1;
    for (auto rest = text; !rest.empty(); ++line) {
      const auto end = std::min(rest.find('\n'), rest.size());
      if (const auto* why = unreadable(rest.substr(0, end))) {
        result_.errors.push_back(file_ + ":" + std::to_string(line) + ": " + why);
        return std::move(result_);
      }
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    const auto parsed = toml::parse(text, file_);
    if (!parsed) {
      const auto& why = parsed.error();
      error(why.source(), "this is no TOML: " + std::string{why.description()} +
                              "; texts stand in quotes, as in name = \"left\"");
      return std::move(result_);
    }
    for (const auto& [key, value] : parsed.table()) {
      auto* app = find_command(program_, key.str());
      const auto* table = value.as_table();
      if (app && table)
        read_table(*app, *table);
      else if (app)
        error(value.source(), std::string{key.str()} + " is a table: write [" +
                                  std::string{key.str()} + "] and its keys below");
      else
        error(key.source(), unknown_table(key.str(), table != nullptr));
    }
    return std::move(result_);
  }

private:
  void error(const toml::source_region& where, const std::string& what) {
    result_.errors.push_back(file_ + ":" + std::to_string(where.begin.line) + ": " + what);
  }

  [[nodiscard]] std::string unknown_table(std::string_view name, bool table) const {
    std::vector<std::string> names;
    for (const auto* app : program_.get_subcommands({})) names.push_back(app->get_name());
    if (table) return "there is no table [" + std::string{name} + "]" + nearest(name, names);
    return "the key '" + std::string{name} +
           "' stands in no table; write it below [broker] or [worker]";
  }

  void read_table(CLI::App& app, const toml::table& table) {
    for (const auto& [key, value] : table) {
      const std::string name{key.str()};
      auto* option = option_named(app, name);
      if (!option) {
        error(key.source(), "there is no key '" + name + "' in [" + app.get_name() + "]" +
                                nearest(name, keys_of(app)));
        continue;
      }
      std::vector<std::string> values;
      if (name == "service" && value.is_table())
        values = services(*value.as_table());
      else if (const auto* array = value.as_array(); array && takes_several(*option))
        for (const auto& one : *array) add_value(app, *option, one, values);
      else
        add_value(app, *option, value, values);
      if (app.get_name() != subcommand_ || is_given(name)) continue;
      say(*option, values);
      if (name == "service")
        for (const auto& one : service_options_) result_.words.push_back("--set=" + one);
    }
  }

  static bool takes_several(CLI::Option& option) { return option.get_expected_max() > 1; }
  static bool is_flag(CLI::Option& option) { return option.get_items_expected_max() == 0; }

  [[nodiscard]] bool is_given(const std::string& name) const {
    return std::any_of(given_.begin(), given_.end(), [&](const std::string& word) {
      return word == "--" + name || word.starts_with("--" + name + "=");
    });
  }

  void say(CLI::Option& option, const std::vector<std::string>& values) {
    const auto name = "--" + option.get_lnames().front();
    for (const auto& value : values) {
      if (is_flag(option)) {
        if (value == "true") result_.words.push_back(name);
      } else {
        result_.words.emplace_back(name).append("=").append(value);
      }
    }
  }

  // Checks it as the command line would.
  void add_value(CLI::App& app, CLI::Option& option, const toml::node& node,
                 std::vector<std::string>& values) {
    const auto key = "'" + option.get_lnames().front() + "' in [" + app.get_name() + "]";
    if (is_flag(option) != node.is_boolean())
      return error(node.source(),
                   key + (is_flag(option) ? " is true or false"
                                          : " is not true or false: it takes " + wanted(option)));
    auto text = text_of(node);
    if (!text) return error(node.source(), key + " takes " + wanted(option));
    if (text->empty())
      return error(node.source(), key + " is empty; leave the key out, or say what it is to be");
    if (const auto wrong = check(option, *text); !wrong.empty())
      return error(node.source(), key + ": " + wrong);
    values.push_back(*std::move(text));
  }

  static std::string wanted(CLI::Option& option) {
    const auto several = takes_several(option) ? ", or an array of them" : "";
    const auto type = option.get_type_name();
    if (type.find("UINT") != std::string::npos || type.find("INT") != std::string::npos ||
        type == "NUMBER")
      return std::string{"a number"} + several;
    if (type == "TIME") return "a number, or a time such as \"5s\"";
    if (type == "SIZE") return "a number of bytes, or a size such as \"512MiB\"";
    return std::string{"a text in quotes"} + several;
  }

  static std::optional<std::string> text_of(const toml::node& node) {
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* number = node.as_integer()) return std::to_string(number->get());
    if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
    return std::nullopt;
  }

  // Empty if it will do.
  static std::string check(CLI::Option& option, std::string& text) {
    const auto type = option.get_type_name();
    const bool is_number = type.starts_with("UINT");
    if (is_number && text.find_first_not_of("0123456789") != std::string::npos)
      return "'" + text + "' is not a whole number from 0 on";
    for (int i = 0;; ++i) {
      try {
        // It may change the text, as it would on the command line.
        if (auto wrong = (*option.get_validator(i))(text); !wrong.empty()) return wrong;
      } catch (const CLI::OptionNotFound&) {
        return {};
      }
    }
  }

  // [worker.service.NAME] with its handler and its options, or NAME = "HANDLER" below
  // [worker.service].
  std::vector<std::string> services(const toml::table& table) {
    std::vector<std::string> result;
    for (const auto& [key, value] : table) {
      const std::string name{key.str()};
      if (const auto* text = value.as_string()) {
        result.push_back(name + "=" + text->get());
        continue;
      }
      const auto* one = value.as_table();
      if (!one) {
        error(value.source(),
              "the service '" + name + "' takes a handler in quotes, such as \"cmd:sha256sum\"");
        continue;
      }
      for (const auto& [word, said] : *one)
        if (word.str() != "handler") add_service_option(name, std::string{word.str()}, said);
      if (const auto handler = (*one)["handler"].value<std::string>())
        result.push_back(name + "=" + *handler);
      else
        error(one->source(), "[worker.service." + name +
                                 "] has no handler; write handler = \"cmd:sha256sum\", or another");
    }
    return result;
  }

  void add_service_option(const std::string& service, const std::string& name,
                          const toml::node& node) {
    const auto where = "[worker.service." + service + "]";
    auto names = service_option_names();
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.insert(names.begin(), "handler");
      return error(node.source(),
                   "there is no key '" + name + "' in " + where + nearest(name, names));
    }
    const auto add = [&](const toml::node& one) {
      const auto text = text_of(one);
      service_options into;
      if (!text) return error(one.source(), "'" + name + "' in " + where + " takes one value");
      if (const auto set = set_service_option(into, runs::process, name, *text); !set)
        return error(one.source(), where + " " + set.why().what);
      service_options_.push_back(service + "." + name + "=" + *text);
    };
    if (const auto* several = node.as_array())
      for (const auto& one : *several) add(one);
    else
      add(node);
  }

  const std::string& file_;
  CLI::App& program_;
  const std::string& subcommand_;
  const std::vector<std::string>& given_;
  config_words result_;
  std::vector<std::string> service_options_; // SERVICE.OPTION=VALUE
};

// Takes --config FILE out of the words.
result<std::optional<std::string>> take_config(std::vector<std::string>& words) {
  constexpr std::string_view name = "--config";
  std::optional<std::string> file;
  for (auto i = words.begin(); i != words.end() && *i != "--";) {
    const bool joined = i->starts_with("--config=");
    if (*i != name && !joined) {
      ++i;
      continue;
    }
    if (!joined && i + 1 == words.end())
      return failure{failure_kind::bad_input, "--config needs the name of a file", {}};
    if (file)
      return failure{failure_kind::bad_input, "--config is given twice",
                     "put what both say into one file"};
    file = joined ? i->substr(name.size() + 1) : *(i + 1);
    i = words.erase(i, i + (joined ? 1 : 2));
  }
  return file;
}

} // namespace

config_words read_config(std::string_view text, const std::string& file, CLI::App& program,
                         const std::string& subcommand, const std::vector<std::string>& given) {
  return reader{file, program, subcommand, given}.read(text);
}

result<std::vector<std::string>> with_config(CLI::App& program, std::vector<std::string> words) {
  const auto file = take_config(words);
  if (!file) return file.why();
  if (!*file) return words;
  const auto command = std::find_if(words.begin(), words.end(), [&](const std::string& word) {
    return find_command(program, word) != nullptr;
  });
  const auto text = read_file(**file, limits::max_text_file_bytes);
  if (!text) return text.why();
  const auto said =
      read_config(*text, **file, program, command == words.end() ? std::string{} : *command, words);
  if (!said.errors.empty()) {
    std::string all;
    for (const auto& error : said.errors) all += (all.empty() ? "" : "\n") + error;
    return failure{failure_kind::bad_input, all, {}};
  }
  if (command == words.end()) return words;
  auto more = said.words;
  if (*command == "worker") { // it reads them again when it is told to
    more.push_back("--config-file=" + **file);
    for (const auto& word : words) more.push_back("--given=" + word);
  }
  words.insert(command + 1, more.begin(), more.end());
  return words;
}

} // namespace ropewalk
