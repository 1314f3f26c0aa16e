// FlexRing: the backend's side of one 9pfs ring (Xen's io/9pfs.h; docs/9pfs.md): two byte streams in a guest's memory,
// requests ("out", as the guest sees it) and replies ("in"), each cut into messages by their size[4].
//
// Every shared word is loaded once per decision into a local, checked, and then used. Our own positions live in private
// memory; nothing that was written to the ring is read back. What a request says of its size is copied once, with the
// rest of its header, and holds until the whole request is there.
//
// Errors: a FlexFault, after which nothing on the ring can be trusted. It stays.
// Threads: one at a time in Next, Read, Published and Reached; one at a time in Write; any in the rest; all of them at
// once.
// Trust: the guest may write every byte of the pages at any moment.
// Source: /usr/include/xen/io/9pfs.h and ring.h for the layout, docs/misc/9pfs.pandoc of Xen for the meaning.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "protocol/codec.h"

namespace virtfs::backend {

// Xen's XEN_FLEX_RING_SIZE: how many bytes each direction has.
constexpr uint32_t FlexRingSize(uint32_t order) { return uint32_t{1} << (order + 11); }
inline constexpr uint32_t kMaxFlexRingOrder = 9;

enum class FlexFault {
  kNone,
  kOverflow,      // out_prod is more than a ring's length ahead of out_cons, or behind it
  kUnderflow,     // in_cons is ahead of in_prod, or more than a ring's length behind it
  kShortMessage,  // a size below that of a header
  kLongMessage,   // a size above the most that was agreed on, or than the ring has
};

// A sentence for the operator.
const char* Describe(FlexFault fault);

class FlexRing {
 public:
  enum class Taken { kMessage, kNothing, kFault };
  enum class Sent { kSent, kNoRoom, kFault };

  // `interface` is the page with the indices, `data` the 2^order contiguous pages; both outlive the FlexRing. It begins
  // where the frontend has set the indices. `max_message`: no request is longer; FlexRingSize(order) at most.
  FlexRing(void* interface, void* data, uint32_t order, uint32_t max_message);

  // --- requests ---
  // Whether a whole request is there, and its header.
  Taken Next(p9::Header& header);

  // After kMessage: copies it, header->size bytes, and gives its bytes back to the guest.
  void Read(std::span<uint8_t> message);

  // A hint, as all const methods are: whether Next would find something, faults included.
  bool Waiting() const;

  // The position up to which the guest has published by now. False: a fault.
  bool Published(uint32_t& position);
  // Whether all requests that ended before `position` have been read.
  bool Reached(uint32_t position) const;

  // --- replies ---
  // Publishes a whole reply in one step.
  Sent Write(std::span<const uint8_t> reply);
  bool HasRoom(uint32_t size) const;

  uint32_t size() const { return size_; }
  // Of either direction.
  FlexFault fault() const { return fault_.load(std::memory_order_relaxed); }

 private:
  std::atomic_ref<uint32_t> Word(uint32_t offset) const;
  bool LoadProd();
  void CopyOut(uint32_t position, std::span<uint8_t> to) const;
  Taken Fail(FlexFault fault);

  uint8_t* const interface_;
  uint8_t* const in_;
  uint8_t* const out_;
  const uint32_t size_;
  const uint32_t max_message_;

  std::atomic<FlexFault> fault_ = FlexFault::kNone;

  // Requests.
  uint32_t known_prod_;                             // the last out_prod that was loaded and found good
  std::atomic<uint32_t> out_cons_;                  // where the next request begins
  std::atomic<uint32_t> needed_ = p9::kHeaderSize;  // bytes from there on that must be there to go on
  std::array<uint8_t, p9::kHeaderSize> header_{};   // of the next request, once needed_ is its size
  bool has_header_ = false;

  // Replies.
  std::atomic<uint32_t> in_prod_;
};

}  // namespace virtfs::backend
