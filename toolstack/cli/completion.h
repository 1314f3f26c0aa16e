// What can stand where the cursor is, for the shell: from the table of subcommands, the table of a share's options, and
// the domains that there are.
//
// Errors: none; what cannot be known is not offered.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace virtfs::toolstack {

// What only xenstore knows.
struct CompletionSources {
  std::function<std::vector<std::string>()> domains;                           // names
  std::function<std::vector<std::string>(const std::string& domain)> devices;  // tags
};

// `words`: those behind "xl-virtfs" up to the cursor; the last is the one to complete, perhaps empty. Whole words,
// those that begin with it; none also stands for the name of a file.
std::vector<std::string> Complete(std::span<const std::string> words, const CompletionSources& sources);

// Sources that ask xenstore.
CompletionSources StoreSources();

}  // namespace virtfs::toolstack
