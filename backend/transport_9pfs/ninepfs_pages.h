// NinepfsPages: the memory of one 9pfs ring, mapped once and for good: the page with the indices, and the data pages
// that it names.
//
// Errors: absl::Status, a sentence for the operator.
// Threads: a value.
// Trust: the guest wrote the page; order and references are loaded once each and checked here.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "backend/transport/shared_pages.h"

namespace virtfs::backend {

struct NinepfsPages {
  // Two calls of Xen, whatever the order.
  static absl::StatusOr<NinepfsPages> Map(xengntdev_handle* grants, uint32_t domid, uint32_t interface_ref);

  SharedPages interface;
  SharedPages data;
  uint32_t order = 0;  // at least 1: there is room for the least msize
};

}  // namespace virtfs::backend
