#include "actors/handlers/start_trouble.hpp"

#include "actors/handlers/registry.hpp"
#include "tests/catch.hpp"

#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace ropewalk;
namespace fs = std::filesystem;

namespace {

class folder {
public:
  folder() {
    auto name = (fs::temp_directory_path() / ("trouble-" + std::string(6, 'X'))).string();
    REQUIRE(::mkdtemp(name.data()));
    path_ = name;
  }
  ~folder() { fs::remove_all(path_); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;

  std::string script(const std::string& text, fs::perms may = fs::perms::owner_all) const {
    const auto file = path_ / std::to_string(++count_);
    std::ofstream{file} << text;
    fs::permissions(file, may);
    return file.string();
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

private:
  fs::path path_;
  mutable int count_ = 0;
};

bool says(const std::string& file, const std::string& what) {
  const auto trouble = find_start_trouble(file);
  INFO(trouble);
  return trouble.find(what) != std::string::npos;
}

} // namespace

TEST_CASE("a program that would not start is found out without starting it") {
  const folder in;
  CHECK(find_start_trouble("/bin/sh").empty());
  CHECK(find_start_trouble(in.script("#!/bin/sh\n")).empty());
  CHECK(find_start_trouble(in.script("#! /bin/sh -e\n")).empty());
  CHECK(find_start_trouble(in.script("#!/usr/bin/env sh\n")).empty());
  CHECK(find_start_trouble(in.script("#!/usr/bin/env -S sh -e\n")).empty());
  CHECK(find_start_trouble(in.script("no script, but who knows")).empty());
  CHECK(says("/nowhere/at/all", "is not there"));
  CHECK(says(in.path(), "is a directory"));
  CHECK(says(in.script("#!/bin/sh\n", fs::perms::owner_read), "may not be executed"));
  CHECK(says(in.script("#!/nowhere/python9\n"), "needs the interpreter /nowhere/python9"));
  CHECK(says(in.script("#!/nowhere/python9"), "needs the interpreter /nowhere/python9"));
  CHECK(says(in.script("#!" + in.path() + "\n"), "is a directory"));
  CHECK(says(in.script("#!/usr/bin/env python-of-nobody\n"), "interpreter python-of-nobody"));
  CHECK(says(in.script("#!/bin/sh\r\necho\r\n"), "as on Windows"));
  CHECK(says(in.script("#!/usr/bin/env sh\r\n"), "as on Windows"));
  const auto inner = in.script("#!/nowhere/inner\n");
  CHECK(says(in.script("#!" + inner + "\n"), "needs the interpreter /nowhere/inner"));
  const auto itself = in.path() + "/1000";
  std::ofstream{itself} << "#!" << itself << "\n";
  fs::permissions(itself, fs::perms::owner_all);
  CHECK(find_start_trouble(itself).empty()); // and it comes to an end
}

TEST_CASE("a handler says of its program what would keep it from starting") {
  const folder in;
  const auto broken = in.script("#!/nowhere/python9\n");
  for (const std::string kind : {"cmd", "exec"}) {
    const auto spec = parse_handler(kind + ":" + broken + " --fast");
    REQUIRE(spec);
    CHECK(spec->trouble.find("/nowhere/python9") != std::string::npos);
    CHECK(parse_handler(kind + ":sh -c true")->trouble.empty());
    CHECK(parse_handler(kind + ":" + in.path()).why().text().find("is a directory") !=
          std::string::npos);
    const auto text =
        parse_handler(kind + ":" + in.script("x", fs::perms::owner_read)).why().text();
    CHECK(text.find("chmod +x") != std::string::npos);
  }
}
