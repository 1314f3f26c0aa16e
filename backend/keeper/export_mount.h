// The exported directory as a detached mount: a tree of mounts of its own, in nobody's name space, that a server can
// be given without a path and without a way out.
//
// It has the host's mounts as they are beneath the directory now (later ones do not appear in it), none of which
// honours set-user-id bits or devices, executes anything or follows symbolic links; none can be written if the share
// is read-only. The path is followed without the kernel's magic links, and never to a file system of the kernel's own
// (proc, sysfs ...).
//
// Errors: a sentence for the operator that says what to write instead.
// Threads: any. Needs CAP_SYS_ADMIN and Linux 5.14.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace virtfs::backend {

// Which directory a path led to.
struct ExportIdentity {
  uint64_t dev = 0;
  uint64_t ino = 0;

  friend bool operator==(const ExportIdentity&, const ExportIdentity&) = default;
};

struct ExportMount {
  UniqueFd root;            // O_PATH descriptor of the top
  uint64_t mount_id = 0;    // of the top mount
  ExportIdentity identity;  // of the directory
};

// `known`: the directory that it must be, if the share was open before. A guest that can write to a directory on the
// path could otherwise lead the share elsewhere between two connections. Not a descriptor held meanwhile: the host may
// want to unmount what lies beneath a share that is closed.
absl::StatusOr<ExportMount> OpenExport(const std::string& path, bool readonly,
                                       const std::optional<ExportIdentity>& known = std::nullopt);

}  // namespace virtfs::backend
