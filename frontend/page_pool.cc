#include "frontend/page_pool.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno.h"

extern "C" {
#include <xengnttab.h>
}

namespace virtfs::frontend {

absl::StatusOr<std::unique_ptr<GrantHandle>> GrantHandle::Open() {
  xengntshr_handle* handle = xengntshr_open(nullptr, 0);
  if (handle == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot open the kernel's grant allocator (is the module xen-gntalloc "
                     "loaded?): ",
                     Errno::Last().message()));
  }
  return std::unique_ptr<GrantHandle>(new GrantHandle(handle));
}

GrantHandle::~GrantHandle() { xengntshr_close(handle_); }

absl::StatusOr<std::unique_ptr<PagePool>> PagePool::Create(const GrantHandle& grants, uint32_t backend, uint32_t want,
                                                           uint32_t least, bool writable) {
  for (uint32_t count = want; count >= least; count /= 2) {
    std::vector<uint32_t> grefs(count);
    void* memory =
        xengntshr_share_pages(grants.get(), backend, static_cast<int>(count), grefs.data(), writable ? 1 : 0);
    if (memory == nullptr) continue;
    std::memset(memory, 0, size_t{count} * XEN_VIRTFS_PAGE_SIZE);
    return std::unique_ptr<PagePool>(new PagePool(grants, static_cast<uint8_t*>(memory), std::move(grefs)));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot grant ", least, " pages to domain ", backend,
                   " (xen-gntalloc's parameter `limit` bounds them): ", Errno::Last().message()));
}

PagePool::PagePool(const GrantHandle& grants, uint8_t* memory, std::vector<uint32_t> grefs)
    : grants_(grants), memory_(memory), grefs_(std::move(grefs)) {
  free_.reserve(grefs_.size());
  for (uint32_t i = size(); i > 0; --i) free_.push_back(static_cast<Index>(i - 1));
}

PagePool::~PagePool() { xengntshr_unshare(grants_.get(), memory_, size()); }

PagePool::Index PagePool::Allocate() {
  const Index page = free_.back();
  free_.pop_back();
  return page;
}

}  // namespace virtfs::frontend
