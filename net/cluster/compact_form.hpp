#pragma once

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
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
  virtual caf::error write(const caf::message& what, caf::binary_serializer& to) const = 0;

  /// Reads what `write` wrote; null if the bytes make no sense.
  [[nodiscard]] virtual caf::mailbox_element_ptr read(caf::binary_deserializer& from) const = 0;
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

  caf::error write(const caf::message& what, caf::binary_serializer& to) const override {
    return write(what, to, std::index_sequence_for<Values...>{});
  }

  caf::mailbox_element_ptr read(caf::binary_deserializer& from) const override {
    std::tuple<Values...> values;
    return std::apply(
        [&from](auto&... value) -> caf::mailbox_element_ptr {
          if (from(value...) || from.remaining() > 0) return nullptr;
          return caf::make_mailbox_element(nullptr, caf::make_message_id(), {}, Atom::value,
                                           std::move(value)...);
        },
        values);
  }

private:
  template <std::size_t... Places>
  static caf::error write(const caf::message& what, caf::binary_serializer& to,
                          std::index_sequence<Places...>) {
    return to(const_cast<Values&>(what.get_as<Values>(Places + 1))...);
  }
};

} // namespace ropewalk
