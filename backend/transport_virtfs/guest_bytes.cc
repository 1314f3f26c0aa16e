#include "backend/transport_virtfs/guest_bytes.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "backend/transport/guest_copy.h"
#include "backend/transport/xen_libraries.h"

namespace virtfs::backend {
namespace {

constexpr uint32_t kHeaderSize = 7;          // size[4] type[1] tag[2]
constexpr uint32_t kPayloadOffset = 11;      // size[4] Rread tag[2] count[4]
constexpr size_t kMaxKeptBytes = 8UL << 20;  // private memory kept for later requests
constexpr size_t kCopyBatch = 256;           // segments of one call, all that a one-page ring can name

// The bytes [from, to) of `segments`.
void Slice(std::span<const iovec> segments, size_t from, size_t to, std::vector<iovec>& slice) {
  slice.clear();
  size_t begin = 0;
  for (const iovec& segment : segments) {
    const size_t end = begin + segment.iov_len;
    const size_t low = std::max(from, begin);
    const size_t high = std::min(to, end);
    if (low < high) AppendSegment(slice, static_cast<uint8_t*>(segment.iov_base) + (low - begin), high - low);
    if (end >= to) break;
    begin = end;
  }
}

// Calls copy(address, offset, size) for the pieces of segments' bytes [from, to); `offset` counts from `from`.
template <typename Copy>
void ForEachPiece(std::span<const iovec> segments, size_t from, size_t to, Copy copy) {
  size_t begin = 0;
  for (const iovec& segment : segments) {
    const size_t end = begin + segment.iov_len;
    const size_t low = std::max(from, begin);
    const size_t high = std::min(to, end);
    if (low < high) copy(static_cast<uint8_t*>(segment.iov_base) + (low - begin), low - from, high - low);
    if (end >= to) break;
    begin = end;
  }
}

// How many bytes the first extents hold that bring a request's header: one page's worth if the first is long enough.
uint32_t HeaderReach(std::span<const Extent> extents) {
  uint32_t reach = 0;
  for (const Extent& extent : extents) {
    reach += extent.size;
    if (reach >= kHeaderSize) break;
  }
  return reach;
}

}  // namespace

Way ChooseWay(bool persistent) { return persistent ? Way::kPersistent : Way::kCopy; }

bool GrantCopy(xengntdev_handle* handle, uint32_t domid, Direction direction, std::span<const Extent> extents,
               uint32_t from, uint32_t to, uint8_t* bytes) {
  const bool to_guest = direction == Direction::kToGuest;
  xengnttab_grant_copy_segment_t segments[kCopyBatch];
  uint32_t count = 0;
  const auto flush = [&] {
    const uint32_t filled = std::exchange(count, 0);
    if (filled == 0) return true;
    if (xengnttab_grant_copy(handle, filled, segments) != 0) return false;
    return std::all_of(segments, segments + filled, [](const auto& segment) { return segment.status == GNTST_okay; });
  };
  uint32_t begin = 0;
  for (const Extent& extent : extents) {
    if (begin >= to) break;
    const uint32_t low = std::max(from, begin);
    const uint32_t high = std::min(to, begin + extent.size);
    if (low < high) {
      if (count == kCopyBatch && !flush()) return false;
      xengnttab_grant_copy_segment_t& segment = segments[count++];
      segment = {};
      auto& guest = to_guest ? segment.dest : segment.source;
      auto& own = to_guest ? segment.source : segment.dest;
      guest.foreign.ref = extent.gref;
      guest.foreign.offset = static_cast<uint16_t>(extent.offset + (low - begin));
      guest.foreign.domid = static_cast<uint16_t>(domid);
      own.virt = bytes + (low - from);
      segment.len = static_cast<uint16_t>(high - low);
      segment.flags = to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
    }
    begin += extent.size;
  }
  return flush();
}

GuestBytes::GuestBytes(xengntdev_handle* handle, uint32_t domid, Way way, uint32_t max_reply, size_t max_pages)
    : handle_(handle),
      domid_(domid),
      way_(way),
      max_reply_(max_reply),
      buffers_(kMaxKeptBytes),
      mappings_(handle, domid, max_pages) {}

bool GuestBytes::OpenWindow(std::span<const Extent> extents, int protection, Window& window) {
  if (way_ == Way::kPersistent) return mappings_.Pin(extents, window.segments, window.pins);

  std::vector<uint32_t> grefs;
  grefs.reserve(extents.size());
  for (const Extent& extent : extents) grefs.push_back(extent.gref);
  const auto pages = static_cast<uint32_t>(grefs.size());
  window.mapping = xengnttab_map_domain_grant_refs(handle_, pages, domid_, grefs.data(), protection);
  if (window.mapping == nullptr) return false;
  window.mapped_pages = pages;
  uint8_t* page = static_cast<uint8_t*>(window.mapping);
  for (const Extent& extent : extents) {
    AppendSegment(window.segments, page + extent.offset, extent.size);
    page += XEN_VIRTFS_PAGE_SIZE;
  }
  return true;
}

void GuestBytes::Close(Window& window) {
  window.segments.clear();
  if (!window.pins.empty()) mappings_.Unpin(window.pins);
  if (window.mapping != nullptr) {
    xengnttab_unmap(handle_, std::exchange(window.mapping, nullptr), std::exchange(window.mapped_pages, 0));
  }
}

bool GuestBytes::OpenRead(std::span<const Extent> extents, uint32_t size, ReadHalf& half) {
  assert(size >= kHeaderSize);
  half.extents = extents;
  if (way_ == Way::kCopy) {
    // A short request comes whole with its first copy; of a long one the beginning, as its order among the others
    // depends on it, and the rest when no other request has to wait for that.
    half.buffer = buffers_.Get(size);
    half.fetched = HeaderReach(extents);
    if (half.fetched < size && size <= XEN_VIRTFS_PAGE_SIZE) half.fetched = size;
    return GrantCopy(handle_, domid_, Direction::kFromGuest, extents, 0, half.fetched, half.buffer.data());
  }
  if (!OpenWindow(extents, PROT_READ, half.window)) return false;
  half.buffer = buffers_.Get(kHeaderSize);
  half.fetched = kHeaderSize;
  ForEachPiece(half.window.segments, 0, kHeaderSize, [&](uint8_t* at, size_t offset, size_t count) {
    CopyFromGuest({half.buffer.data() + offset, count}, at);
  });
  return true;
}

bool GuestBytes::Fetch(ReadHalf& half, uint32_t head, uint32_t size, Payload& data) {
  assert(head >= kHeaderSize && head <= size);
  if (way_ == Way::kCopy) {
    if (half.fetched < size) {
      const uint32_t from = std::exchange(half.fetched, size);
      if (!GrantCopy(handle_, domid_, Direction::kFromGuest, half.extents, from, size, half.buffer.data() + from)) {
        return false;
      }
    }
    half.payload.clear();
    if (head < size) AppendSegment(half.payload, half.buffer.data() + head, size - head);
  } else {
    if (head > XEN_VIRTFS_PAGE_SIZE) {
      Buffer longer = buffers_.Get(head);
      std::memcpy(longer.data(), half.buffer.data(), half.fetched);
      half.buffer = std::move(longer);
    }
    const uint32_t from = half.fetched;
    ForEachPiece(half.window.segments, from, head, [&](uint8_t* at, size_t offset, size_t count) {
      CopyFromGuest({half.buffer.data() + from + offset, count}, at);
    });
    half.fetched = head;
    Slice(half.window.segments, head, size, half.payload);
  }
  data = Payload(half.payload, size - head);
  return true;
}

bool GuestBytes::OpenWrite(std::span<const Extent> extents, uint32_t capacity, WriteHalf& half, Payload& room) {
  assert(capacity >= kPayloadOffset);
  half.extents = extents;
  const uint32_t size = ReplyBound(capacity);
  half.buffer = buffers_.Get(size);
  half.room.clear();
  if (way_ == Way::kCopy) {
    if (size > kPayloadOffset) AppendSegment(half.room, half.buffer.data() + kPayloadOffset, size - kPayloadOffset);
  } else {
    if (!OpenWindow(extents, PROT_READ | PROT_WRITE, half.window)) return false;
    Slice(half.window.segments, kPayloadOffset, size, half.room);
  }
  room = Payload(half.room, size - kPayloadOffset);
  return true;
}

bool GuestBytes::Deliver(WriteHalf& half, uint32_t head, uint32_t payload) {
  assert(payload == 0 || head == kPayloadOffset);
  if (way_ == Way::kCopy) {
    return GrantCopy(handle_, domid_, Direction::kToGuest, half.extents, 0, head + payload, half.buffer.data());
  }
  ForEachPiece(half.window.segments, 0, head, [&](uint8_t* at, size_t offset, size_t count) {
    CopyToGuest(at, {half.buffer.data() + offset, count});
  });
  return true;
}

}  // namespace virtfs::backend
