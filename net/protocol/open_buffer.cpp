#include "net/protocol/open_buffer.hpp"

#include "net/protocol/limits.hpp"

#include <functional>
#include <utility>

namespace ropewalk {

namespace {

// A share costs two small allocations.
constexpr std::size_t least_shared = 1024; // bytes

// Memory of buffers whose last share has gone, for the next that are taken: fresh memory would be
// filled with zeros first. A thread keeps as much as a few of the largest messages need.
class spare_buffers {
public:
  void give(std::vector<char> buffer) {
    if (kept_bytes_ + buffer.capacity() > most_kept) return;
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
  static constexpr std::size_t most_kept = std::size_t{8} << 20; // bytes
  std::vector<std::vector<char>> kept_;
  std::size_t kept_bytes_ = 0;
};

thread_local spare_buffers spares;
thread_local open_buffer* innermost = nullptr;
thread_local open_output* output = nullptr;

} // namespace

struct open_buffer::taken final : shared_memory {
  std::vector<char> bytes;
  ~taken() override { spares.give(std::move(bytes)); }
};

open_buffer::open_buffer(std::vector<char>& bytes)
    : bytes_(&bytes), outer_(std::exchange(innermost, this)) {}

open_buffer::open_buffer(const shared_bytes& bytes)
    : shared_(&bytes), outer_(std::exchange(innermost, this)) {}

open_buffer::~open_buffer() {
  innermost = outer_;
  if (!taken_) return;
  taken_->bytes = std::exchange(*bytes_, spares.take());
  taken_->let_go();
}

std::optional<shared_bytes> open_buffer::share(std::string_view bytes) {
  auto* const open = innermost;
  if (!open) return std::nullopt;
  const auto all = open->shared_ ? open->shared_->view()
                                 : std::string_view{open->bytes_->data(), open->bytes_->size()};
  if (std::less<>{}(bytes.data(), all.data()) ||
      std::less<>{}(all.data() + all.size(), bytes.data() + bytes.size()))
    return std::nullopt;
  if (open->shared_)
    return open->shared_->part(static_cast<std::size_t>(bytes.data() - all.data()), bytes.size());
  if (bytes.size() < least_shared || 2 * bytes.size() < open->bytes_->capacity())
    return std::nullopt;
  if (!open->taken_) open->taken_ = new taken; // whose holders end it
  open->taken_->hold();
  return shared_bytes{open->taken_, bytes};
}

void open_output::open(const std::vector<char>& buffer, std::size_t large) {
  buffer_ = &buffer;
  large_ = large;
  message_ = buffer.size();
  output = this;
}

bool open_output::close() {
  if (output != this) return false;
  output = nullptr;
  return true;
}

bool open_output::insert(const std::vector<char>& buffer, const shared_bytes& bytes) {
  if (!output || output->buffer_ != &buffer || bytes.size() < output->large_ || bytes.borrowed())
    return false;
  output->insertions_.push_back({output->message_, buffer.size(), bytes});
  return true;
}

} // namespace ropewalk
