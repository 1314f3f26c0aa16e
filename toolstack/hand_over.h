// HandOver: shares of a guest closed for the time of a save, their 9P sessions kept in files; and the way back.
//
// The nodes are kHandOverNode and kSessionNode (xenstore/paths.h); a keeper acts on them, and writes and reads the
// files. While a share is handed over its backend is Closed, so the guest has no event channel for it.
//
// Errors: one sentence for the operator.
// Threads: one at a time. Nothing waits but what has a `patience`.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "toolstack/attach.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

// A virtfs share. Its session, if it has one, is to be in `file` when it is closed; that path must be absolute.
absl::Status AskToHandOver(xenstore::Store& store, Domains domains, uint32_t devid, const std::string& file);

// Whether it is closed for a save: one that goes on, or one that was killed.
bool IsHandedOver(xenstore::Store& store, Domains domains, uint32_t devid);

// Waits until both ends are closed. DeadlineExceeded: they are not.
absl::Status AwaitHandedOver(xenstore::Store& store, Domains domains, uint32_t devid,
                             std::chrono::milliseconds patience);

// The guest goes on: its share is opened again, with the session in the file if there is one. Success if it was not
// handed over.
absl::Status TakeBack(xenstore::Store& store, Domains domains, uint32_t devid);

// Waits until the share that was taken back is ready to be connected, and its session's file of no use any more. False:
// it may still be.
bool AwaitTakenBack(xenstore::Store& store, Domains domains, uint32_t devid, std::chrono::milliseconds patience);

// Of a share that the guest has not connected yet: when it does, the session in `file` goes on. An error: it cannot.
absl::Status GiveSession(xenstore::Store& store, Domains domains, uint32_t devid, const std::string& file,
                         std::chrono::milliseconds patience);

}  // namespace virtfs::toolstack
