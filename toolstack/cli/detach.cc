// xl-virtfs detach DOMAIN DEV

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "toolstack/cli/guest_shares.h"
#include "toolstack/cli/subcommands.h"
#include "toolstack/domain.h"
#include "toolstack/status/keeper_query.h"

namespace virtfs::toolstack {
namespace {

// Whether the guest has files open on the share; also an error if that cannot be known.
absl::Status CheckUnused(xenstore::Store& store, const Places& places, const Domain& guest,
                         const AttachedShare& share) {
  // Without a ring there is no server that could have a file open.
  if (share.state != xenstore::State::kInitialised && share.state != xenstore::State::kConnected) {
    return absl::OkStatus();
  }
  const absl::StatusOr<uint32_t> own = OwnDomain(store);
  if (!own.ok()) return own.status();
  if (share.backend != *own) {
    return absl::FailedPreconditionError(absl::StrCat(
        "domain ", share.backend, " serves ", share.tag,
        ", so that open files cannot be seen from here: ", "unmount it in ", guest.name, " first, or use --force"));
  }
  const absl::StatusOr<uint64_t> files = OpenFiles(places.runtime, guest.id, share.devid);
  if (absl::IsNotFound(files.status())) return absl::OkStatus();  // Nor without a keeper.
  if (!files.ok()) {
    return absl::Status(files.status().code(),
                        absl::StrCat(std::string(files.status().message()), ": try again, or use --force"));
  }
  if (*files == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(guest.name, " has ", *files, *files == 1 ? " file" : " files", " open on ", share.tag,
                   ": close them there, or use --force, which lets whatever uses them fail with EIO"));
}

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
  const std::optional<AttachedShare> attached = shares->Attached(*devid);
  if (attached && !arguments.Has("force")) {
    if (absl::Status unused = CheckUnused(**store, arguments.places, *guest, *attached); !unused.ok()) return unused;
  }
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
