#include "actors/handlers/words.hpp"

namespace ropewalk {

namespace {

failure unfinished(const char* what) {
  return {failure_kind::bad_input, what, {}};
}

} // namespace

result<std::vector<std::string>> split_words(std::string_view line) {
  std::vector<std::string> words;
  bool in_word = false;
  auto word = [&]() -> std::string& {
    if (!in_word) words.emplace_back();
    in_word = true;
    return words.back();
  };
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == ' ' || c == '\t' || c == '\n') {
      in_word = false;
    } else if (c == '\'') {
      const auto end = line.find('\'', i + 1);
      if (end == std::string_view::npos) return unfinished("a single quote has no end");
      word().append(line.substr(i + 1, end - i - 1));
      i = end;
    } else if (c == '"') {
      word();
      for (++i; i < line.size() && line[i] != '"'; ++i) {
        const bool escapes =
            line[i] == '\\' && i + 1 < line.size() &&
            std::string_view{"\\\"$`\n"}.find(line[i + 1]) != std::string_view::npos;
        if (escapes && line[++i] == '\n') continue; // a continued line
        word().push_back(line[i]);
      }
      if (i == line.size()) return unfinished("a double quote has no end");
    } else if (c == '\\') {
      if (++i == line.size()) return unfinished("a backslash has nothing behind it");
      if (line[i] != '\n') word().push_back(line[i]);
    } else {
      word().push_back(c);
    }
  }
  return words;
}

} // namespace ropewalk
