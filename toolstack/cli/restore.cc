// xl-virtfs restore FILE

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "toolstack/cli/checked_guest.h"
#include "toolstack/cli/guest_shares.h"
#include "toolstack/cli/progress.h"
#include "toolstack/cli/save_file.h"
#include "toolstack/cli/saved_sessions.h"
#include "toolstack/cli/subcommands.h"
#include "toolstack/cli/xl_program.h"
#include "toolstack/domain.h"
#include "toolstack/hand_over.h"

namespace virtfs::toolstack {
namespace {

// Whether its shares can be attached, as far as that can be known before the guest is there.
absl::Status CheckRecord(const Places& places, const SavedGuest& saved) {
  const absl::StatusOr<HostConfig> host = ReadHostConfig(places.config);
  if (!host.ok()) return host.status();
  const absl::StatusOr<std::optional<Record>> record = RecordStore(places.records).Load(saved.uuid);
  if (!record.ok()) return record.status();
  if (!*record) return absl::OkStatus();
  for (const RecordedShare& share : (*record)->shares) {
    absl::StatusOr<ShareSpec> spec = ParseShareSpec(share.spec);
    if (spec.ok()) spec->backend = share.backend;
    const absl::Status checked = spec.ok() ? CheckShare(*spec, *host) : spec.status();
    if (!checked.ok()) {
      // It was right when it was recorded.
      return absl::FailedPreconditionError(
          absl::StrCat("share ", share.devid, " of ", saved.name, ": ", std::string(checked.message())));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Domain> FindByUuid(xenstore::Store& store, const SavedGuest& saved) {
  for (Domain& domain : AllDomains(store)) {
    if (domain.uuid == saved.uuid) return std::move(domain);
  }
  return absl::NotFoundError(absl::StrCat("there is no domain with the UUID ", saved.uuid, " of ", saved.name));
}

// What the guest had open on it goes on.
absl::Status GiveBack(xenstore::Store& store, const Domain& guest, const AttachedShare& share,
                      const SavedSessions& sessions, std::chrono::seconds patience) {
  absl::Status given = GiveSession(store, {.guest = guest.id, .backend = share.backend}, share.devid,
                                   sessions.PathOf(share.devid), patience);
  if (given.ok()) return given;
  return absl::Status(given.code(), absl::StrCat("what ", guest.name, " had open on ", share.tag, " would be lost: ",
                                                 std::string(given.message()), "; --force restores it all the same"));
}

absl::Status AttachAll(xenstore::Store& store, const Domain& guest, GuestShares& shares, const SavedSessions& sessions,
                       std::chrono::seconds patience, bool force) {
  for (const RecordedShare& share : shares.record().shares) {
    Progress progress(absl::StrCat("attaching share ", share.devid));
    if (absl::Status restored = shares.Restore(share, patience); !restored.ok()) return restored;
    const std::optional<AttachedShare> attached = shares.Attached(share.devid);
    if (attached && sessions.Has(share.devid)) {
      absl::Status given = GiveBack(store, guest, *attached, sessions, patience);
      if (!given.ok() && !force) return given;
    }
    progress.Done("");
  }
  return absl::OkStatus();
}

absl::Status Run(const Arguments& arguments) {
  const absl::StatusOr<uint32_t> wait = WaitOf(arguments);
  if (!wait.ok()) return wait.status();
  const std::string& file = arguments.operands[0];
  const absl::StatusOr<SavedGuest> saved = ReadSaveFile(file);
  if (!saved.ok()) return saved.status();
  const absl::StatusOr<SavedSessions> sessions = SavedSessions::Find(file);
  if (!sessions.ok()) return sessions.status();
  const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
  if (!store.ok()) return store.status();
  if (const absl::StatusOr<Domain> living = FindByUuid(**store, *saved); living.ok()) {
    return absl::AlreadyExistsError(
        absl::StrCat("domain ", living->id, " (", living->name, ") is the guest of ", file, ": end it first"));
  }
  if (absl::Status checked = CheckRecord(arguments.places, *saved); !checked.ok()) return checked;

  if (absl::Status restored = RunXl({"restore", "-p", file}); !restored.ok()) return restored;
  const absl::StatusOr<Domain> guest = FindByUuid(**store, *saved);
  if (!guest.ok()) return guest.status();
  const std::string id = absl::StrCat(guest->id);
  absl::Status status;
  {
    absl::StatusOr<GuestShares> shares = GuestShares::Open(**store, arguments.places, *guest);
    status = shares.ok()
                 ? AttachAll(**store, *guest, *shares, *sessions, std::chrono::seconds(*wait), arguments.Has("force"))
                 : shares.status();
  }
  if (!status.ok()) {
    const absl::Status destroyed = RunXl({"destroy", id});
    return absl::Status(
        status.code(),
        absl::StrCat(std::string(status.message()), "\n",
                     destroyed.ok() ? absl::StrCat(guest->name, " was destroyed before it ran; ", file, " is as it was")
                                    : std::string(destroyed.message())));
  }
  return arguments.Has("paused") ? absl::OkStatus() : RunXl({"unpause", id});
}

}  // namespace

Subcommand RestoreSubcommand() {
  return {.name = "restore",
          .operands = {"FILE"},
          .summary = "restore a saved guest with its shares",
          .help =
              "Restores the guest paused with `xl restore`, attaches the shares that are recorded for its UUID, and\n"
              "lets it run. What it had open on them goes on, from the directory FILE.virtfs. If one cannot be\n"
              "attached, or does not find its files, the guest is destroyed before it has run; the file stays.\n"
              "`xl-virtfs watch` must be running.",
          .flags = {{"paused", "", "leave the guest paused"},
                    {"force", "", "also if what it had open would be lost"},
                    kWaitFlag},
          .run = Run};
}

}  // namespace virtfs::toolstack
