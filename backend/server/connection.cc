#include "backend/server/connection.h"

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backend/transport/shared_pages.h"
#include "backend/transport_9pfs/flex_ring.h"
#include "backend/transport_9pfs/ninepfs_transport.h"
#include "backend/transport_virtfs/guest_bytes.h"
#include "backend/transport_virtfs/ring.h"
#include "backend/transport_virtfs/virtfs_transport.h"

namespace virtfs::backend {
namespace {

using Opened = absl::StatusOr<std::shared_ptr<Transport>>;

// Persistent mappings: a frontend with a pool of pages as large as the default limit of Linux's gntalloc, and never
// fewer pages than the ring has slots.
constexpr size_t kMappedPages = 1024;

struct VirtfsWire {
  VirtfsWire(const link::Start& start, const link::Connect& connect, SharedPages ring_pages, xengntdev_handle* grants,
             EventChannel& events)
      : pages(std::move(ring_pages)),
        ring(pages.address(), connect.ring_page_order, start.max_chain_slots),
        bytes(grants, start.domid, ChooseWay(connect.feature_persistent != 0), start.options.max_msize,
              std::max<size_t>(kMappedPages, ring.slots())),
        transport(ring, bytes, events, connect.version != 0) {}

  SharedPages pages;
  Ring ring;
  GuestBytes bytes;
  VirtfsTransport transport;
};

struct NinepfsWire {
  NinepfsWire(std::vector<NinepfsPages> mapped, uint32_t max_message, EventChannel& events)
      : pages(std::move(mapped)), transport(pages, max_message, events) {}

  std::vector<NinepfsPages> pages;
  NinepfsTransport transport;
};

Opened OpenVirtfs(const link::Start& start, const link::Connect& connect, xengntdev_handle* grants,
                  EventChannel& events) {
  if (connect.rings != 1 || connect.ring_page_order > XEN_VIRTFS_MAX_RING_PAGE_ORDER) {
    return absl::InvalidArgumentError("the guest's ring has too many pages");
  }
  static_assert((1U << XEN_VIRTFS_MAX_RING_PAGE_ORDER) <= link::kMaxRingPages);
  auto refs = connect.ring_refs;
  SharedPages pages(grants, start.domid, std::span(refs).first(1U << connect.ring_page_order));
  if (!pages.ok()) return absl::ErrnoToStatus(errno, "cannot map the guest's ring");
  const auto wire = std::make_shared<VirtfsWire>(start, connect, std::move(pages), grants, events);
  return std::shared_ptr<Transport>(wire, &wire->transport);
}

Opened OpenNinepfs(const link::Start& start, const link::Connect& connect, xengntdev_handle* grants,
                   EventChannel& events) {
  if (connect.rings < 1 || connect.rings > kMaxNinepfsRings) {
    return absl::InvalidArgumentError("the guest has too many rings");
  }
  std::vector<NinepfsPages> rings;
  for (uint32_t i = 0; i < connect.rings; ++i) {
    absl::StatusOr<NinepfsPages> pages = NinepfsPages::Map(grants, start.domid, connect.ring_refs[i]);
    if (!pages.ok())
      return absl::Status(pages.status().code(), absl::StrCat("ring ", i, ": ", pages.status().message()));
    rings.push_back(*std::move(pages));
  }
  const auto wire = std::make_shared<NinepfsWire>(std::move(rings), start.options.max_msize, events);
  return std::shared_ptr<Transport>(wire, &wire->transport);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const link::Start& start, const link::Connect& connect,
                                                             xengntdev_handle* grants, EventChannel& events) {
  const bool is_9pfs = start.options.transport == options::Transport::kNinepfs;
  Opened transport = (is_9pfs ? OpenNinepfs : OpenVirtfs)(start, connect, grants, events);
  if (!transport.ok()) return transport.status();
  std::unique_ptr<Connection> connection(new Connection(events));
  connection->transport_ = *std::move(transport);
  for (uint32_t i = 0; i < connect.rings; ++i) {
    if (!events.Bind(connect.event_channels[i])) {
      return absl::ErrnoToStatus(errno, "cannot bind the guest's event channel");
    }
  }
  return connection;
}

absl::Status Connection::Serve(Service& service, const PoolOptions& options,
                               std::function<void(const char*)> on_fault) {
  pool_ = std::make_unique<Pool>(*transport_, events_, service, options, std::move(on_fault));
  const Result<void> started = pool_->Start();
  return started.ok() ? absl::OkStatus() : absl::ErrnoToStatus(started.error().value(), "cannot start a thread");
}

Connection::~Connection() {
  if (pool_) pool_->Stop();
  events_.Unbind();
}

}  // namespace virtfs::backend
