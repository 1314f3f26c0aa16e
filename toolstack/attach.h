// Attaching and detaching a share: the toolstack's side of docs/virtfs.md sections 13.1 and 13.2, in that order and
// with those permissions.
//
// Errors: one sentence for the operator. A share that could not be attached leaves nothing behind.
// Threads: one at a time. Each call waits for the backend, at most `patience`.
#pragma once

#include <chrono>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "toolstack/share_spec.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

struct Domains {
  uint32_t guest = 0;
  uint32_t backend = 0;
};

// No two shares of a guest have the same devid, whatever their types.
//
// Returns the share's devid once the backend has it ready and the guest has been told of it.
absl::StatusOr<uint32_t> WriteShare(xenstore::Store& store, Domains domains, const ShareSpec& spec,
                                    std::chrono::milliseconds patience);

// Asks both ends to close, waits until the backend has, and removes every node of the share. If the backend does not
// answer the nodes stay (DeadlineExceeded); `force` removes them all the same.
absl::Status RemoveShare(xenstore::Store& store, Domains domains, uint32_t devid, std::chrono::milliseconds patience,
                         bool force = false);

}  // namespace virtfs::toolstack
