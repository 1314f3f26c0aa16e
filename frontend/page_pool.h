// GrantHandle, PagePool: pages of this guest that a backend may use, granted once and kept until the end.
//
// Errors: absl::Status, for the operator: gntalloc is missing, or its limit (1,024 pages of a guest by default)
// reached. Threads: one at a time. Trust: the backend can read, and if the pool is writable write, every page at any
// time. Source: /usr/include/xengnttab.h (xengntshr).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "xen/io/virtfs.h"

struct xengntdev_handle;

namespace virtfs::frontend {

// An open handle on the kernel's grant allocator. Must outlive what was granted through it.
class GrantHandle {
 public:
  static absl::StatusOr<std::unique_ptr<GrantHandle>> Open();
  ~GrantHandle();
  GrantHandle(const GrantHandle&) = delete;
  GrantHandle& operator=(const GrantHandle&) = delete;

  xengntdev_handle* get() const { return handle_; }

 private:
  explicit GrantHandle(xengntdev_handle* handle) : handle_(handle) {}

  xengntdev_handle* handle_;
};

class PagePool {
 public:
  using Page = std::span<uint8_t, XEN_VIRTFS_PAGE_SIZE>;
  // Names a page of the pool.
  using Index = uint16_t;

  // Grants `want` zeroed pages to domain `backend`, or, where the kernel refuses so many, half as many again and again,
  // but at least `least`.
  static absl::StatusOr<std::unique_ptr<PagePool>> Create(const GrantHandle& grants, uint32_t backend, uint32_t want,
                                                          uint32_t least, bool writable);
  // Ends the grants: only when the backend is Closed or gone.
  ~PagePool();
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  uint32_t size() const { return static_cast<uint32_t>(grefs_.size()); }
  uint32_t free() const { return static_cast<uint32_t>(free_.size()); }

  // Only while free() > 0. The page returned last comes first: the backend has it mapped, and caches know it.
  Index Allocate();
  void Release(Index page) { free_.push_back(page); }

  Page page(Index page) const { return Page(memory_ + size_t{page} * XEN_VIRTFS_PAGE_SIZE, XEN_VIRTFS_PAGE_SIZE); }
  uint32_t gref(Index page) const { return grefs_[page]; }

 private:
  PagePool(const GrantHandle& grants, uint8_t* memory, std::vector<uint32_t> grefs);

  const GrantHandle& grants_;
  uint8_t* memory_;
  std::vector<uint32_t> grefs_;
  std::vector<Index> free_;
};

}  // namespace virtfs::frontend
