#pragma once

#include <cstdint>
#include <sys/types.h>
#include <vector>

namespace ropewalk {

/// How much memory these processes and all of their descendants have, in bytes: what is resident;
/// of what several of them share each has its part, where the kernel says so. `shares`: they share
/// with others, too, and have their part of that. Read from /proc; what cannot be read counts as
/// nothing. Takes some 20 us a process, where several share much some milliseconds.
std::uint64_t memory_of(std::vector<pid_t> processes, bool shares);

/// The processor time that these processes and all of their descendants have taken, with those of
/// them that have ended and been waited for, in seconds. Likewise.
double cpu_seconds_of(std::vector<pid_t> processes);

} // namespace ropewalk
