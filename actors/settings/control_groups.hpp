#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

/// What the control groups that this process is in leave it of its machine: a container's limits,
/// or a service's. Both versions of control groups, the group itself and those around it, of which
/// the tightest counts. A file that is missing or cannot be understood limits nothing.
class control_groups {
public:
  /// Read from `root`, below which proc/self and the file systems that it names are.
  explicit control_groups(std::string root = "");

  /// How many processors' time may be used, such as 0.5; nothing: all that there are.
  [[nodiscard]] std::optional<double> processors() const;

  /// How much memory may be used, in bytes; nothing: all that there is.
  [[nodiscard]] std::optional<std::uint64_t> memory() const;

  /// How much of it is left, in bytes, what is only kept for the case that it is read again counted
  /// as free; nothing: it is not limited.
  [[nodiscard]] std::optional<std::uint64_t> free_memory() const;

  /// The same of the machine; nothing: it is not known.
  [[nodiscard]] std::optional<std::uint64_t> free_memory_of_machine() const;

private:
  // Where the groups of one controller are: of version 2 it has no name.
  struct hierarchy {
    std::string controllers; // "cpu,cpuacct"; empty: version 2
    std::string mounted;     // the folder of the group `top`
    std::string top;
  };

  void add_mount(const std::string& line);
  [[nodiscard]] std::string path_in(const hierarchy& which) const;
  [[nodiscard]] std::vector<std::string> folders_of(std::string_view controller) const;
  [[nodiscard]] std::string read(const std::string& path) const;

  std::string root_;
  std::vector<hierarchy> hierarchies_;
};

} // namespace ropewalk
