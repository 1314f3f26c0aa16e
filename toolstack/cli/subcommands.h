// Every subcommand, each in a file of its name.
#pragma once

#include "toolstack/cli/subcommand.h"

namespace virtfs::toolstack {

Subcommand CheckSubcommand();

}  // namespace virtfs::toolstack
