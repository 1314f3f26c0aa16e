// xl-virtfs watch
#include "toolstack/watch/watch.h"

#include "toolstack/cli/subcommands.h"

namespace virtfs::toolstack {
namespace {

absl::Status Run(const Arguments& arguments) {
  WatchOptions options;
  options.config = arguments.places.config;
  options.records = arguments.places.records;
  options.runtime = arguments.places.runtime;
  options.toolstack = arguments.Has("toolstack");
  if (const auto keeper = arguments.flags.find("keeper"); keeper != arguments.flags.end()) {
    options.keeper = {keeper->second};
  }
  return RunWatch(options);
}

}  // namespace

Subcommand WatchSubcommand() {
  return {.name = "watch",
          .operands = {},
          .summary = "the service: keeps guests served, and attaches again after a reboot or a restore",
          .help =
              "Runs until it is told to end, one in each domain that has directories to share; systemd starts it as\n"
              "xl-virtfs-watch.service. It starts xen-virtfsd for each guest with shares here. In domain 0 it also\n"
              "makes each guest's shares those that attach and create have recorded, whatever happens to domains, and\n"
              "removes what dead guests leave. It can be stopped and started at any time: guests do not notice.",
          .flags = {{"keeper", "PROGRAM", "what serves a guest (default: xen-virtfsd, by PATH)"},
                    {"toolstack", "", "do here what else only domain 0's does: this domain has the toolstack"}},
          .run = Run};
}

}  // namespace virtfs::toolstack
