#include "backend/keeper/keeper.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backend/keeper/keeper_claim.h"
#include "backend/keeper/log.h"
#include "backend/keeper/report.h"
#include "backend/keeper/share.h"
#include "backend/keeper/status_socket.h"
#include "base/end_signals.h"
#include "base/unique_fd.h"
#include "xen/io/virtfs.h"
#include "xenstore/number.h"
#include "xenstore/paths.h"
#include "xenstore/store.h"

namespace virtfs::backend {
namespace {

using Clock = Pace::Clock;
using Time = Pace::Time;

constexpr char kReleaseDomain[] = "@releaseDomain";
constexpr uint32_t kMaxDevid = INT32_MAX;
// Watch events read before the shares get their turn, so that a guest that floods us does not stop them.
constexpr int kEventsAtOnce = 4096;
// libxenstore tells nobody that xenstored is gone until something is asked of it.
constexpr std::chrono::seconds kProbeTime{5};

absl::Status StoreLost() {
  return absl::UnavailableError(
      "the connection to xenstored is lost: all shares of this guest are ended; start xen-virtfsd again once xenstored "
      "answers");
}

class Keeper {
 public:
  // `status`: null if nobody can be told how the shares are.
  Keeper(xenstore::Store& store, UniqueFd signals, StatusSocket* status, uint32_t own, uint32_t backend, uint32_t guest)
      : store_(store),
        signals_(std::move(signals)),
        status_(status),
        is_privileged_(own == 0),
        backend_(backend),
        guest_(guest) {}

  absl::Status Run();

 private:
  struct Device {
    xenstore::DeviceType type;
    uint32_t devid;
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the zero in it for a pointer.
    friend auto operator<=>(const Device&, const Device&) = default;
  };
  struct Entry {
    std::unique_ptr<Share> share;
    bool due = true;
  };

  void MakeAllDue() {
    for (auto& [device, entry] : shares_) entry.due = true;
  }
  std::string PrivateRoot() const { return xenstore::PrivateRoot(backend_, guest_); }
  std::string RootOf(xenstore::DeviceType type) const { return xenstore::BackendRoot(backend_, guest_, type); }
  std::optional<Device> DeviceOf(const xenstore::WatchEvent& event) const;
  void FindSharesOf(xenstore::DeviceType type);
  void ReadWatches();
  void ReadSignals();
  void FindShares();
  void StepShares(Time now);
  bool IsDone() const;
  void Sleep(Time now);
  void RemoveNodes();
  std::string Report();

  xenstore::Store& store_;
  const UniqueFd signals_;
  StatusSocket* const status_;
  const bool is_privileged_;
  const uint32_t backend_, guest_;

