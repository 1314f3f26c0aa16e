// The last step of lock-down: a seccomp filter that leaves a server the system calls of the table in
// system_call_filter.cc and those of fsops/host/system_calls.h, and kills the process at any other.
//
// So whoever takes a server over cannot execute, fork, make a socket or a namespace, map anything executable, signal,
// trace or look into another process, or speak to a device other than gntdev and evtchn.
//
// Once, while there is one thread; those that begin later have it too. no_new_privs must be set, or CAP_SYS_ADMIN held.
// Errors: a sentence for the operator.
#pragma once

#include "absl/status/status.h"
#include "base/sanitizer.h"

namespace virtfs::backend {

// Sanitizers' run-time libraries make system calls of their own at any time, so a binary with one in it has no filter.
inline constexpr bool kFilterIsPossible = !VIRTFS_SANITIZED;

absl::Status ForbidOtherSystemCalls();

}  // namespace virtfs::backend
