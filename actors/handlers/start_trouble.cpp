#include "actors/handlers/start_trouble.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// What stands behind #! in a script, for the kernel: the first word, and what is behind that; both
// empty: it is no script.
struct shebang {
  std::string interpreter;
  std::string argument;
};

shebang shebang_of(const std::string& path) {
  std::array<char, 256> head{};
  const int file =
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hold it up
  const auto count = file < 0 ? -1 : ::read(file, head.data(), head.size());
  if (file >= 0) ::close(file);
  if (count < 3 || head[0] != '#' || head[1] != '!') return {};
  std::string_view line{head.data() + 2, static_cast<std::size_t>(count) - 2};
  line = line.substr(0, line.find('\n'));
  const auto skip_blanks = [&] {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  };
  skip_blanks();
  const auto end = std::min(line.find_first_of(" \t"), line.size());
  shebang result{std::string{line.substr(0, end)}, {}};
  line.remove_prefix(end);
  skip_blanks();
  result.argument = line;
  return result;
}

std::string interpreter_of(const std::string& path) {
  return shebang_of(path).interpreter;
}

bool is_folder(const std::string& path) {
  struct stat file {};
  return ::stat(path.c_str(), &file) == 0 && S_ISDIR(file.st_mode);
}

std::string explain_program(int error, const std::string& path) {
  const auto interpreter = interpreter_of(path);
  switch (error) {
  case ENOENT:
    if (::access(path.c_str(), F_OK) != 0) return path + " is not there any more: install it again";
    if (!interpreter.empty())
      return path + " needs the interpreter " + interpreter +
             ", which is not there: install it, or mend the script's first line";
    return path + " needs a loader that is not there: it was made for another system";
  case EACCES:
    if (is_folder(path)) return path + " is a directory, and no program";
    if (!interpreter.empty() && ::access(path.c_str(), X_OK) == 0)
      return path + " needs the interpreter " + interpreter + ", which may not be executed";
    return path + " may not be executed: give it execute permission (chmod +x), and its folders "
                  "too; a file system may be mounted noexec";
  case ENOEXEC:
    return path + " is no program for this machine; a script begins with a line such as #!/bin/sh";
  default:
    return "cannot execute " + path + ": " + std::strerror(error);
  }
}

// What a process, or the machine, has run out of; empty: it is nothing of the kind.
std::string explain_shortage(int error) {
  switch (error) {
  case EMFILE:
  case ETOOMANYREFS:
    return "this process has no descriptors left: raise `ulimit -n`, or take fewer slots";
  case ENFILE:
    return "this machine has no descriptors left: raise fs.file-max";
  case EAGAIN:
    return "no further process may be started: raise `ulimit -u` or the container's limit of "
           "processes, or take fewer slots";
  case ENOMEM:
  case ENOBUFS:
    return "there is no memory left: take fewer slots";
  case ENOSPC:
    return "the system has no room for another process (PIDs, or a file system that is full)";
  default:
    return {};
  }
}

} // namespace

namespace {

bool is_program(const std::string& path) {
  struct stat file {};
  return ::access(path.c_str(), X_OK) == 0 && ::stat(path.c_str(), &file) == 0 &&
         S_ISREG(file.st_mode);
}

// What `env` would run; empty: that cannot be seen from here.
std::string sought_by_env(const shebang& line) {
  const auto& words = line.argument;
  const bool is_env = line.interpreter.ends_with("/env");
  if (!is_env || words.starts_with('-') || words.find_first_of("= \t") != std::string::npos)
    return {};
  return words;
}

// The kernel follows interpreters that are scripts themselves, up to four of them.
std::string find_start_trouble(const std::string& path, int depth) {
  if (::access(path.c_str(), F_OK) != 0) return path + " is not there";
  if (!is_program(path)) return explain_program(EACCES, path);
  const auto line = shebang_of(path);
  if (line.interpreter.empty() || depth == 4) return {};
  if (line.interpreter.ends_with('\r') || line.argument.ends_with('\r'))
    return path +
           " has lines that end as on Windows (CR LF), so that its interpreter is not found: "
           "write it anew with LF alone";
  if (const auto sought = sought_by_env(line); !sought.empty() && find_program(sought).empty())
    return path + " needs the interpreter " + sought +
           ", which is not found: install it, or mend the script's first line";
  const auto inner = find_start_trouble(line.interpreter, depth + 1);
  return inner.empty() ? inner : path + " needs the interpreter " + line.interpreter + ": " + inner;
}

} // namespace

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return is_program(name) ? name : std::string{};
  const char* path = ::getenv("PATH");
  std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin";
  while (true) {
    const auto colon = rest.find(':');
    std::string candidate = std::string{rest.substr(0, colon)} + '/' + name;
    if (is_program(candidate)) return candidate;
    if (colon == std::string_view::npos) return {};
    rest.remove_prefix(colon + 1);
  }
}

std::string find_start_trouble(const std::string& path) {
  return find_start_trouble(path, 0);
}

std::string explain(const start_failure& failure, const program& what) {
  if (const auto shortage = explain_shortage(failure.error); !shortage.empty())
    return "cannot start " + what.path + ": " + shortage;
  const std::string error = std::strerror(failure.error);
  switch (failure.step) {
  case start_step::program:
    return explain_program(failure.error, what.path);
  case start_step::user:
    return "cannot start " + what.path + " as the user " + (what.user ? what.user->name : "") +
           ": " + error + "; the worker is root, and may need CAP_SETUID and CAP_SETGID";
  case start_step::folder:
    return "cannot start " + what.path + " in the folder " + what.folder + ": " + error;
  case start_step::spawner:
    return "cannot start " + what.path +
           ": the process that starts programs was ended from outside, and a new one too";
  case start_step::adoption:
    return failure.error == ESRCH
               ? "what its fork server had forked ended before it was taken over"
               : "what its fork server has forked is no orphan of its group and session (" + error +
                     "): fork twice, and let the one in between end before it is said";
  default:
    return "cannot start " + what.path + ": " + error;
  }
}

} // namespace ropewalk
