#include "net/transport/shared_ring.hpp"

#include "net/protocol/limits.hpp"

#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace ropewalk {

namespace {

constexpr std::size_t control_bytes = 4096;
constexpr std::size_t whole_bytes = control_bytes + 2 * limits::ring_bytes;

// Neighbours in different cache lines.
constexpr std::size_t alignment = 64;

constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

using counter = std::atomic<std::uint64_t>;
static_assert(counter::is_always_lock_free);

} // namespace

class ring_mapping {
public:
  explicit ring_mapping(void* base) : base_(static_cast<char*>(base)) {}
  ring_mapping(const ring_mapping&) = delete;
  ring_mapping& operator=(const ring_mapping&) = delete;
  ~ring_mapping() { ::munmap(base_, whole_bytes); }

  // What one side sends, and its count of what it has done with of the other's.
  [[nodiscard]] char* data(bool of_maker) const {
    return base_ + control_bytes + (of_maker ? 0 : limits::ring_bytes);
  }
  [[nodiscard]] counter& released(bool by_maker) const {
    return *reinterpret_cast<counter*>(base_ + (by_maker ? 0 : alignment));
  }

private:
  char* base_;
};

descriptor make_ring_memory() {
  descriptor memory{::memfd_create("ropewalk", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  if (!memory.valid() || ::ftruncate(memory.get(), whole_bytes) != 0 ||
      ::fcntl(memory.get(), F_ADD_SEALS, seals) != 0)
    return {};
  return memory;
}

std::optional<rings> map_rings(const descriptor& memory, bool maker) {
  if (!memory.valid()) return std::nullopt;
  struct stat found {};
  if (::fstat(memory.get(), &found) != 0 || found.st_size != whole_bytes ||
      (::fcntl(memory.get(), F_GET_SEALS) & seals) != seals)
    return std::nullopt;
  void* const base =
      ::mmap(nullptr, whole_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (base == MAP_FAILED) return std::nullopt;
  const auto mapping = std::make_shared<ring_mapping>(base);
  return rings{ring_writer{mapping, maker}, ring_reader::make(mapping, maker)};
}

// -- sending --------------------------------------------------------------------------------------

ring_writer::ring_writer(std::shared_ptr<ring_mapping> memory, bool maker)
    : memory_(std::move(memory)), data_(memory_->data(maker)),
      released_(&memory_->released(!maker)) {}

// A count that is ahead of what was sent frees no more than that.
void ring_writer::find_out_what_is_free() {
  const auto released = static_cast<const counter*>(released_)->load(std::memory_order_acquire);
  for (; freed_ < released && !pieces_.empty(); ++freed_) pieces_.pop_front();
}

char* ring_writer::take(std::size_t bytes) {
  if (bytes > limits::ring_bytes) return nullptr;
  find_out_what_is_free();
  std::size_t at = 0; // again and again, if all is free: that is in the cache
  if (!pieces_.empty()) {
    const auto first = pieces_.front().offset;
    const auto& last = pieces_.back();
    const bool wrapped = last.offset < first;
    at = (last.offset + last.bytes + alignment - 1) / alignment * alignment;
    if (!wrapped && at + bytes > limits::ring_bytes) {
      if (bytes > first) return nullptr;
      at = 0;
    } else if (wrapped && at + bytes > first) {
      return nullptr;
    }
  }
  pieces_.push_back({at, bytes});
  return data_ + at;
}

std::uint32_t ring_writer::offset_of(const char* room) const {
  return static_cast<std::uint32_t>(room - data_);
}

// -- receiving ------------------------------------------------------------------------------------

namespace {

class reader final : public ring_reader {
public:
  reader(std::shared_ptr<ring_mapping> memory, bool maker)
      : memory_(std::move(memory)), data_(memory_->data(!maker)),
        released_(memory_->released(maker)) {}

  std::optional<shared_bytes> receive(std::uint32_t offset, std::uint32_t bytes) override {
    if (bytes > limits::ring_bytes || offset > limits::ring_bytes - bytes) return std::nullopt;
    std::uint64_t number = 0;
    {
      const std::lock_guard lock{mutex_};
      number = first_ + done_.size();
      done_.push_back(false);
    }
    return shared_bytes{new piece{std::static_pointer_cast<reader>(shared_from_this()), number},
                        {data_ + offset, bytes}};
  }

private:
  struct piece final : shared_memory { // its holders end it
    piece(std::shared_ptr<reader> from, std::uint64_t count)
        : owner(std::move(from)), number(count) {}
    ~piece() override { owner->done_with(number); }
    std::shared_ptr<reader> owner;
    std::uint64_t number;
  };

  void done_with(std::uint64_t number) {
    const std::lock_guard lock{mutex_};
    done_[number - first_] = true;
    for (; !done_.empty() && done_.front(); ++first_) done_.pop_front();
    released_.store(first_, std::memory_order_release);
  }

  std::shared_ptr<ring_mapping> memory_;
  const char* data_;
  counter& released_;
  std::mutex mutex_;
  std::deque<bool> done_; // of the pieces from number first_ on
  std::uint64_t first_ = 0;
};

} // namespace

std::shared_ptr<ring_reader> ring_reader::make(std::shared_ptr<ring_mapping> memory, bool maker) {
  return std::make_shared<reader>(std::move(memory), maker);
}

} // namespace ropewalk
