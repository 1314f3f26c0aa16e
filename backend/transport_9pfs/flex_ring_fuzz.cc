// Hostile 9pfs rings: any indices, any bytes, changed between any two steps of the backend.
//
// Input: order (2 bits of a byte), where the indices start; then steps of one byte each: the guest sets one of the four
// indices (by a 32-bit number or a small step), writes bytes, or the backend looks, reads, or sends a reply.
//
// Properties: a message that is let through is between 7 bytes and the bound; positions move by exactly its size; a
// reply is published by exactly its size, where there was room and nowhere else; a fault stays; no access outside the
// pages (they are exactly as large as the order says).

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "backend/transport_9pfs/flex_ring.h"

namespace virtfs::backend {
namespace {

constexpr uint32_t kWords[] = {0, 4, 64, 68};  // in_cons, in_prod, out_cons, out_prod
constexpr uint32_t kMaxMessage = 1500;

void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "violated: %s\n", what);
  abort();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  size_t left() const { return left_; }
  template <typename T>
  T Take() {
    T value{};
    const size_t size = std::min(sizeof(T), left_);
    if (size > 0) memcpy(&value, data_, size);
    data_ += size;
    left_ -= size;
    return value;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

struct Guest {
  explicit Guest(uint32_t order) : data(size_t{4096} << order) {}
  uint32_t& Word(uint32_t offset) { return interface[offset / 4]; }

  std::vector<uint32_t> interface = std::vector<uint32_t>(1024);
  std::vector<uint8_t> data;
};

void LookAndRead(FlexRing& ring, bool read) {
  const bool failed = ring.fault() != FlexFault::kNone;
  p9::Header header;
  const FlexRing::Taken taken = ring.Next(header);
  Require(!failed || taken == FlexRing::Taken::kFault, "a fault stays");
  if (taken != FlexRing::Taken::kMessage) return;
  Require(header.size >= 7 && header.size <= kMaxMessage, "a message is within its bounds");
  if (!read) return;
  uint32_t before;
  Require(ring.Published(before) || ring.fault() != FlexFault::kNone, "a bad index is a fault");
  std::vector<uint8_t> message(header.size);
  ring.Read(message);
  const Result<p9::Header> copied = p9::ParseHeader(message);
  Require(copied.ok() && *copied == header, "the header is the one that was checked");
}

void Send(FlexRing& ring, Guest& guest, uint32_t size) {
  const uint32_t prod_before = guest.Word(4);
  const bool had_room = ring.HasRoom(size);
  std::vector<uint8_t> reply(size, 0x55);
  switch (ring.Write(reply)) {
    case FlexRing::Sent::kSent:
      Require(had_room, "no reply goes where there is no room");
      break;
    case FlexRing::Sent::kNoRoom:
      Require(!had_room && guest.Word(4) == prod_before, "nothing was published");
      break;
    case FlexRing::Sent::kFault:
      Require(guest.Word(4) == prod_before && ring.fault() != FlexFault::kNone, "a fault publishes nothing");
      break;
  }
}

}  // namespace
}  // namespace virtfs::backend

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace virtfs::backend;
  Input input(data, size);
  const uint32_t order = input.Take<uint8_t>() % 4;
  Guest guest(order);
  const auto start = input.Take<uint32_t>();
  for (const uint32_t word : kWords) guest.Word(word) = start;
  FlexRing ring(guest.interface.data(), guest.data.data(), order, std::min(kMaxMessage, FlexRingSize(order)));
  while (input.left() > 0) {
    const auto step = input.Take<uint8_t>();
    switch (step % 8) {
      case 0:
        guest.Word(kWords[step / 8 % 4]) = input.Take<uint32_t>();
        break;
      case 1:
      case 2:
        guest.Word(kWords[step / 8 % 4]) += input.Take<uint16_t>();
        break;
      case 3: {
        const auto at = input.Take<uint16_t>();
        for (uint32_t i = 0; i < step / 8U; ++i) guest.data[(at + i) % guest.data.size()] = input.Take<uint8_t>();
        break;
      }
      case 4:
        Send(ring, guest, 7 + input.Take<uint16_t>() % 4000);
        break;
      default:
        LookAndRead(ring, step % 8 != 5);
        break;
    }
  }
  return 0;
}
