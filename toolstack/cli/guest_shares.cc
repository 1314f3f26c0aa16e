#include "toolstack/cli/guest_shares.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "toolstack/attach.h"
#include "toolstack/cli/checked_guest.h"
#include "toolstack/watch/watch_lock.h"
#include "xenstore/number.h"

namespace virtfs::toolstack {
namespace {

using std::chrono::milliseconds;

// A share takes seconds to attach or detach, and the watch may have several to do.
constexpr std::chrono::minutes kLockPatience{2};

// A record has these beside the text.
std::string WithoutPlace(std::string_view text) {
  std::string rest;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    if (item.starts_with("devid=") || item.starts_with("backend=")) continue;
    absl::StrAppend(&rest, rest.empty() ? "" : ",", std::string(item));
  }
  return rest;
}

std::string TagOf(const RecordedShare& share) {
  const absl::StatusOr<ShareSpec> spec = ParseShareSpec(share.spec);
  return spec.ok() ? spec->tag : "";
}

}  // namespace

absl::StatusOr<GuestShares> GuestShares::Open(xenstore::Store& store, const Places& places, Domain guest) {
  if (!IsUuid(guest.uuid)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "domain ", guest.id, " has no UUID in xenstore, by which its shares are recorded: it is no guest of xl's"));
  }
  absl::StatusOr<GuestLock> lock = GuestLock::Take(places.runtime, guest.uuid, kLockPatience);
  if (!lock.ok()) return lock.status();
  RecordStore records(places.records);
  absl::StatusOr<std::optional<Record>> loaded = records.Load(guest.uuid);
  if (!loaded.ok()) return loaded.status();
  Record record = loaded->value_or(Record{});
  record.uuid = guest.uuid;
  record.name = guest.name;
  record.absent_since.reset();
  return GuestShares(store, places.runtime, std::move(guest), std::move(records), *std::move(lock), std::move(record));
}

absl::Status GuestShares::Save() {
  return record_.shares.empty() ? records_.Remove(record_.uuid) : records_.Save(record_);
}

absl::Status GuestShares::Write(const RecordedShare& share, milliseconds patience) {
  const absl::StatusOr<ShareSpec> spec = SpecOf(record_, share);
  if (!spec.ok()) return spec.status();
  const absl::StatusOr<Domain> backend = FindDomain(store_, share.backend);
  if (!backend.ok()) return backend.status();
  const absl::StatusOr<uint32_t> written =
      WriteShare(store_, {.guest = guest_.id, .backend = backend->id}, *spec, patience);
  if (absl::IsDeadlineExceeded(written.status())) {
    const absl::StatusOr<uint32_t> own = OwnDomain(store_);
    if (own.ok() && *own == backend->id && WatchLock::IsHeld(runtime_)) {
      return absl::DeadlineExceededError(
          "xl-virtfs watch runs, but the share was not ready in time: its log (journalctl -u xl-virtfs-watch) says "
          "why");
    }
    return absl::DeadlineExceededError(absl::StrCat("nobody in domain ", backend->id,
                                                    " serves the share: start `xl-virtfs watch` there",
                                                    " (systemctl start xl-virtfs-watch), which starts what does"));
  }
  return written.status();
}

