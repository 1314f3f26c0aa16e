#include "backend/transport_virtfs/chain.h"

namespace virtfs::backend {
namespace {

constexpr uint32_t kPageSize = XEN_VIRTFS_PAGE_SIZE;
constexpr uint16_t kKnownFlags = XEN_VIRTFSF_MORE | XEN_VIRTFSF_WRITE;  // INDIRECT is not offered yet

bool IsWrite(const Slot& slot) { return (slot.flags & XEN_VIRTFSF_WRITE) != 0; }

// How many bytes the slot names from its offset on; 0: not within the page.
uint32_t LengthOf(const Slot& slot, bool sized) {
  if (slot.offset >= kPageSize) return 0;
  const uint32_t rest = kPageSize - slot.offset;
  if (!sized || slot.size == 0) return rest;
  return slot.size <= rest ? slot.size : 0;
}

}  // namespace

int16_t ParseChain(std::span<const Slot> slots, bool sized, Chain& chain) {
  chain.read.clear();
  chain.write.clear();
  chain.read_size = 0;
  chain.capacity = 0;

  for (const Slot& slot : slots) {
    if ((slot.flags & ~kKnownFlags) != 0) return XEN_VIRTFS_STATUS_BAD_FLAGS;
  }

  if (slots.empty() || IsWrite(slots.front())) return XEN_VIRTFS_STATUS_BAD_ORDER;
  for (size_t i = 1; i < slots.size(); ++i) {
    if (IsWrite(slots[i - 1]) && !IsWrite(slots[i])) return XEN_VIRTFS_STATUS_BAD_ORDER;
  }

  for (const Slot& slot : slots) {
    const uint32_t length = LengthOf(slot, sized);
    if (length == 0) return XEN_VIRTFS_STATUS_BAD_EXTENT;
    const Extent extent{.gref = slot.gref, .offset = slot.offset, .size = static_cast<uint16_t>(length)};
    if (IsWrite(slot)) {
      chain.write.push_back(extent);
      chain.capacity += length;
    } else {
      chain.read.push_back(extent);
      chain.read_size += length;
    }
  }

  if (chain.capacity < XEN_VIRTFS_MIN_CAPACITY) return XEN_VIRTFS_STATUS_NO_ROOM;
  if (chain.read_size < XEN_VIRTFS_MIN_REQUEST) return XEN_VIRTFS_STATUS_SHORT_REQUEST;
  return XEN_VIRTFS_STATUS_OKAY;
}

}  // namespace virtfs::backend
