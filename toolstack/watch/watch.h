// RunWatch: the service `xl-virtfs watch`, one in each backend domain.
//
// One thread, one loop: watches of xenstore, changes of records, ends of keepers, signals, time. It keeps nothing that
// cannot be found again: records are on disk, shares and claims of keepers in xenstore. So it may be killed at any
// point, and the next one goes on from what it finds; keepers do not notice.
//
// Ends well on SIGTERM, SIGINT and SIGHUP; keepers go on.
// Errors: a sentence for the operator: another watch runs, xenstored cannot be reached or is gone.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace virtfs::toolstack {

struct WatchOptions {
  std::string config, records, runtime;  // a file and directories: toolstack/config/places.h
  // A keeper's program, looked for in PATH if there is no slash in it, and arguments before --run and --domid.
  std::vector<std::string> keeper = {"xen-virtfsd"};
  // Also what only the domain with the toolstack does (guests.h); domain 0 does it anyway.
  bool toolstack = false;
};

absl::Status RunWatch(const WatchOptions& options);

}  // namespace virtfs::toolstack
