#include "backend/transport_9pfs/ninepfs_pages.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backend/transport_9pfs/flex_ring.h"
#include "protocol/constants.h"

extern "C" {
#include <xen/io/9pfs.h>
}

namespace virtfs::backend {
namespace {

constexpr uint32_t kOrder = offsetof(xen_9pfs_data_intf, ring_order);
constexpr uint32_t kRefs = offsetof(xen_9pfs_data_intf, ref);
static_assert(kRefs + (sizeof(uint32_t) << kMaxFlexRingOrder) <= 4096, "all references are in one page");

uint32_t Load(const SharedPages& page, uint32_t offset) {
  auto* const word = reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(page.address()) + offset);
  return std::atomic_ref<uint32_t>(*word).load(std::memory_order_relaxed);
}

}  // namespace

absl::StatusOr<NinepfsPages> NinepfsPages::Map(xengntdev_handle* grants, uint32_t domid, uint32_t interface_ref) {
  NinepfsPages pages;
  pages.interface = SharedPages(grants, domid, {&interface_ref, 1});
  if (!pages.interface.ok()) return absl::ErrnoToStatus(errno, "cannot map the guest's ring");
  pages.order = Load(pages.interface, kOrder);
  if (pages.order > kMaxFlexRingOrder || FlexRingSize(pages.order) < p9::kMinMsize) {
    return absl::InvalidArgumentError(absl::StrCat("the guest wrote ring_order = ", pages.order,
                                                   ", where a number from 1 to ", kMaxFlexRingOrder, " is due"));
  }
  std::vector<uint32_t> refs(size_t{1} << pages.order);
  for (uint32_t i = 0; i < refs.size(); ++i) {
    refs[i] = Load(pages.interface, kRefs + i * static_cast<uint32_t>(sizeof(uint32_t)));
  }
  pages.data = SharedPages(grants, domid, refs);
  if (!pages.data.ok()) return absl::ErrnoToStatus(errno, "cannot map the pages of the guest's ring");
  return pages;
}

}  // namespace virtfs::backend
