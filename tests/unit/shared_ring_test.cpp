#include "net/protocol/limits.hpp"
#include "net/transport/descriptor_passing.hpp"
#include "net/transport/shared_ring.hpp"
#include "net/transport/unix_socket.hpp"
#include "tests/catch.hpp"

#include <array>
#include <cstring>
#include <deque>
#include <filesystem>
#include <random>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

// Both sides in one process.
struct both {
  descriptor memory = make_ring_memory();
  rings maker = std::move(*map_rings(memory, true));
  rings other = std::move(*map_rings(memory, false));
};

// What a sender does, as far as the memory goes; nothing if there is no room.
struct place {
  std::uint32_t offset;
  std::uint32_t bytes;
};
std::optional<place> send(ring_writer& by, std::size_t bytes, char filled_with) {
  char* const room = by.take(bytes);
  if (!room) return std::nullopt;
  std::memset(room, filled_with, bytes);
  return place{by.offset_of(room), static_cast<std::uint32_t>(bytes)};
}

shared_bytes receive(rings& at, const std::optional<place>& what) {
  return *at.in->receive(what->offset, what->bytes);
}

bool is_all(const shared_bytes& bytes, char c) {
  return bytes.view().find_first_not_of(c) == std::string_view::npos;
}

} // namespace

TEST_CASE("what one side puts into shared memory the other finds there, both ways") {
  both b;
  const auto there = receive(b.other, send(b.maker.out, 5000, 'a'));
  const auto back = receive(b.maker, send(b.other.out, 7000, 'b'));
  REQUIRE(there.size() == 5000);
  REQUIRE(is_all(there, 'a'));
  REQUIRE(back.size() == 7000);
  REQUIRE(is_all(back, 'b'));
}

TEST_CASE("a piece of shared memory that is held keeps the room of those behind it, and no other") {
  both b;
  std::vector<shared_bytes> held;
  const auto part = limits::ring_bytes / 8;
  for (char c = 'a'; c < 'a' + 8; ++c) held.push_back(receive(b.other, send(b.maker.out, part, c)));
  REQUIRE_FALSE(send(b.maker.out, 1, 'x'));
  for (std::size_t i = 1; i < held.size(); ++i) held[i] = {};
  REQUIRE_FALSE(send(b.maker.out, 1, 'x')); // the first is still there
  REQUIRE(is_all(held[0], 'a'));
  held[0] = {};
  REQUIRE(send(b.maker.out, limits::ring_bytes, 'y')); // all of it
  REQUIRE_FALSE(send(b.maker.out, 1, 'x'));
}

TEST_CASE("a share in a part of a piece keeps all of it") {
  both b;
  auto whole = receive(b.other, send(b.maker.out, limits::ring_bytes, 'a'));
  auto part = whole.part(100, 10);
  whole = {};
  REQUIRE_FALSE(send(b.maker.out, 1, 'x'));
  part = {};
  REQUIRE(send(b.maker.out, 1, 'x'));
}

