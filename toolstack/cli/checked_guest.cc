#include "toolstack/cli/checked_guest.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "toolstack/domain.h"

namespace virtfs::toolstack {

absl::StatusOr<uint32_t> BackendOf(xenstore::Store& store, const ShareSpec& spec) {
  if (spec.backend.empty()) return OwnDomain(store);
  const absl::StatusOr<Domain> domain = FindDomain(store, spec.backend);
  if (!domain.ok())
    return absl::NotFoundError("backend=" + spec.backend + ": " + std::string(domain.status().message()));
  return domain->id;
}

absl::Status CheckShare(const ShareSpec& spec, const HostConfig& host) {
  if (!spec.backend.empty()) {
    absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
    if (!store.ok()) return store.status();
    const absl::StatusOr<uint32_t> backend = BackendOf(**store, spec), own = OwnDomain(**store);
    if (!backend.ok()) return backend.status();
    if (!own.ok()) return own.status();
    if (*backend != *own) return absl::OkStatus();  // Its keeper looks at its directories.
  }
  return CheckDirectory(spec, host);
}

absl::StatusOr<GuestConfig> CheckGuest(const std::string& path, const HostConfig& host) {
  absl::StatusOr<GuestConfig> guest = ReadGuestConfig(path, host);
  if (!guest.ok()) return guest;
  for (const GuestShare& share : guest->shares) {
    const absl::Status status = CheckShare(share.spec, host);
    if (!status.ok()) guest->mistakes.push_back({path, share.line, "virtfs", std::string(status.message())});
  }
  std::stable_sort(guest->mistakes.begin(), guest->mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.line < b.line; });
  return guest;
}

}  // namespace virtfs::toolstack
