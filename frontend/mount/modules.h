// The kernel modules that a mount needs, loaded where they are missing.
//
// Errors: absl::Status, a sentence for who mounts. Threads: functions.
// Source: modprobe(8); proc(5).
#pragma once

#include <string>

#include "absl/status/status.h"

namespace virtfs::frontend {

// Runs modprobe for what is neither loaded nor built in: grants, event channels, 9p and its transport. An error if the
// kernel has no 9p afterwards; what else is missing is found, and named, where it is used.
absl::Status LoadModules();

// Loads one. False if that did not work.
bool LoadModule(const std::string& name);

}  // namespace virtfs::frontend
