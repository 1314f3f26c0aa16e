// CheckedGuest: a guest's xl.cfg after everything that can be known before anything is done: the syntax, the shares,
// each directory and each backend domain.
//
// Errors: InvalidArgument with one sentence for each mistake.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "toolstack/config/guest_config.h"
#include "toolstack/config/host_config.h"
#include "toolstack/share_spec.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

// The id of the domain that has the share's directory.
absl::StatusOr<uint32_t> BackendOf(xenstore::Store& store, const ShareSpec& spec);

// One share by itself: its backend is there, and its directory can be shared if it is in this domain. xenstore is asked
// only about a backend that the share names.
absl::Status CheckShare(const ShareSpec& spec, const HostConfig& host);

// Reads both files; mistakes in the guest's, and those that CheckShare finds, are among `mistakes`.
absl::StatusOr<GuestConfig> CheckGuest(const std::string& path, const HostConfig& host);

}  // namespace virtfs::toolstack
