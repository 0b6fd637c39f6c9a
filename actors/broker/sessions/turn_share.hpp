#pragma once

#include <cstdint>
#include <utility>

namespace ropewalk {

/// How much is read of each client in a turn of the event loop. A frame costs a microsecond or two,
/// however short it is, and a read may bring 2,700 requests or 16,000 CANCELs: with a hundred clients
/// that send as fast as they can a turn would take a fifth of a second, and everybody waits for its
/// end. So those that bring many frames have less read from them at a time, by halves, for as long
/// as all of them together bring more than `max_frames` a turn.
class turn_share {
public:
  /// Of all clients in a turn: a millisecond or two of the loop. (4096 and reads of 4 KiB gave a
  /// modest client among a hundred floods a p99 of 43 ms, this 26; 64 connections with 64 in flight
  /// each get 5 % less done.)
  static constexpr std::uint64_t max_frames = 1024;

  /// A read's share at the least is its usual size halved so often: 512 bytes of frames.
  static constexpr std::uint8_t most_halvings = 9;

  /// A client that brings fewer than this with a read is not one of those.
  static constexpr std::uint64_t many_frames = 32;

  /// A read has brought so many.
  void count(std::uint64_t frames) { frames_ += frames; }
  [[nodiscard]] bool has_counted() const { return frames_ > 0; }
  void end_turn() { last_ = std::exchange(frames_, 0); }

  /// How often the size of the next read is to be halved for a client whose last one, halved
  /// `now` times, brought `frames`.
  [[nodiscard]] std::uint8_t halvings(std::uint8_t now, std::uint64_t frames) const {
    const auto in_turn = frames_ > last_ ? frames_ : last_;
    if (in_turn > max_frames && frames >= many_frames)
      return now < most_halvings ? static_cast<std::uint8_t>(now + 1) : now;
    // Twice as much from everybody must not be too much again.
    return now > 0 && in_turn < max_frames / 2 ? static_cast<std::uint8_t>(now - 1) : now;
  }

private:
  std::uint64_t frames_ = 0; // in this turn
  std::uint64_t last_ = 0;   // in the last one
};

} // namespace ropewalk