  std::map<Device, Entry> shares_;
  bool look_for_shares_ = true;
  bool look_for_guest_ = true;
  Share::Circumstances circumstances_;
  bool end_now_ = false;
};

absl::Status Keeper::Run() {
  bool watches = store_.Watch(kReleaseDomain, kReleaseDomain).ok() && store_.Watch(PrivateRoot(), PrivateRoot()).ok();
  for (const xenstore::DeviceType type : xenstore::kDeviceTypes) {
    watches = watches && store_.Watch(RootOf(type), RootOf(type)).ok();
  }
  if (!watches) return absl::UnavailableError("xenstored refuses watches");
  for (;;) {
    ReadWatches();
    ReadSignals();
    // Only domain 0 may ask; elsewhere a guest's end shows by the loss of its nodes (StepShares).
    if (std::exchange(look_for_guest_, false) && is_privileged_ && !store_.IsDomainIntroduced(guest_) &&
        !store_.lost()) {
      circumstances_.guest_gone = true;
      MakeAllDue();
    }
    const Time now = Clock::now();
    do {
      if (std::exchange(look_for_shares_, false)) FindShares();
      StepShares(now);
    } while (look_for_shares_ && !store_.lost());
    if (store_.lost()) return StoreLost();
    if (IsDone()) break;
    Sleep(now);
  }
  if (circumstances_.guest_gone) {
    RemoveNodes();
    Log(LogLevel::kInfo, absl::StrCat("domain ", guest_), "is gone; nothing is left of its shares");
  }
  return absl::OkStatus();
}

// Tokens: the root of all shares of a type or of their private directories, @releaseDomain, or the backend directory of
// a share whose frontend state changed.
void Keeper::ReadWatches() {
  for (int i = 0; i < kEventsAtOnce; ++i) {
    const std::optional<xenstore::WatchEvent> event = store_.NextWatch();
    if (!event) return;
    if (event->token == kReleaseDomain) {
      look_for_guest_ = true;
      continue;
    }
    const std::optional<Device> device = DeviceOf(*event);
    if (const auto found = device ? shares_.find(*device) : shares_.end(); found != shares_.end()) {
      found->second.due = true;
      continue;
    }
    look_for_shares_ = true;
    // The directory of them all may have gone, and they with it.
    if (!device) MakeAllDue();
  }
}

// Which share a watch tells of; none: the directory of all of them, or nonsense.
std::optional<Keeper::Device> Keeper::DeviceOf(const xenstore::WatchEvent& event) const {
  if (event.token == PrivateRoot()) {
    std::string_view name = event.path;
    name.remove_prefix(std::min(name.size(), event.token.size() + 1));
    const auto share = xenstore::ParseShareName(name.substr(0, name.find('/')));
    return share ? std::optional<Device>({.type = share->first, .devid = share->second}) : std::nullopt;
  }
  for (const xenstore::DeviceType type : xenstore::kDeviceTypes) {
    const std::string root = RootOf(type);
    std::string_view devid = event.token == root ? event.path : event.token;
    if (!devid.starts_with(root)) continue;
    devid.remove_prefix(std::min(devid.size(), root.size() + 1));
    const std::optional<uint32_t> number = xenstore::ParseNumber(devid.substr(0, devid.find('/')), 0, kMaxDevid);
    return number ? std::optional<Device>({.type = type, .devid = *number}) : std::nullopt;
  }
  return std::nullopt;
}

void Keeper::ReadSignals() {
  signalfd_siginfo signal;
  while (read(signals_.get(), &signal, sizeof(signal)) == sizeof(signal)) {
    if (circumstances_.stopping) end_now_ = true;
    if (!circumstances_.stopping) Log(LogLevel::kInfo, "", "told to end: closing all shares");
    circumstances_.stopping = true;
    MakeAllDue();
  }
}

void Keeper::FindShares() {
  if (circumstances_.guest_gone) return;
  for (const xenstore::DeviceType type : xenstore::kDeviceTypes) FindSharesOf(type);
}

void Keeper::FindSharesOf(xenstore::DeviceType type) {
  const Result<std::vector<std::string>> names = store_.List(RootOf(type));
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const std::optional<uint32_t> devid = xenstore::ParseNumber(name, 0, kMaxDevid);
    if (!devid || shares_.contains({type, *devid})) continue;
    const xenstore::SharePaths paths(backend_, guest_, type, *devid);
    // Other backends have 9pfs devices of their own in there.
    if (type == xenstore::DeviceType::kNinepfs && !store_.Exists(paths.private_dir)) continue;
    // The state comes last when a share is attached; until then there is nothing to be seen.
    if (!store_.Exists(absl::StrCat(paths.backend_dir, "/" XEN_VIRTFS_NODE_FRONTEND)) ||
        !store_.Exists(absl::StrCat(paths.backend_dir, "/" XEN_VIRTFS_NODE_STATE))) {
      continue;
    }
    shares_[{type, *devid}].share = std::make_unique<Share>(store_, backend_, guest_, type, *devid, Clock::now());
    (void)store_.Watch(absl::StrCat(paths.frontend_dir, "/" XEN_VIRTFS_NODE_STATE), paths.backend_dir);
  }
}

void Keeper::StepShares(Time now) {
  for (auto it = shares_.begin(); it != shares_.end();) {
    Share& share = *it->second.share;
    const std::optional<Time> wake = share.WakeTime();
    if (std::exchange(it->second.due, false) || (wake && *wake <= now)) share.Step(now, circumstances_);
    if (!is_privileged_ && share.frontend_lost() && !std::exchange(circumstances_.guest_gone, true)) {
      MakeAllDue();
      look_for_shares_ = true;  // Another round, for those that were stepped before.
    }
    if (share.phase() != Phase::kGone) {
      ++it;
      continue;
    }
    store_.Unwatch(absl::StrCat(share.paths().frontend_dir, "/" XEN_VIRTFS_NODE_STATE), share.paths().backend_dir);
    it = shares_.erase(it);
    // It may have been attached again while its old server ended.
    look_for_shares_ = true;
  }
}

bool Keeper::IsDone() const {
  if (end_now_) return true;
  if (circumstances_.guest_gone) return shares_.empty();
  return circumstances_.stopping && std::all_of(shares_.begin(), shares_.end(), [](const auto& entry) {
           return entry.second.share->phase() == Phase::kClosed;
         });
}

void Keeper::Sleep(Time now) {
  std::vector<pollfd> fds = {{store_.watch_fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
  std::vector<Entry*> owners = {nullptr, nullptr};
  std::optional<Time> wake;
  for (auto& [device, entry] : shares_) {
    for (int fd : entry.share->WakeFds()) {
      fds.push_back({fd, POLLIN, 0});
      owners.push_back(&entry);
    }
    const std::optional<Time> at = entry.share->WakeTime();
    if (at && (!wake || *at < *wake)) wake = at;
  }
  const size_t first_of_status = fds.size();
  if (status_ != nullptr) {
    status_->Poll(fds);
    const std::optional<Time> at = status_->WakeTime();
    if (at && (!wake || *at < *wake)) wake = at;
  }
  int timeout = std::chrono::milliseconds(kProbeTime).count();
  if (wake && *wake - now < kProbeTime) {
    // Rounded up: waking a little early would only mean to turn round at once.
    timeout = static_cast<int>(
        std::chrono::ceil<std::chrono::milliseconds>(std::max(*wake - now, Time::duration(0))).count());
  }
  const int ready = poll(fds.data(), fds.size(), timeout);
  if (ready == 0) store_.Probe();
  if (status_ != nullptr) {
    const bool called = std::any_of(fds.begin() + static_cast<ptrdiff_t>(first_of_status), fds.end(),
                                    [](const pollfd& fd) { return fd.revents != 0; });
    const std::optional<Time> at = status_->WakeTime();
    const Time woken = Clock::now();
    if (called || (at && *at <= woken)) status_->Step(woken, [this] { return Report(); });
  }
  if (ready <= 0) return;
  for (size_t i = 0; i < first_of_status; ++i) {
    // Most of what servers say is between them and the handle broker, and no reason to look at xenstore.
    if (owners[i] != nullptr && fds[i].revents != 0 && owners[i]->share->Listen(Clock::now())) owners[i]->due = true;
  }
}

std::string Keeper::Report() {
  std::vector<ShareReport> shares;
  for (auto& [device, entry] : shares_) shares.push_back(entry.share->Report());
  return ReportJson(guest_, backend_, shares);
}

void Keeper::RemoveNodes() {
  (void)store_.Remove(RootOf(xenstore::DeviceType::kVirtfs));
  const std::string own = PrivateRoot();
  const std::string others = RootOf(xenstore::DeviceType::kNinepfs);
  const Result<std::vector<std::string>> names = store_.List(others);
  for (const std::string& devid : names.ok() ? *names : std::vector<std::string>()) {
    if (store_.Exists(absl::StrCat(own, "/", std::string(xenstore::kNinepfsPrefix), devid)))
      (void)store_.Remove(absl::StrCat(others, "/", devid));
  }
  const Result<std::vector<std::string>> left = store_.List(others);
  if (left.ok() && left->empty()) (void)store_.Remove(others);
  (void)store_.Remove(own);
}

}  // namespace

absl::Status RunKeeper(const KeeperOptions& options) {
  // Before libxenstore makes its thread.
  Result<UniqueFd> signals = CatchEndSignals();
  if (!signals.ok()) return absl::InternalError(absl::StrCat("cannot wait for signals: ", signals.error().message()));
  absl::StatusOr<std::unique_ptr<xenstore::Store>> opened = xenstore::Store::Open();
  if (!opened.ok()) return opened.status();
  xenstore::Store& store = **opened;

  const Result<std::string> domid = store.Read("domid");
  const uint32_t own = domid.ok() ? xenstore::ParseNumber(*domid).value_or(0) : 0;
  const uint32_t backend = options.backend.value_or(own);
  if (own == 0 && !store.IsDomainIntroduced(options.guest) &&
      !store.Exists(xenstore::BackendRoot(backend, options.guest, xenstore::DeviceType::kVirtfs)) &&
      !store.Exists(xenstore::PrivateRoot(backend, options.guest))) {
    if (store.lost()) return StoreLost();
    return absl::NotFoundError(absl::StrCat("there is no domain ", options.guest,
                                            ": create the guest first (`xl list` shows those that exist)"));
  }
  // In a driver domain the toolstack makes it, and nobody else can.
  if (own != 0 && !store.Exists(xenstore::PrivateRoot(backend, options.guest))) {
    return absl::NotFoundError(absl::StrCat("domain ", options.guest, " has no share of this domain, ", own,
                                            ": attach one first, with backend=", own));
  }
  absl::StatusOr<KeeperClaim> claim = KeeperClaim::Take(store, xenstore::PrivateRoot(backend, options.guest));
  if (!claim.ok()) return claim.status();
  absl::StatusOr<StatusSocket> status = StatusSocket::Open(options.run_directory, options.guest);
  if (!status.ok()) Log(LogLevel::kWarning, "", absl::StrCat(status.status().message(), ": nobody can ask for status"));
  return Keeper(store, *std::move(signals), status.ok() ? &*status : nullptr, own, backend, options.guest).Run();
}

}  // namespace virtfs::backend
