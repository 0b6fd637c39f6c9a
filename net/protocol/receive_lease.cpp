#include "net/protocol/receive_lease.hpp"

#include <cassert>
#include <utility>

namespace ropewalk {

namespace {

// A share costs two small allocations.
constexpr std::size_t min_shared = 1024; // bytes

// The pool of this thread has gone: shares may go later, with what else is the thread's own. (Of no
// destructor, so that it can be asked for until then.)
constinit thread_local bool spares_are_gone = false;

// A pool: memory of buffers whose last share has gone, for the next that are taken; fresh memory
// would be filled with zeros first. A thread keeps as much as a few of the largest messages need.
class spare_buffers {
public:
  spare_buffers() = default;
  spare_buffers(const spare_buffers&) = delete;
  spare_buffers& operator=(const spare_buffers&) = delete;
  ~spare_buffers() { spares_are_gone = true; }

  void give(std::vector<char> buffer) {
    if (kept_bytes_ + buffer.capacity() > max_kept) return;
    kept_bytes_ += buffer.capacity();
    kept_.push_back(std::move(buffer));
  }

  std::vector<char> take() {
    if (kept_.empty()) return {};
    auto result = std::move(kept_.back());
    kept_.pop_back();
    kept_bytes_ -= result.capacity();
    return result;
  }

private:
  static constexpr std::size_t max_kept = std::size_t{8} << 20; // bytes
  std::vector<std::vector<char>> kept_;
  std::size_t kept_bytes_ = 0;
};

thread_local spare_buffers spares;

void keep_spare(std::vector<char> buffer) {
  if (!spares_are_gone) spares.give(std::move(buffer));
}

std::vector<char> take_spare() {
  return spares_are_gone ? std::vector<char>{} : spares.take();
}

} // namespace

struct receive_lease::taken final : shared_memory {
  std::vector<char> bytes;
  ~taken() override { keep_spare(std::move(bytes)); }
};

receive_lease::receive_lease(std::vector<char>& buffer, std::size_t count)
    : buffer_(&buffer), view_(buffer.data(), count) {
  assert(count <= buffer.size());
}

receive_lease::~receive_lease() {
  if (!taken_) return;
  taken_->bytes = std::exchange(*buffer_, take_spare());
  taken_->let_go();
}

std::optional<shared_bytes> receive_lease::share(std::string_view part) {
  assert(part.data() >= view_.data() && part.data() + part.size() <= view_.data() + view_.size());
  if (!buffer_)
    return shared_.part(static_cast<std::size_t>(part.data() - view_.data()), part.size());
  if (part.size() < min_shared || 2 * part.size() < buffer_->capacity()) return std::nullopt;
  if (!taken_) taken_ = new taken; // whose holders end it
  taken_->hold();
  return shared_bytes{taken_, part};
}

} // namespace ropewalk
