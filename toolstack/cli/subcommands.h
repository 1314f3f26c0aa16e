// Every subcommand, each in a file of its name.
#pragma once

#include "absl/status/statusor.h"
#include "toolstack/cli/subcommand.h"

namespace virtfs::toolstack {

Subcommand AttachSubcommand();
Subcommand CheckSubcommand();
Subcommand CreateSubcommand();
Subcommand DetachSubcommand();
Subcommand ListSubcommand();
Subcommand RestoreSubcommand();
Subcommand SaveSubcommand();
Subcommand StatusSubcommand();

// Of those that wait for a backend.
inline constexpr Flag kWaitFlag = {"wait", "SECONDS", "how long to wait for the backend (default: 15)"};
inline absl::StatusOr<uint32_t> WaitOf(const Arguments& arguments) { return arguments.Number("wait", 0, 86400, 15); }
Subcommand WatchSubcommand();

}  // namespace virtfs::toolstack
