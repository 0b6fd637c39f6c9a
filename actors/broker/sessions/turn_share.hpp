#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace ropewalk {

/// How much is read of each client in a turn of the event loop. A frame costs a microsecond or two,
/// however short it is, and a read may bring 2,700 requests or 16,000 CANCELs: with a hundred clients
/// that send as fast as they can a turn would take a fifth of a second, and everybody waits for its
/// end. So those that bring many frames have less read from them at a time, by halves, for as long
/// as all of them together bring more than `max_frames` a turn. And those that bring many frames or
/// much of one become bulk (client_connection) while all bring more than `max_cost`.
class turn_share {
public:
  /// Of all clients in a turn: a millisecond or two of the loop. (4096 and reads of 4 KiB gave a
  /// modest client among a hundred floods a p99 of 43 ms, this 26; 64 connections with 64 in flight
  /// each get 5 % less done.)
  static constexpr std::uint64_t max_frames = 1024;

  /// A read's share at the least is its usual size halved so often: 512 bytes of frames.
  static constexpr std::uint8_t most_halvings = 9;

  /// What is read of a newcomer at first: 4 KiB of frames, 128 bytes of lines or 1 KiB of heads of HTTP,
  /// and twice as much with each read from then on, if there is time for that. (64 that came in a turn
  /// with as much as a read can hold kept others waiting for 110 to 170 ms.)
  static constexpr std::uint8_t first_halvings = 6;

  /// A client that brings fewer than this with a read is not one of those.
  static constexpr std::uint64_t many_frames = 32;

  /// What so many bytes of a payload cost is what a frame does, which is a microsecond or two.
  static constexpr std::uint64_t bytes_a_frame = 4096;

  /// What reads cost, in frames: of all clients in a turn, and of one that makes it bulk. (With 512,
  /// which 8 clients with 64 in flight come to, these got 13 % less done.)
  static constexpr std::uint64_t max_cost = 1024;
  static constexpr std::uint64_t much_cost = 16;

  /// A read has brought so many.
  void count(std::uint64_t frames, std::uint64_t bytes) {
    frames_ += frames;
    cost_ += cost(frames, bytes);
  }
  [[nodiscard]] bool has_counted() const { return cost_ > 0; }
  void end_turn() {
    last_ = std::exchange(frames_, 0);
    last_cost_ = std::exchange(cost_, 0);
  }

  /// Whether a client that a read brought so much of is to be bulk.
  [[nodiscard]] bool is_bulk(std::uint64_t frames, std::uint64_t bytes) const {
    return std::max(cost_, last_cost_) > max_cost && is_much(frames, bytes);
  }
  [[nodiscard]] static bool is_much(std::uint64_t frames, std::uint64_t bytes) {
    return cost(frames, bytes) >= much_cost;
  }

  /// How often the size of the next read is to be halved for a client whose last one, halved
  /// `now` times, brought `frames`.
  [[nodiscard]] std::uint8_t halvings(std::uint8_t now, std::uint64_t frames) const {
    const auto in_turn = std::max(frames_, last_);
    if (in_turn > max_frames && frames >= many_frames)
      return now < most_halvings ? static_cast<std::uint8_t>(now + 1) : now;
    // Twice as much from everybody must not be too much again.
    return now > 0 && in_turn < max_frames / 2 ? static_cast<std::uint8_t>(now - 1) : now;
  }

private:
  static std::uint64_t cost(std::uint64_t frames, std::uint64_t bytes) {
    return frames + bytes / bytes_a_frame;
  }

  std::uint64_t frames_ = 0; // in this turn
  std::uint64_t last_ = 0;   // in the last one
  std::uint64_t cost_ = 0;
  std::uint64_t last_cost_ = 0;
};

} // namespace ropewalk
