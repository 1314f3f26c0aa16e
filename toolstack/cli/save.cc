// xl-virtfs save DOMAIN FILE

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "toolstack/attached_shares.h"
#include "toolstack/cli/guest_shares.h"
#include "toolstack/cli/saved_sessions.h"
#include "toolstack/cli/subcommands.h"
#include "toolstack/cli/xl_program.h"
#include "toolstack/domain.h"
#include "toolstack/hand_over.h"

namespace virtfs::toolstack {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// For a keeper to bring a session back from its file.
constexpr std::chrono::seconds kReturnTime{10};

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

bool IsUsed(const AttachedShare& share) {
  using xenstore::State;
  return share.state == State::kInitialised || share.state == State::kConnected || share.state == State::kClosing;
}

// A guest's virtfs shares of this domain while the guest is saved: closed, their sessions in files.
class HandedOver {
 public:
  HandedOver(xenstore::Store& store, const Domain& guest, uint32_t own, const std::vector<AttachedShare>& attached)
      : store_(store), guest_(guest) {
    for (const AttachedShare& share : attached) {
      if (share.type == xenstore::DeviceType::kVirtfs && share.backend == own) shares_.push_back(share);
    }
  }

  // What a save that was killed has left closed: the keepers are to have those sessions first.
  void ReopenLeft() {
    std::vector<AttachedShare> all;
    all.swap(shares_);
    for (const AttachedShare& share : all) {
      if (IsHandedOver(store_, DomainsOf(share), share.devid)) shares_.push_back(share);
    }
    (void)Reopen();
    shares_.swap(all);
  }

  // All at once, also those that are not used now: nobody is to mount one while the guest is being saved. With
  // `force` those that cannot be handed over are not.
  absl::Status Close(const SavedSessions& sessions, milliseconds patience, bool force) {
    const auto end = steady_clock::now() + patience;
    for (const AttachedShare& share : shares_) {
      absl::Status asked = AskToHandOver(store_, DomainsOf(share), share.devid, sessions.PathOf(share.devid));
      if (!asked.ok()) return asked;
    }
    for (const AttachedShare& share : shares_) {
      const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
      absl::Status closed = AwaitHandedOver(store_, DomainsOf(share), share.devid, std::max(left, milliseconds(0)));
      // Nobody serves one that nobody uses.
      if (!IsUsed(share)) continue;
      if (closed.ok() && !sessions.Has(share.devid)) closed = NoSession(share);
      if (closed.ok() || force) continue;
      return absl::Status(closed.code(), absl::StrCat(guest_.name, " uses ", share.tag,
                                                      ", which it would lose: ", std::string(closed.message()),
                                                      "; unmount it there first, or use --force"));
    }
    return absl::OkStatus();
  }

  // The guest lives on. True: nobody needs the files any more.
  bool Reopen() {
    for (const AttachedShare& share : shares_) {
      const absl::Status back = TakeBack(store_, DomainsOf(share), share.devid);
      if (!back.ok() && !absl::IsNotFound(back)) {
        fprintf(stderr, "xl-virtfs: share %u stays closed: %s\n", share.devid, std::string(back.message()).c_str());
      }
    }
    const auto end = steady_clock::now() + kReturnTime;
    bool all = true;
    for (const AttachedShare& share : shares_) {
      const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
      all = AwaitTakenBack(store_, DomainsOf(share), share.devid, std::max(left, milliseconds(0))) && all;
    }
    return all;
  }

 private:
  Domains DomainsOf(const AttachedShare& share) const { return {.guest = guest_.id, .backend = share.backend}; }

  absl::Status NoSession(const AttachedShare& share) const {
    for (const AttachedShare& now : AttachedShares(store_, guest_.id)) {
      if (now.devid == share.devid && !now.error.empty()) return absl::FailedPreconditionError(now.error);
    }
    return absl::FailedPreconditionError("its keeper has kept no session");
  }

  xenstore::Store& store_;
  const Domain& guest_;
  std::vector<AttachedShare> shares_;
};

absl::Status CheckShares(const Domain& guest, uint32_t own, const std::vector<AttachedShare>& attached,
                         const Record& record) {
  const std::set<std::string> tags = NinepfsTags(attached, record);
  if (!tags.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        guest.name, " has shares over the stock 9pfs transport (", absl::StrJoin(tags, ", "),
        "), whose driver in Linux does not come back from a suspend, so that what uses them would hang: unmount and "
        "detach them first, or use --force"));
  }
  for (const AttachedShare& share : attached) {
    if (share.backend == own || !IsUsed(share)) continue;
    return absl::FailedPreconditionError(absl::StrCat(guest.name, " uses ", share.tag, ", which domain ", share.backend,
                                                      " serves and which it would lose, since only sessions of this "
                                                      "domain can be kept: unmount it there first, or use --force"));
  }
  return absl::OkStatus();
}

absl::Status Run(const Arguments& arguments) {
  const absl::StatusOr<uint32_t> wait = WaitOf(arguments);
  if (!wait.ok()) return wait.status();
  const std::string& file = arguments.operands[1];
  const bool force = arguments.Has("force");
  const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
  if (!store.ok()) return store.status();
  const absl::StatusOr<Domain> guest = FindDomain(**store, arguments.operands[0]);
  if (!guest.ok()) return guest.status();
  const absl::StatusOr<uint32_t> own = OwnDomain(**store);
  if (!own.ok()) return own.status();
  // Nobody attaches anything meanwhile, and the watch leaves the shares closed.
  const absl::StatusOr<GuestShares> shares = GuestShares::Open(**store, arguments.places, *guest);
  if (!shares.ok()) return shares.status();
  const std::vector<AttachedShare> attached = AttachedShares(**store, guest->id);
  absl::Status checked = CheckShares(*guest, *own, attached, shares->record());
  if (!checked.ok() && !force) return checked;

  const absl::StatusOr<SavedSessions> sessions = SavedSessions::Make(file);
  if (!sessions.ok()) return sessions.status();
  HandedOver handed_over(**store, *guest, *own, attached);
  handed_over.ReopenLeft();
  absl::Status saved = handed_over.Close(*sessions, std::chrono::seconds(*wait), force);
  if (saved.ok()) saved = RunXl({"save", absl::StrCat(guest->id), file});
  if (saved.ok()) {
    sessions->RemoveIfEmpty();
  } else if (handed_over.Reopen()) {
    sessions->Remove();
  }
  return saved;
}

}  // namespace

Subcommand SaveSubcommand() {
  return {.name = "save",
          .operands = {"DOMAIN", "FILE"},
          .summary = "save a guest to a file, with its shares to come back",
          .help =
              "Saves the guest with `xl save`, which ends it. Its shares stay recorded, and `xl-virtfs restore`\n"
              "attaches them. Shares that are mounted are closed first, and what the guest has open on them is kept\n"
              "in the directory FILE.virtfs, to go on after the restore; if that fails nothing is saved and they\n"
              "are opened again. Refuses if the guest has shares over the stock 9pfs transport (transport=9pfs),\n"
              "whose driver in Linux does not come back from a suspend, or uses one that another domain serves.",
          .flags = {{"force", "", "all the same: in the restored guest what uses them fails or hangs"}, kWaitFlag},
          .run = Run};
}

}  // namespace virtfs::toolstack
