#include "backend/transport/shared_pages.h"

#include <sys/mman.h>

#include "backend/transport/xen_libraries.h"

namespace virtfs::backend {

SharedPages::SharedPages(xengntdev_handle* grants, uint32_t domid, std::span<uint32_t> refs)
    : grants_(grants), count_(static_cast<uint32_t>(refs.size())) {
  address_ = xengnttab_map_domain_grant_refs(grants, count_, domid, refs.data(), PROT_READ | PROT_WRITE);
}

SharedPages::~SharedPages() {
  if (address_ != nullptr) xengnttab_unmap(grants_, address_, count_);
}

}  // namespace virtfs::backend
