#include "actors/handlers/exec.hpp"

#include "actors/handlers/program_line.hpp"

namespace ropewalk {

result<program> parse_exec(const std::string& line) {
  return parse_program("exec", line);
}

std::string exec_usage() {
  return "exec:PROGRAM ARG...";
}

} // namespace ropewalk
