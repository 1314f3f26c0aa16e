#include "fsops/host/foreign_devices.h"

#include <cerrno>

#include "fsops/host/kernel_file_system.h"

namespace virtfs::host {
namespace {

// File systems with a device number for each of their parts (btrfs) could have any number; beyond this each file is
// looked at.
constexpr size_t kMaxRemembered = 4096;

}  // namespace

Result<void> ForeignDevices::Check(int fd, uint64_t dev) {
  const auto verdict = [](bool admitted) { return admitted ? Result<void>() : Result<void>(Errno(EACCES)); };
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = admitted_.find(dev); known != admitted_.end()) return verdict(known->second);
  }
  const Result<const char*> kernels = KernelFileSystemOf(fd);
  if (!kernels) return kernels.error();
  const bool admitted = *kernels == nullptr;
  const std::lock_guard lock(mutex_);
  if (admitted_.size() < kMaxRemembered) admitted_.emplace(dev, admitted);
  return verdict(admitted);
}

}  // namespace virtfs::host
