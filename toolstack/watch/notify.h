// Notify: tells systemd how the service is (sd_notify(3)): lines like "READY=1" in a datagram to $NOTIFY_SOCKET. Does
// nothing where there is none.
#pragma once

#include <string>

namespace virtfs::toolstack {

void Notify(const std::string& lines);

}  // namespace virtfs::toolstack
