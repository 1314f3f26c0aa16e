// Asking keepers how their guests' shares are: those that run in this domain (options/keeper_socket.h).
//
// Errors: a sentence for the operator. NotFound: the guest has no keeper here, or no such share. DeadlineExceeded: the
// keeper is there but does not answer within ten seconds.
// Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "toolstack/status/guest_status.h"

namespace virtfs::toolstack {

// `directory`: usually options::kRunDirectory.
absl::StatusOr<GuestStatus> AskKeeper(const std::string& directory, uint32_t domid);

// The guests whose keepers have a socket there, in ascending order; a keeper that was killed leaves its own. No such
// directory: none.
std::vector<uint32_t> GuestsWithKeepers(const std::string& directory);

// How many files the guest has open on its share, for `detach` to refuse; files that it has open for their locks alone
// among them. 0 while the share has no server. The guest's server says so, so this is no bound for anything.
absl::StatusOr<uint64_t> OpenFiles(const std::string& directory, uint32_t domid, uint32_t devid);

}  // namespace virtfs::toolstack
