// The commands of virtfs-client. Each returns the exit status: 0, or 1 and has said why on stderr.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "frontend/client/place.h"
#include "frontend/client/shares.h"

namespace virtfs::frontend {

struct CommandContext {
  Shares& shares;
  uint32_t depth = 1;
  bool recursive = false;  // -r
  bool details = false;    // -l
  bool skip_special = false;
  // What a command that moves files has done, for --stats.
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t symlinks = 0;
  uint64_t bytes = 0;
  double seconds = 0;
};

int List(CommandContext& context, const std::vector<Place>& places);
int Cat(CommandContext& context, const std::vector<Place>& places);
int Get(CommandContext& context, const std::vector<Place>& places);
int Put(CommandContext& context, const std::vector<Place>& places);
int Copy(CommandContext& context, const std::vector<Place>& places);
int Stat(CommandContext& context, const std::vector<Place>& places);
int Remove(CommandContext& context, const std::vector<Place>& places);
int Compare(CommandContext& context, const std::vector<Place>& places);

}  // namespace virtfs::frontend
