// Connection: one mapping of a guest's ring and everything that serves it, from Connect to Stop.
//
// Threads: one, the owner's; the serving threads are inside.
// Trust: the numbers in Connect are the guest's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "backend/link/messages.h"
#include "backend/server/pool.h"
#include "backend/server/service.h"
#include "backend/transport_virtfs/event_channel.h"
#include "backend/transport_virtfs/guest_bytes.h"
#include "backend/transport_virtfs/ring.h"
#include "backend/transport_virtfs/transport.h"

struct xengntdev_handle;

namespace virtfs::backend {

class Connection {
 public:
  // All pointers and references are borrowed. `events` is open and not bound.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const link::Start& start, const link::Connect& connect,
                                                          const PoolOptions& pool, xengntdev_handle* grants,
                                                          EventChannel& events, Service& service,
                                                          std::function<void(RingFault)> on_fault);

  // Answers what has been published, then lets go of all that is the guest's: threads first, then mappings.
  ~Connection();

 private:
  // The ring's pages, mapped as long as this lives.
  class Pages {
   public:
    Pages(xengntdev_handle* grants, void* address, uint32_t count);
    ~Pages();
    void* address() const { return address_; }

   private:
    xengntdev_handle* const grants_;
    void* const address_;
    const uint32_t count_;
  };

  Connection(const link::Start& start, const link::Connect& connect, const PoolOptions& pool, xengntdev_handle* grants,
             void* ring, EventChannel& events, Service& service, std::function<void(RingFault)> on_fault);

  EventChannel& events_;
  Pages pages_;
  Ring ring_;
  GuestBytes bytes_;
  Transport transport_;
  Pool pool_;
};

}  // namespace virtfs::backend
