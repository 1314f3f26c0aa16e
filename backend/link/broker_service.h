// BrokerService: the keeper's side of host::HandleBroker for one server.
//
// The server may have been taken over by its guest. So it can name only tokens that it was given itself, can have kept
// only files that lie on its export's own mount (a server holds descriptors of nothing else, but a kept handle would
// outlive any mistake about that), and only so many. The answers never wait: a server that does not read them is
// broken.
//
// Errors of Keep on the wire: EXDEV for a file on another mount (of a file system mounted inside the export, too; its
// descriptors are then simply never given up), ENFILE when too many are kept.
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "backend/link/channel.h"
#include "base/result.h"
#include "fsops/host/handle_broker.h"

namespace virtfs::link {

class BrokerService {
 public:
  // `broker` must serve this server only and outlive the service. `mount_id` is the export's, as statx(STATX_MNT_ID)
  // tells it.
  BrokerService(host::HandleBroker& broker, uint64_t mount_id, size_t max_handles)
      : broker_(broker), mount_id_(mount_id), max_handles_(max_handles) {}

  // Serves one Keep, Reopen or Drop that came over `link` and answers on it. EPROTO for any other packet; every error
  // means that the server is to be ended.
  Result<void> Serve(int link, Packet packet);

  size_t kept() const { return tokens_.size(); }

 private:
  Result<host::HandleToken> Keep(int fd);

  host::HandleBroker& broker_;
  const uint64_t mount_id_;
  const size_t max_handles_;
  absl::flat_hash_set<uint64_t> tokens_;
};

// The id of the mount that `fd` lies on.
Result<uint64_t> MountIdOf(int fd);

}  // namespace virtfs::link
