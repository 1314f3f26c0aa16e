// The table.
#include "toolstack/cli/subcommands.h"

namespace virtfs::toolstack {

std::span<const Subcommand> AllSubcommands() {
  static const auto* const kAll = new std::vector<Subcommand>{
      CheckSubcommand(),  CreateSubcommand(), AttachSubcommand(),  DetachSubcommand(), ListSubcommand(),
      StatusSubcommand(), SaveSubcommand(),   RestoreSubcommand(), WatchSubcommand(),
  };
  return *kAll;
}

}  // namespace virtfs::toolstack
