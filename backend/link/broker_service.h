// BrokerService: the keeper's side of host::HandleBroker and host::UserDatabase for one server.
//
// The server may have been taken over by its guest. So it has a broker of its own, which knows no other server's tokens
// and has a limit; and it can have kept only files that lie on its export's own mount (a server holds descriptors of
// nothing else, but a kept handle would outlive any mistake about that). The answers never wait: a server that does not
// read them is broken.
//
// Errors of Keep on the wire: the broker's, and EXDEV for a file on another mount (of a file system mounted inside the
// export, too; its descriptors are then simply never given up).
// Finding a user may take as long as the host's database does.
// Threads: one at a time.
#pragma once

#include <cstdint>

#include "backend/link/channel.h"
#include "base/result.h"
#include "fsops/host/handle_broker.h"
#include "fsops/host/user_database.h"

namespace virtfs::link {

class BrokerService {
 public:
  // `broker` must serve this server only and outlive the service. `mount_id` is the export's, as statx(STATX_MNT_ID)
  // tells it. `users`, if it is not null, must outlive the service, too; a server that has none has no business to ask.
  BrokerService(host::HandleBroker& broker, uint64_t mount_id, host::UserDatabase* users = nullptr)
      : broker_(broker), mount_id_(mount_id), users_(users) {}

  // Serves one Keep, Reopen, Drop or FindUser that came over `link` and answers on it. EPROTO for any other packet;
  // every error means that the server is to be ended.
  Result<void> Serve(int link, Packet packet);

 private:
  Result<host::HandleToken> Keep(int fd);

  host::HandleBroker& broker_;
  const uint64_t mount_id_;
  host::UserDatabase* const users_;
};

// The id of the mount that `fd` lies on.
Result<uint64_t> MountIdOf(int fd);

}  // namespace virtfs::link
