// A network and a table of mounts of this process's own, with a tap device that a guest's network card is the other end
// of. Both go with the last process in them, so that a test that is killed leaves nothing on the machine.
//
// Call it before there is a second thread: the namespaces are those of the calling thread and of what it starts.
#pragma once

#include "absl/status/status.h"

namespace virtfs {

inline constexpr char kTapDevice[] = "tap9";
inline constexpr char kHostAddress[] = "10.77.0.1";  // on the tap device, /24; the guest takes 10.77.0.2

// Needs root and /dev/net/tun; the sentence says which of them lacks.
absl::Status EnterPrivateNetwork();

}  // namespace virtfs
