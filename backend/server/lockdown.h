// Lock-down: what a server gives up before it reads a byte of its guest's.
//
// Afterwards the process has: an empty read-only root directory, so that no path leads anywhere; no network, and System
// V objects, host name and cgroup view of its own; the capabilities of the table in lockdown.cc, or none at all and the
// ids of one user, and no way to others (no program that it could execute exists, and none would gain any); no
// supplementary groups; descriptors only as they were open before; no core dumps, no tracers. What it does to files it
// does through descriptors: the export's detached mount, the directory /proc/self/fd.
//
// The filter of system calls (system_call_filter.h) comes last, when all that a server needs is open.
//
// Errors: a sentence for the operator; the process must not serve then.
// Threads: before any but the first exists.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "fsops/host/credentials.h"

namespace virtfs::backend {

// What a server does to files with.
enum class Powers : uint8_t {
  kOfRoot,   // file capabilities, whatever the fsuid: the guest's kernel decides who may do what
  kOfUsers,  // file capabilities while the fsuid is 0; else those rights that the user has on the host
  kNone,     // the ids of `owner`, and no capability
};

struct LockdownOptions {
  uint32_t max_descriptors = 4096;  // RLIMIT_NOFILE from then on
  Powers powers = Powers::kOfRoot;
  host::Owner owner = {};  // of Powers::kNone
};

// Closes all descriptors from `first` on, and leaves the session of the terminal. At the very start.
void DropInherited(int first);

// The directory /proc/self/fd, by which a locked server opens its files again, as a mount of its own. A plain
// descriptor of it would lead, by "..", to all of /proc: to what root may write beneath /proc/sys, and to the root
// directories of other processes. Before LockDown, of the very process that will use it.
absl::StatusOr<UniqueFd> OwnDescriptors();

absl::Status LockDown(const LockdownOptions& options);

}  // namespace virtfs::backend