absl::StatusOr<uint32_t> GuestShares::Attach(std::string_view text, const ShareSpec& spec, milliseconds patience) {
  std::string backend = spec.backend;
  if (backend.empty()) {
    const absl::StatusOr<uint32_t> own = OwnDomain(store_);
    if (!own.ok()) return own.status();
    backend = absl::StrCat(*own);
  }
  const absl::StatusOr<Domain> serving = FindDomain(store_, backend);
  if (!serving.ok()) return serving.status();
  const std::vector<AttachedShare> attached = AttachedShares(store_, guest_.id);
  const auto taken = [&](uint32_t devid) {
    return IsTaken(store_, {.guest = guest_.id, .backend = serving->id}, devid) ||
           std::any_of(attached.begin(), attached.end(), [&](const auto& share) { return share.devid == devid; });
  };
  const bool same_tag =
      std::any_of(record_.shares.begin(), record_.shares.end(), [&](const auto& s) { return TagOf(s) == spec.tag; }) ||
      std::any_of(attached.begin(), attached.end(), [&](const auto& share) { return share.tag == spec.tag; });
  if (same_tag) {
    return absl::AlreadyExistsError(
        absl::StrCat("tag=", spec.tag, ": ", record_.name, " has a share with this tag already: write another tag"));
  }
  const uint32_t devid = spec.devid ? *spec.devid : FirstFreeDevid(record_, taken);
  if (FindShare(record_, devid) != nullptr || taken(devid)) {
    return absl::AlreadyExistsError(absl::StrCat(
        "devid=", devid, ": ", record_.name, " has a share with this devid already: write another, or leave it out"));
  }
  record_.shares.push_back({.devid = devid, .backend = backend, .spec = WithoutPlace(text)});
  if (absl::Status saved = Save(); !saved.ok()) return saved;
  const absl::Status written = Write(record_.shares.back(), patience);
  if (written.ok()) return devid;
  record_.shares.pop_back();
  if (absl::Status saved = Save(); !saved.ok()) {
    return absl::UnavailableError(absl::StrCat(std::string(written.message()),
                                               "\nand the share stays in the record: ", std::string(saved.message())));
  }
  return written;
}

absl::Status GuestShares::Restore(const RecordedShare& share, milliseconds patience) {
  if (const std::optional<AttachedShare> attached = Attached(share.devid)) {
    if (attached->ready) return absl::OkStatus();
    // The watch has begun with it, or somebody was killed. Nobody else has it now.
    absl::Status removed = RemoveShare(store_, {.guest = guest_.id, .backend = attached->backend}, share.devid,
                                       milliseconds(0), /*force=*/true);
    if (!removed.ok()) return removed;
  }
  return Write(share, patience);
}

absl::StatusOr<uint32_t> GuestShares::Find(const std::string& device) {
  const std::vector<AttachedShare> attached = AttachedShares(store_, guest_.id);
  const std::optional<uint32_t> number = xenstore::ParseNumber(device, 0, INT32_MAX);
  for (const RecordedShare& share : record_.shares) {
    if (number ? share.devid == *number : TagOf(share) == device) return share.devid;
  }
  for (const AttachedShare& share : attached) {
    if (number ? share.devid == *number : share.tag == device) return share.devid;
  }
  return absl::NotFoundError(absl::StrCat(guest_.name, " has no share ", device, ": `xl-virtfs list ", guest_.name,
                                          "` shows the device ids and tags of those that it has"));
}

std::optional<AttachedShare> GuestShares::Attached(uint32_t devid) {
  for (AttachedShare& share : AttachedShares(store_, guest_.id)) {
    if (share.devid == devid) return std::move(share);
  }
  return std::nullopt;
}

absl::Status GuestShares::Detach(uint32_t devid, milliseconds patience, bool force) {
  const auto removed = std::remove_if(record_.shares.begin(), record_.shares.end(),
                                      [&](const RecordedShare& share) { return share.devid == devid; });
  if (removed != record_.shares.end()) {
    record_.shares.erase(removed, record_.shares.end());
    if (absl::Status saved = Save(); !saved.ok()) return saved;
  }
  const std::optional<AttachedShare> attached = Attached(devid);
  if (!attached) return absl::OkStatus();
  return RemoveShare(store_, {.guest = guest_.id, .backend = attached->backend}, devid, patience, force);
}

absl::Status GuestShares::Forget() {
  record_.shares.clear();
  if (absl::Status saved = Save(); !saved.ok()) return saved;
  for (const AttachedShare& share : AttachedShares(store_, guest_.id)) {
    if (share.mark.empty()) continue;
    absl::Status removed = RemoveShare(store_, {.guest = guest_.id, .backend = share.backend}, share.devid,
                                       milliseconds(0), /*force=*/true);
    if (!removed.ok()) return removed;
  }
  return absl::OkStatus();
}

}  // namespace virtfs::toolstack
