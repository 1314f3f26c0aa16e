// Which file systems are windows into the kernel (proc, sysfs ...) rather than files: never to be exported, since what
// is written there with root's rights changes the host itself (/proc/sys/kernel/core_pattern names a program to run).
#pragma once

#include "base/result.h"

namespace virtfs::host {

// The name of the file system that `fd` lies on if it is one of these, else null. One fstatfs.
Result<const char*> KernelFileSystemOf(int fd);

}  // namespace virtfs::host
