// GrantMappings: persistent grants. A guest's pages stay mapped, found again by their grant reference, so that a
// request whose pages have been seen before costs no call of Xen.
//
// Pages are mapped for reading and writing in regions of up to kRegionPages (one call maps and one call unmaps a
// region). What is mapped is at most `max_pages`, or what the requests in flight hold if that is more: regions used
// longest ago go first.
//
// Errors: false where a page cannot be mapped (not granted, granted read-only, revoked before it was ever mapped).
// Threads: any.
// Trust: grefs are the guest's; it may have the page mapped change under our hands, but never make it go away.
// Source: docs/virtfs.md, section 8.3.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "backend/transport_virtfs/chain.h"

struct xengntdev_handle;

namespace virtfs::backend {

class GrantMappings {
 public:
  static constexpr uint32_t kRegionPages = 16;

  // Pages that were mapped by one call.
  struct Region {
    uint8_t* address;
    std::vector<uint32_t> grefs;
    uint32_t pins = 0;
    std::list<Region>::iterator self;
  };

  // `handle` is borrowed.
  GrantMappings(xengntdev_handle* handle, uint32_t domid, size_t max_pages);
  // Nothing may be pinned any more.
  ~GrantMappings();
  GrantMappings(const GrantMappings&) = delete;
  GrantMappings& operator=(const GrantMappings&) = delete;

  // Appends where the extents lie, neighbours joined, to `segments`, and to `pins` what keeps them there until Unpin.
  // False: nothing was pinned or appended.
  bool Pin(std::span<const Extent> extents, std::vector<iovec>& segments, std::vector<Region*>& pins);
  void Unpin(std::vector<Region*>& pins);

  // For tests and statistics.
  size_t mapped_pages();

 private:
  struct Page {
    Region* region;
    uint32_t index;
  };

  // All with mutex_ held.
  bool MapMissing(std::span<const Extent> extents);
  bool MapRegion(std::span<uint32_t> grefs);
  void MakeRoom(size_t pages);
  void Unmap(std::list<Region>::iterator region);

  xengntdev_handle* const handle_;
  const uint32_t domid_;
  const size_t max_pages_;

  std::mutex mutex_;
  // All below: mutex_.
  size_t mapped_ = 0;
  std::list<Region> regions_;  // used longest ago first
  absl::flat_hash_map<uint32_t, Page> pages_;
  std::vector<uint32_t> missing_;  // MapMissing's own, kept for its memory
};

// Appends the `size` bytes at `address` to `segments`, or lengthens its last one if they lie right behind it.
void AppendSegment(std::vector<iovec>& segments, uint8_t* address, size_t size);

}  // namespace virtfs::backend
