// GuestBytes: how the bytes of one guest's chains are reached, whichever way costs least.
//
//     way          what one request costs                            on real Xen, in dom0, 1 page / 128 pages
//     persistent   nothing once its pages are mapped (a memcpy)          2 us /   230 us
//     copy         one grant_copy for the request, one for the reply    40 us /   650 us
//     map          one map and one unmap for each half                 500 us / 1,080 us
//
// So: persistent where it was negotiated, else copy. ChooseWay is the one place that decides.
//
// A half of a chain goes through: Open, (Fetch,) ..., Close of its window. Close ends before the chain's response is
// pushed, since the guest may take its pages back then.
//
// Errors: false: a page could not be mapped or copied, BAD_GREF. Close the windows even so.
// Threads: any; a half belongs to its request's thread.
// Trust: the first `fetched` bytes of a ReadHalf's buffer are what the guest wrote, copied once.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/transport/buffer_pool.h"
#include "backend/transport_virtfs/chain.h"
#include "backend/transport_virtfs/grant_mappings.h"
#include "base/payload.h"

namespace virtfs::backend {

enum class Way { kPersistent, kCopy, kMap };

// By what was negotiated (feature-persistent on both sides).
Way ChooseWay(bool persistent);

// Where the guest's pages of one half lie while they are mapped.
struct Window {
  std::vector<iovec> segments;
  std::vector<GrantMappings::Region*> pins;  // Way::kPersistent
  void* mapping = nullptr;                   // Way::kMap
  uint32_t mapped_pages = 0;
};

// The half that holds the 9P request.
struct ReadHalf {
  std::span<const Extent> extents;
  Buffer buffer;
  uint32_t fetched = 0;  // bytes at the beginning of `buffer` that are private copies
  Window window;
  std::vector<iovec> payload;
};

// The half that takes the 9P reply.
struct WriteHalf {
  std::span<const Extent> extents;
  Buffer buffer;  // the reply's head; with Way::kCopy all of it
  Window window;
  std::vector<iovec> room;
};

class GuestBytes {
 public:
  // `handle` is borrowed. No reply is longer than `max_reply` bytes. `max_pages` is a bound for persistent mappings.
  GuestBytes(xengntdev_handle* handle, uint32_t domid, Way way, uint32_t max_reply, size_t max_pages);

  // Copies at least the first 7 bytes of a request of `size` bytes (or more than that, where it is free).
  bool OpenRead(std::span<const Extent> extents, uint32_t size, ReadHalf& half);

  // Copies the first `head` bytes. The bytes from there to `size`, which is the whole message's length and within the
  // extents, become `data`. What OpenRead has copied is not looked at again.
  bool Fetch(ReadHalf& half, uint32_t head, uint32_t size, Payload& data);

  // Makes private memory for a reply's head of up to min(capacity, max_reply) bytes, and `room` for a payload that
  // begins at the reply's 12th byte.
  bool OpenWrite(std::span<const Extent> extents, uint32_t capacity, WriteHalf& half, Payload& room);

  // Brings the reply to the guest: `head` bytes from the buffer; the `payload` bytes behind them stand in `room`.
  bool Deliver(WriteHalf& half, uint32_t head, uint32_t payload);

  // What a reply in a write half of that capacity may have at most.
  uint32_t ReplyBound(uint32_t capacity) const { return std::min(capacity, max_reply_); }

  // The guest may take back its pages of that half. Private copies stay until its buffer goes.
  void Close(Window& window);

  size_t mapped_pages() { return mappings_.mapped_pages(); }

 private:
  bool OpenWindow(std::span<const Extent> extents, int protection, Window& window);

  xengntdev_handle* const handle_;
  const uint32_t domid_;
  const Way way_;
  const uint32_t max_reply_;
  BufferPool buffers_;
  GrantMappings mappings_;
};

// Copies bytes [from, to) of what `extents` name, to or from `bytes`, which begins at byte `from`. One call of Xen.
enum class Direction { kFromGuest, kToGuest };
bool GrantCopy(xengntdev_handle* handle, uint32_t domid, Direction direction, std::span<const Extent> extents,
               uint32_t from, uint32_t to, uint8_t* bytes);

}  // namespace virtfs::backend
