// xl-virtfs detach DOMAIN DEV

#include <chrono>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "toolstack/cli/guest_shares.h"
#include "toolstack/cli/subcommands.h"
#include "toolstack/domain.h"

namespace virtfs::toolstack {
namespace {

absl::Status Run(const Arguments& arguments) {
  const absl::StatusOr<uint32_t> wait = WaitOf(arguments);
  if (!wait.ok()) return wait.status();
  const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
  if (!store.ok()) return store.status();
  const absl::StatusOr<Domain> guest = FindDomain(**store, arguments.operands[0]);
  if (!guest.ok()) return guest.status();
  absl::StatusOr<GuestShares> shares = GuestShares::Open(**store, arguments.places, *guest);
  if (!shares.ok()) return shares.status();
  const absl::StatusOr<uint32_t> devid = shares->Find(arguments.operands[1]);
  if (!devid.ok()) return devid.status();
  return shares->Detach(*devid, std::chrono::seconds(*wait), arguments.Has("force"));
}

}  // namespace

Subcommand DetachSubcommand() {
  return {.name = "detach",
          .operands = {"DOMAIN", "DEV"},
          .summary = "take a share away from a guest",
          .help =
              "Asks the guest to close the share, waits until it has, and removes it; it is not attached again.\n"
              "DEV is the share's device id or its tag. Refuses while the guest has files open on it.",
          .flags = {{"force", "", "even with open files: what uses them gets EIO"}, kWaitFlag},
          .run = Run};
}

}  // namespace virtfs::toolstack
