#include "backend/server/connection.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backend/transport_virtfs/xen_libraries.h"

namespace virtfs::backend {
namespace {

// Persistent mappings: a frontend with a pool of pages as large as the default limit of Linux's gntalloc, and never
// fewer pages than the ring has slots.
constexpr size_t kMappedPages = 1024;

}  // namespace

Connection::Pages::Pages(xengntdev_handle* grants, void* address, uint32_t count)
    : grants_(grants), address_(address), count_(count) {}

Connection::Pages::~Pages() { xengnttab_unmap(grants_, address_, count_); }

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const link::Start& start, const link::Connect& connect,
                                                             const PoolOptions& pool, xengntdev_handle* grants,
                                                             EventChannel& events, Service& service,
                                                             std::function<void(RingFault)> on_fault) {
  if (connect.ring_page_order > XEN_VIRTFS_MAX_RING_PAGE_ORDER) {
    return absl::InvalidArgumentError("the guest's ring has too many pages");
  }
  auto refs = connect.ring_refs;
  const uint32_t count = 1U << connect.ring_page_order;
  static_assert((1U << XEN_VIRTFS_MAX_RING_PAGE_ORDER) <= link::kMaxRingPages);
  void* ring = xengnttab_map_domain_grant_refs(grants, count, start.domid, refs.data(), PROT_READ | PROT_WRITE);
  if (ring == nullptr) return absl::ErrnoToStatus(errno, "cannot map the guest's ring");
  // From here on the pages are the Connection's to unmap.
  std::unique_ptr<Connection> connection(
      new Connection(start, connect, pool, grants, ring, events, service, std::move(on_fault)));
  if (!events.Bind(connect.event_channel)) return absl::ErrnoToStatus(errno, "cannot bind the guest's event channel");
  if (const Result<void> started = connection->pool_.Start(); !started.ok()) {
    return absl::ErrnoToStatus(started.error().value(), "cannot start a thread");
  }
  return connection;
}

Connection::Connection(const link::Start& start, const link::Connect& connect, const PoolOptions& pool,
                       xengntdev_handle* grants, void* ring, EventChannel& events, Service& service,
                       std::function<void(RingFault)> on_fault)
    : events_(events),
      pages_(grants, ring, 1U << connect.ring_page_order),
      ring_(ring, connect.ring_page_order, start.max_chain_slots),
      bytes_(grants, start.domid, ChooseWay(connect.feature_persistent != 0), start.options.max_msize,
             std::max<size_t>(kMappedPages, ring_.slots())),
      transport_(ring_, bytes_, events_, connect.version != 0),
      pool_(transport_, events_, service, pool, std::move(on_fault)) {}

Connection::~Connection() {
  pool_.Stop();
  events_.Unbind();
}

}  // namespace virtfs::backend
