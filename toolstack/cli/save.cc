// xl-virtfs save DOMAIN FILE

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "toolstack/attached_shares.h"
#include "toolstack/cli/guest_shares.h"
#include "toolstack/cli/subcommands.h"
#include "toolstack/cli/xl_program.h"
#include "toolstack/domain.h"

namespace virtfs::toolstack {
namespace {

// The tags of those that the guest cannot connect again.
std::set<std::string> NinepfsTags(const std::vector<AttachedShare>& attached, const Record& record) {
  std::set<std::string> tags;
  for (const AttachedShare& share : attached) {
    if (share.type == xenstore::DeviceType::kNinepfs) tags.insert(share.tag);
  }
  for (const RecordedShare& share : record.shares) {
    const absl::StatusOr<ShareSpec> spec = ParseShareSpec(share.spec);
    if (spec.ok() && spec->options.server.transport == options::Transport::kNinepfs) tags.insert(spec->tag);
  }
  return tags;
}

// The tags of those that the guest uses now.
std::set<std::string> UsedTags(const std::vector<AttachedShare>& attached) {
  std::set<std::string> tags;
  for (const AttachedShare& share : attached) {
    using xenstore::State;
    if (share.state == State::kInitialised || share.state == State::kConnected || share.state == State::kClosing) {
      tags.insert(share.tag);
    }
  }
  return tags;
}

absl::Status Run(const Arguments& arguments) {
  const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
  if (!store.ok()) return store.status();
  const absl::StatusOr<Domain> guest = FindDomain(**store, arguments.operands[0]);
  if (!guest.ok()) return guest.status();
  // Nobody attaches anything meanwhile.
  const absl::StatusOr<GuestShares> shares = GuestShares::Open(**store, arguments.places, *guest);
  if (!shares.ok()) return shares.status();
  const std::vector<AttachedShare> attached = AttachedShares(**store, guest->id);
  const std::set<std::string> tags = NinepfsTags(attached, shares->record());
  if (!tags.empty() && !arguments.Has("force")) {
    return absl::FailedPreconditionError(absl::StrCat(
        guest->name, " has shares over the stock 9pfs transport (", absl::StrJoin(tags, ", "),
        "), whose driver in Linux does not come back from a suspend, so that what uses them would hang: unmount and "
        "detach them first, or use --force"));
  }
  const std::set<std::string> used = UsedTags(attached);
  if (!used.empty() && !arguments.Has("force")) {
    return absl::FailedPreconditionError(absl::StrCat(
        guest->name, " uses ", absl::StrJoin(used, ", "),
        ", which it would lose, since Linux' event channels do not outlive a save: unmount there first, or "
        "use --force"));
  }
  return RunXl({"save", absl::StrCat(guest->id), arguments.operands[1]});
}

}  // namespace

Subcommand SaveSubcommand() {
  return {.name = "save",
          .operands = {"DOMAIN", "FILE"},
          .summary = "save a guest to a file, with its shares to come back",
          .help =
              "Saves the guest with `xl save`, which ends it. Its shares stay recorded, and `xl-virtfs restore`\n"
              "attaches them. Refuses while the guest has a share mounted, which would not come back, and if it has\n"
              "shares over the stock 9pfs transport (transport=9pfs), whose driver in Linux does not come back from\n"
              "a suspend.",
          .flags = {{"force", "", "all the same: in the restored guest what uses them fails or hangs"}},
          .run = Run};
}

}  // namespace virtfs::toolstack
