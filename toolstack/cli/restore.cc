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
#include "toolstack/cli/subcommands.h"
#include "toolstack/cli/xl_program.h"
#include "toolstack/domain.h"

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

absl::Status AttachAll(GuestShares& shares, std::chrono::seconds patience) {
  for (const RecordedShare& share : shares.record().shares) {
    Progress progress(absl::StrCat("attaching share ", share.devid));
    if (absl::Status restored = shares.Restore(share, patience); !restored.ok()) return restored;
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
    status = shares.ok() ? AttachAll(*shares, std::chrono::seconds(*wait)) : shares.status();
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
              "lets it run. If one cannot be attached the guest is destroyed before it has run; the file stays.\n"
              "`xl-virtfs watch` must be running.",
          .flags = {{"paused", "", "leave the guest paused"}, kWaitFlag},
          .run = Run};
}

}  // namespace virtfs::toolstack
