// RunServer: the life of a server process, which serves one share to one guest.
//
//     Start        opens gntdev and the event channel (restricted to the guest), locks itself down, says Locked
//     Connect      maps the ring, binds the channel, begins to serve, says Connected
//     Stop         answers what has been published, lets go of everything of the guest's, returns 0
//
// The link is also how it learns that its keeper is gone: it then stops in the same way. SIGTERM is for the keeper and
// ignored here; whoever wants a server to end at once sends SIGKILL. If the ring fails or it cannot serve, it says so
// in a Fault and returns 1.
#pragma once

#include "base/unique_fd.h"

namespace virtfs::backend {

// `link`: the server's end. All descriptors above it are closed. Returns the exit status.
int RunServer(UniqueFd link);

}  // namespace virtfs::backend
