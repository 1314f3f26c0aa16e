// ForeignDevices: the file systems that are mounted inside an exported tree, each looked at when it is first met.
//
// Threads: any. One lock, taken only for files that are not on the tree's own device.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "base/result.h"

namespace virtfs::host {

class ForeignDevices {
 public:
  // For a file on device `dev`, which `fd` refers to. EACCES: on a file system that is none of files
  // (kernel_file_system.h).
  Result<void> Check(int fd, uint64_t dev);

 private:
  std::mutex mutex_;
  std::unordered_map<uint64_t, bool> admitted_;
};

}  // namespace virtfs::host
