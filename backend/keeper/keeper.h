// The keeper of one guest: finds the guest's shares in xenstore as they come and go, and keeps each going until the
// guest is gone.
//
// One thread, one loop: watches of xenstore (many at once count as one), links and ends of servers, signals, whoever
// asks how the shares are, time.
//
// Ends well when the guest is gone and nothing of it is left, its nodes included; or, on SIGTERM, SIGINT or SIGHUP,
// when every share has gone through Closing to Closed (a second signal ends it at once). The nodes stay then, and the
// next keeper brings the shares back.
// Errors: a sentence for the operator: xenstored cannot be reached or is gone, there is no such guest, another keeper
// has it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace virtfs::backend {

struct KeeperOptions {
  uint32_t guest = 0;
  std::optional<uint32_t> backend;  // the domain whose directories are served; else the one we run in
  std::string run_directory;        // where it tells how the shares are (status_socket.h)
};

absl::Status RunKeeper(const KeeperOptions& options);

}  // namespace virtfs::backend
