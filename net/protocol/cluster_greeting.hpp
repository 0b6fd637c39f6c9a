#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ropewalk {

/// What a worker says first on a connection to the cluster port, and a broker answers, before the
/// actors' own protocol begins: one line of text,
///
///     ropewalk-cluster 2 0.1.0
///
/// with blanks up to its newline, so that its size is known. By it each side knows what it speaks
/// with: a client port takes it for a request of that name, in text, and says what it is; and a
/// broker and a worker whose releases do not understand each other say so.
inline constexpr std::string_view cluster_greeting_word = "ropewalk-cluster";
inline constexpr std::size_t cluster_greeting_bytes = 48;

/// To be raised with every change of what brokers and workers say to each other (actors/messages.hpp,
/// net/cluster, net/protocol/batch.hpp).
inline constexpr unsigned cluster_protocol_version = 2;

struct cluster_greeting {
  unsigned version = cluster_protocol_version;
  std::string release; ///< for people
};

/// The greeting of this program.
cluster_greeting own_cluster_greeting();

/// The line, newline and all.
std::string cluster_greeting_line(const cluster_greeting& said);

/// False as soon as the bytes, of which more may follow, cannot be a greeting.
bool may_be_cluster_greeting(std::string_view bytes);

/// Nothing if these cluster_greeting_bytes are none.
std::optional<cluster_greeting> read_cluster_greeting(std::string_view line);

/// Why these two do not go together, and what to do; empty: they do.
std::string why_not_together(const cluster_greeting& broker, const cluster_greeting& worker);

} // namespace ropewalk