TEST_CASE("pieces of any size, let go in any order and by any thread, never overlap") {
  both b;
  std::mt19937_64 random{7};
  std::deque<std::pair<shared_bytes, char>> held;
  std::size_t sent = 0;
  for (int i = 0; i < 5'000; ++i) {
    const auto c = static_cast<char>(random() % 256);
    const auto bytes = 1 + random() % (random() % 4 == 0 ? limits::ring_bytes / 2 : 3000);
    if (const auto where = send(b.maker.out, bytes, c)) {
      ++sent;
      held.emplace_back(receive(b.other, where), c);
    }
    while (held.size() > 6 || (random() % 3 == 0 && !held.empty())) {
      const auto which = held.begin() + static_cast<std::ptrdiff_t>(random() % held.size());
      REQUIRE(is_all(which->first, which->second));
      if (random() % 8 == 0)
        std::thread{[gone = std::move(which->first)]() mutable { gone = {}; }}.join();
      held.erase(which);
    }
  }
  REQUIRE(sent > 2'500);
}

TEST_CASE("a place outside the shared memory is refused") {
  both b;
  REQUIRE_FALSE(b.other.in->receive(0, limits::ring_bytes + 1));
  REQUIRE_FALSE(b.other.in->receive(limits::ring_bytes - 1, 2));
  REQUIRE_FALSE(b.other.in->receive(0xffffffff, 1));
  REQUIRE_FALSE(b.other.in->receive(1, 0xffffffff));
  REQUIRE(b.other.in->receive(limits::ring_bytes - 1, 1));
}

TEST_CASE("a count of pieces that were never sent frees nothing") {
  both b;
  REQUIRE(send(b.maker.out, 1000, 'a'));
  for (int i = 0; i < 50; ++i) b.other.in->receive(0, 10); // and let go: more than was sent
  REQUIRE(send(b.maker.out, limits::ring_bytes / 2, 'b'));
  REQUIRE(send(b.maker.out, limits::ring_bytes / 2, 'c'));
}

TEST_CASE("memory that its other side could take away is not mapped") {
  REQUIRE_FALSE(map_rings(descriptor{}, false));
  const descriptor empty{::memfd_create("test", MFD_CLOEXEC)};
  REQUIRE_FALSE(map_rings(empty, false));
  const auto good = make_ring_memory();
  const auto size = ::lseek(good.get(), 0, SEEK_END);
  const descriptor unsealed{::memfd_create("test", MFD_CLOEXEC)};
  REQUIRE(::ftruncate(unsealed.get(), size) == 0);
  REQUIRE_FALSE(map_rings(unsealed, false));
  REQUIRE(::ftruncate(good.get(), 0) != 0);
  REQUIRE(map_rings(good, false));
}

TEST_CASE("of descriptors that come with a message more than are wanted are closed") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()) == 0);
  const descriptor sender{pair[0]};
  const descriptor receiver{pair[1]};
  const descriptor passed{::memfd_create("test", MFD_CLOEXEC)};
  const std::array<int, 5> many{passed.get(), passed.get(), passed.get(), passed.get(),
                                passed.get()};
  const auto send = [&] {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof many)> control{};
    char byte = 'r';
    iovec part{&byte, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    auto* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof many);
    std::memcpy(CMSG_DATA(head), many.data(), sizeof many);
    return ::sendmsg(sender.get(), &message, 0) == 1;
  };
  const auto open_descriptors = [] {
    const std::filesystem::directory_iterator all{"/proc/self/fd"};
    return std::distance(begin(all), end(all));
  };
  const auto before = open_descriptors();
  REQUIRE(send());
  {
    const auto one = take_descriptor(receiver.get(), 1s);
    REQUIRE(one);
    CHECK(one->valid());
  }
  CHECK(open_descriptors() == before);
  REQUIRE(send());
  {
    std::array<char, 8> bytes{};
    const auto packet = take_packet(receiver.get(), bytes);
    CHECK(packet.passed == max_passed_descriptors);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a descriptor goes over a local socket, or word that there is none") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()) == 0);
  descriptor broker{pair[0]};
  const descriptor node{pair[1]};
  REQUIRE_FALSE(take_descriptor(node.get(), 10ms)); // not yet
  REQUIRE(give_descriptor(broker.get(), make_ring_memory()));
  REQUIRE(::write(broker.get(), "next", 4) == 4); // what follows is not taken along
  const auto memory = take_descriptor(node.get(), 1s);
  REQUIRE(memory);
  REQUIRE(map_rings(*memory, false));
  std::array<char, 8> rest{};
  REQUIRE(::read(node.get(), rest.data(), rest.size()) == 4);
  REQUIRE(give_descriptor(broker.get(), descriptor{}));
  const auto none = take_descriptor(node.get(), 1s);
  REQUIRE(none);
  REQUIRE_FALSE(none->valid());
  broker.close();
  REQUIRE_FALSE(take_descriptor(node.get(), 1s));
}
