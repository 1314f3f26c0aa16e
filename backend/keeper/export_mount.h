// The exported directory as a detached mount: a tree of mounts of its own, in nobody's name space, that a server can
// be given without a path and without a way out.
//
// It has the host's mounts as they are beneath the directory now (later ones do not appear in it), none of which
// honours set-user-id bits or devices, executes anything or follows symbolic links; none can be written if the share
// is read-only.
//
// Errors: a sentence for the operator that says what to write instead.
// Threads: any. Needs CAP_SYS_ADMIN and Linux 5.14.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace virtfs::backend {

struct ExportMount {
  UniqueFd root;          // O_PATH descriptor of the top
  uint64_t mount_id = 0;  // of the top mount
};

absl::StatusOr<ExportMount> OpenExport(const std::string& path, bool readonly);

}  // namespace virtfs::backend
