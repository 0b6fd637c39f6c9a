#pragma once

#include "net/protocol/compact_codec.hpp"

#include <caf/mailbox_element.hpp>
#include <caf/message.hpp>
#include <memory>
#include <tuple>
#include <vector>

namespace ropewalk {

/// How a message that is sent very often travels between nodes: its values and nothing else. BASP
/// puts the names of all types in front of them and the sender's address behind, and who receives
/// that looks each of them up again: about as much work as a small batch is itself.
class compact_form {
public:
  virtual ~compact_form() = default;

  /// True if the message is one of this form.
  [[nodiscard]] virtual bool fits(const caf::message& what) const = 0;

  /// Writes the values of one that fits.
  virtual void write(const caf::message& what, compact_writer& to) const = 0;

  /// Reads what `write` wrote; null if the bytes make no sense.
  [[nodiscard]] virtual caf::mailbox_element_ptr read(receive_lease& from) const = 0;
};

/// In the order by which both sides number them.
using compact_forms = std::vector<std::shared_ptr<const compact_form>>;

/// Messages of the shape (Atom, Values...).
template <class Atom, class... Values>
class compact_form_of final : public compact_form {
public:
  bool fits(const caf::message& what) const override {
    return what.match_elements<Atom, Values...>();
  }

  void write(const caf::message& what, compact_writer& to) const override {
    write(what, to, std::index_sequence_for<Values...>{});
  }

  caf::mailbox_element_ptr read(receive_lease& from) const override {
    compact_reader source{from};
    std::tuple<Values...> values;
    return std::apply(
        [&source](auto&... value) -> caf::mailbox_element_ptr {
          if (!(source.get(value) && ...) || !source.at_end()) return nullptr;
          return caf::make_mailbox_element(nullptr, caf::make_message_id(), {}, Atom::value,
                                           std::move(value)...);
        },
        values);
  }

private:
  template <std::size_t... Places>
  static void write(const caf::message& what, compact_writer& to, std::index_sequence<Places...>) {
    (to.put(what.get_as<Values>(Places + 1)), ...);
  }
};

} // namespace ropewalk
