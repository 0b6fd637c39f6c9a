#pragma once

namespace ropewalk {

/// How the thread of a slot gets a processor. Woken for a message or two, it takes one at once, as
/// threads do, from whoever has just one more thing to compute. Where dozens of short messages come
/// with every wake-up it waits for its turn (SCHED_BATCH): interrupting the broker or the client in
/// the middle of what they are sending makes all batches smaller and everybody slower. (64 B x 64
/// on two processors: 1.14x; but beside handlers that compute, one message at a time would wait for
/// milliseconds.)
///
/// A thread has one of its own, and nobody else may call it.
class sched_class {
public:
  /// What has come with the last wake-up is worked off: so many messages.
  void worked_off(unsigned messages);

private:
  void take_turns(bool yes);

  double mean_ = 0; // messages a wake-up
  bool takes_turns_ = false;
};

} // namespace ropewalk
