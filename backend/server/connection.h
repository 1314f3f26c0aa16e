// Connection: one mapping of a guest's rings and everything that serves them, from Connect to Stop.
//
// Threads: one, the owner's; the serving threads are inside.
// Trust: the numbers in Connect are the guest's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/link/messages.h"
#include "backend/server/pool.h"
#include "backend/server/service.h"
#include "backend/transport/event_channel.h"
#include "backend/transport/transport.h"

struct xengntdev_handle;

namespace virtfs::backend {

class Connection {
 public:
  // Maps the rings that `connect` names, of the kind that the share's options say, and binds their event channels. All
  // pointers and references are borrowed. `events` is open and not bound.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const link::Start& start, const link::Connect& connect,
                                                          xengntdev_handle* grants, EventChannel& events);

  // The longest message, request or reply, for which there is room.
  uint32_t max_message() const { return transport_->max_message(); }

  // Begins to serve. Once.
  absl::Status Serve(Service& service, const PoolOptions& options, std::function<void(const char*)> on_fault);

  // Answers what has been published, then lets go of all that is the guest's: threads first, then mappings.
  ~Connection();

 private:
  explicit Connection(EventChannel& events) : events_(events) {}

  EventChannel& events_;
  std::shared_ptr<Transport> transport_;  // and what it stands on
  std::unique_ptr<Pool> pool_;
};

}  // namespace virtfs::backend
