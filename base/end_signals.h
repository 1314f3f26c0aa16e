// The signals that tell a service to end, as something to poll.
//
// Errors: the system's.
// Threads: to be called before any other thread is made, since they inherit what is blocked.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace virtfs {

// A signalfd, which never blocks, of SIGTERM, SIGINT and SIGHUP. SIGPIPE is ignored from now on.
Result<UniqueFd> CatchEndSignals();

}  // namespace virtfs
