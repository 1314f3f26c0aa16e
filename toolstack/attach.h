// Attaching and detaching a share: the toolstack's side of docs/virtfs.md sections 13.1 and 13.2, in that order and
// with those permissions.
//
// Errors: one sentence for the operator. A share that could not be attached leaves nothing behind.
// Threads: one at a time. WriteShare and RemoveShare wait for the backend, at most `patience`; nothing else waits.
#pragma once

#include <chrono>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "toolstack/share_spec.h"
#include "xenstore/paths.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

struct Domains {
  uint32_t guest = 0;
  uint32_t backend = 0;
};

// No two shares of a guest have the same devid, whatever their types. This one may be another backend's, too, as QEMU's
// 9pfs.
bool IsTaken(xenstore::Store& store, Domains domains, uint32_t devid);

// Returns the share's devid once the backend has it ready and the guest has been told of it.
absl::StatusOr<uint32_t> WriteShare(xenstore::Store& store, Domains domains, const ShareSpec& spec,
                                    std::chrono::milliseconds patience);

// Asks both ends to close, waits until the backend has, and removes every node of the share. If the backend does not
// answer the nodes stay (DeadlineExceeded); `force` removes them all the same.
absl::Status RemoveShare(xenstore::Store& store, Domains domains, uint32_t devid, std::chrono::milliseconds patience,
                         bool force = false);

// The same in steps, for whoever must not wait between them. Each is one transaction, done as a whole or not at all.

xenstore::DeviceType TypeOf(const ShareSpec& spec);

// The nodes that make the backend prepare the share, whose `devid` must say which. NotFound if the guest is gone,
// AlreadyExists if it has such a share.
absl::Status BeginShare(xenstore::Store& store, Domains domains, const ShareSpec& spec);

// The guest's nodes, once the backend is in InitWait. Those of a former share in their place are removed.
absl::Status FinishShare(xenstore::Store& store, Domains domains, const ShareSpec& spec);

// NotFound if there is no such share.
absl::Status AskToClose(xenstore::Store& store, Domains domains, xenstore::DeviceType type, uint32_t devid);

// Every node of the share, whatever state it is in, and the directories above if it was the last.
absl::Status RemoveNodes(xenstore::Store& store, Domains domains, xenstore::DeviceType type, uint32_t devid);

}  // namespace virtfs::toolstack
