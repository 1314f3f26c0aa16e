// MountShare: carries a MountRequest out.
//
// Returns mount(8)'s exit status: 0, or 1 for a request that cannot be right, 2 when this system lacks something, 32
// when the share or the mount cannot be had; what happened then stands on stderr.
// Threads: one at a time.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "frontend/mount/request.h"

namespace virtfs::frontend {

inline constexpr int kMountUsage = 1;
inline constexpr int kMountSystem = 2;
inline constexpr int kMountFailed = 32;

// What is asked of the kernel; for tests on one that has no 9p.
struct MountSystem {
  std::function<absl::Status()> load_modules;
  // mount(2): 0 or an errno.
  std::function<int(const char* source, const char* target, const char* type, unsigned long flags, const char* data)>
      mount;
  // mount.virtfs, to be run as the relay.
  std::string program;

  static MountSystem Real();
};

int MountShare(const MountRequest& request, const MountSystem& system = MountSystem::Real());

}  // namespace virtfs::frontend
