#pragma once

#include "net/http/http_decoder.hpp"
#include "net/protocol/frame.hpp"
#include "net/transport/client_connection.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

/// The client's end of a connection without a socket: what it says, and how much of what it is told
/// it takes.
class fake_client final : private decoder, private outbox, public client_connection {
public:
  explicit fake_client(std::size_t max_message_bytes = 1 << 20,
                       std::unique_ptr<http_decoder> http = nullptr)
      : decoder(max_message_bytes),
        client_connection(static_cast<decoder&>(*this), static_cast<outbox&>(*this), http.get()),
        wire_(*this), http_(std::move(http)) {}

  // -- the client's side ----------------------------------------------------------------------------

  /// It sends this; `arrive` brings all that it has sent to the broker's side, to be read there.
  void says(std::string_view bytes) { under_way_ += bytes; }
  void arrive() {
    arrived_ = std::exchange(under_way_, {});
    has_read(arrived_.size());
    if (http_)
      http_->feed(arrived_);
    else
      decoder::feed(arrived_);
  }
  void says(frame_kind kind, std::uint64_t id, std::string_view service, std::string_view payload) {
    field_writer fields;
    if (!service.empty()) fields.text(field::service, service);
    std::vector<char> out;
    append_frame(out, kind, error_code::ok, id, fields.bytes(), payload);
    says({out.data(), out.size()});
  }
  void asks(std::uint64_t id, std::string_view service, std::string_view payload = "x") {
    says(frame_kind::request, id, service, payload);
  }
  void closes_its_half() { end_input(); }
  void is_alone_again() { bulk_ = false; }   // there is time for all that bring much
  void is_cut_short() { cut_short_ = true; } // by somebody in between, which TLS sees

  /// Its socket has room for so many bytes, and its kernel has acknowledged all but so many.
  void takes(std::size_t bytes) {
    room_ = bytes;
    flush();
  }
  void leaves_unacknowledged(std::size_t bytes) { unacknowledged_ = bytes; }
  void shakes_hands_for_ever() { ready_ = false; }
  void shows_certificate(std::string name) { peer_name_ = std::move(name); }

  /// What has arrived there.
  [[nodiscard]] const std::string& told() const { return told_; }
  [[nodiscard]] bool was_told(std::string_view what) const {
    return told_.find(what) != std::string::npos;
  }

  [[nodiscard]] bool is_read() const { return reading_; }
  [[nodiscard]] std::uint8_t halvings() const { return halvings_; }
  [[nodiscard]] bool is_discarded() const { return discarded_; }
  [[nodiscard]] bool is_finished() const { return finished_; }
  [[nodiscard]] bool is_closed() const { return closed_; }
  [[nodiscard]] bool is_cut_off() const { return cut_off_; }

  // -- client_connection ----------------------------------------------------------------------------

  [[nodiscard]] const stream& transport() const override { return wire_; }
  [[nodiscard]] std::string address() const override { return "192.0.2.1"; }
  [[nodiscard]] std::size_t unacknowledged() const override { return unacknowledged_; }
  void flush() override { (void)outbox::send(wire_); }
  void probe_peer() override {}
  void pause_reading() override { reading_ = false; }
  void resume_reading() override { reading_ = true; }
  void read_less(std::uint8_t halvings) override { halvings_ = halvings; }
  void become_bulk() override { bulk_ = true; }
  void leave_bulk() override { bulk_ = false; }
  [[nodiscard]] bool is_bulk() const override { return bulk_; }
  void discard_input() override { discarded_ = true; }
  void finish_writing() override {
    flush();
    finished_ = true;
  }
  void close() override { closed_ = true; }
  void cut_off() override { cut_off_ = true; }

private:
  class wire final : public stream {
  public:
    explicit wire(fake_client& owner) : owner_(owner) {}
    result receive(std::span<const iovec>) override { return {state::blocked, 0}; }
    result send(std::span<const iovec> from) override {
      std::size_t sent = 0;
      for (const auto& part : from) {
        const auto take = std::min(part.iov_len, owner_.room_);
        owner_.told_.append(static_cast<const char*>(part.iov_base), take);
        owner_.room_ -= take;
        sent += take;
        if (take < part.iov_len) return {state::blocked, sent};
      }
      return {state::ok, sent};
    }
    void finish() override {}
    [[nodiscard]] bool cut_short() const override { return owner_.cut_short_; }
    [[nodiscard]] bool ready() const override { return owner_.ready_; }
    [[nodiscard]] std::string peer_name() const override { return owner_.peer_name_; }
    [[nodiscard]] int fd() const override { return -1; }
    void disown() override {}

  private:
    fake_client& owner_;
  };

  wire wire_;
  std::unique_ptr<http_decoder> http_;
  std::string under_way_;
  std::string arrived_; // the decoder reads from it
  std::string told_;
  std::string peer_name_;
  std::size_t room_ = std::size_t{1} << 30;
  std::size_t unacknowledged_ = 0;
  bool ready_ = true;
  bool cut_short_ = false;
  bool reading_ = true;
  std::uint8_t halvings_ = 0;
  bool bulk_ = false;
  bool discarded_ = false;
  bool finished_ = false;
  bool closed_ = false;
  bool cut_off_ = false;
};

} // namespace ropewalk
