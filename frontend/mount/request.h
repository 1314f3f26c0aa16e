// MountRequest: what mount.virtfs is to do, read from the arguments that mount(8) gives a helper:
//
//     mount.virtfs TAG DIR [-sfnv] [-o OPTIONS]
//
// Options are sorted into mount(2)'s flags, the relay's own (msize, pages, wait), those that are for mount(8), systemd
// and fstab only and are dropped, and all others, which are the kernel's 9p client's: cache, access, uname, dfltuid ...
//
// Errors: absl::Status, a sentence for who wrote the command line or the line in fstab. Threads: values.
// Source: mount(8), "External helpers"; Documentation/filesystems/9p.rst of Linux.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace virtfs::frontend {

struct MountRequest {
  std::string tag;
  std::string directory;
  unsigned long flags = 0;     // MS_*.
  std::string client_options;  // For 9p, as they were written.
  uint32_t msize = 512 * 1024;
  uint32_t pages = 256;
  std::chrono::seconds wait{10};
  bool fake = false;
  bool verbose = false;

  // The last argument of mount(2), for a stream of which the kernel gets descriptor `stream` of this process.
  std::string Data(int stream, uint32_t agreed_msize) const;
};

// `arguments` without the program's own name.
absl::StatusOr<MountRequest> ParseMountRequest(const std::vector<std::string>& arguments);

}  // namespace virtfs::frontend
