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
#include "backend/keeper/share.h"
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
  Keeper(xenstore::Store& store, UniqueFd signals, uint32_t own, uint32_t backend, uint32_t guest)
      : store_(store),
        signals_(std::move(signals)),
        is_privileged_(own == 0),
        backend_(backend),
        guest_(guest),
        root_(xenstore::BackendRoot(backend, guest)) {}

  absl::Status Run();

 private:
  struct Entry {
    std::unique_ptr<Share> share;
    bool due = true;
  };

  void MakeAllDue() {
    for (auto& [devid, entry] : shares_) entry.due = true;
  }
  void ReadWatches();
  void ReadSignals();
  void FindShares();
  void StepShares(Time now);
  bool IsDone() const;
  void Sleep(Time now);
  void RemoveNodes();

  xenstore::Store& store_;
  const UniqueFd signals_;
  const bool is_privileged_;
  const uint32_t backend_, guest_;
  const std::string root_;

  std::map<uint32_t, Entry> shares_;
  bool look_for_shares_ = true;
  bool look_for_guest_ = true;
  Share::Circumstances circumstances_;
  bool end_now_ = false;
};

absl::Status Keeper::Run() {
  if (!store_.Watch(root_, root_).ok() || !store_.Watch(kReleaseDomain, kReleaseDomain).ok()) {
    return absl::UnavailableError("xenstored refuses watches");
  }
  for (;;) {
    ReadWatches();
    ReadSignals();
    // Only domain 0 may ask; elsewhere a guest's end shows by the toolstack's removing its nodes.
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

// Tokens: the root of all shares, @releaseDomain, or the devid of a share whose frontend state changed.
void Keeper::ReadWatches() {
  for (int i = 0; i < kEventsAtOnce; ++i) {
    const std::optional<xenstore::WatchEvent> event = store_.NextWatch();
    if (!event) return;
    if (event->token == kReleaseDomain) {
      look_for_guest_ = true;
      continue;
    }
    std::string_view devid = event->token;
    if (event->token == root_) {
      devid = event->path;
      devid.remove_prefix(std::min(devid.size(), root_.size() + 1));
      devid = devid.substr(0, devid.find('/'));
    }
    const std::optional<uint32_t> number = xenstore::ParseNumber(devid, 0, kMaxDevid);
    if (const auto found = number ? shares_.find(*number) : shares_.end(); found != shares_.end()) {
      found->second.due = true;
      continue;
    }
    look_for_shares_ = true;
    // The directory of them all may have gone, and they with it.
    if (!number) MakeAllDue();
  }
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
  const Result<std::vector<std::string>> names = store_.List(root_);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const std::optional<uint32_t> devid = xenstore::ParseNumber(name, 0, kMaxDevid);
    if (!devid || shares_.contains(*devid)) continue;
    const xenstore::SharePaths paths(backend_, guest_, *devid);
    // The state comes last when a share is attached; until then there is nothing to be seen.
    if (!store_.Exists(absl::StrCat(paths.backend_dir, "/" XEN_VIRTFS_NODE_FRONTEND)) ||
        !store_.Exists(absl::StrCat(paths.backend_dir, "/" XEN_VIRTFS_NODE_STATE))) {
      continue;
    }
    shares_[*devid].share = std::make_unique<Share>(store_, backend_, guest_, *devid, Clock::now());
    (void)store_.Watch(absl::StrCat(paths.frontend_dir, "/" XEN_VIRTFS_NODE_STATE), absl::StrCat(*devid));
  }
}

void Keeper::StepShares(Time now) {
  for (auto it = shares_.begin(); it != shares_.end();) {
    Share& share = *it->second.share;
    const std::optional<Time> wake = share.WakeTime();
    if (std::exchange(it->second.due, false) || (wake && *wake <= now)) share.Step(now, circumstances_);
    if (share.phase() != Phase::kGone) {
      ++it;
      continue;
    }
    store_.Unwatch(absl::StrCat(share.paths().frontend_dir, "/" XEN_VIRTFS_NODE_STATE), absl::StrCat(it->first));
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
  for (auto& [devid, entry] : shares_) {
    for (int fd : entry.share->WakeFds()) {
      fds.push_back({fd, POLLIN, 0});
      owners.push_back(&entry);
    }
    const std::optional<Time> at = entry.share->WakeTime();
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
  if (ready <= 0) return;
  for (size_t i = 0; i < fds.size(); ++i) {
    // Most of what servers say is between them and the handle broker, and no reason to look at xenstore.
    if (owners[i] != nullptr && fds[i].revents != 0 && owners[i]->share->Listen(Clock::now())) owners[i]->due = true;
  }
}

void Keeper::RemoveNodes() {
  (void)store_.Remove(root_);
  (void)store_.Remove(xenstore::PrivateRoot(backend_, guest_));
}

Result<UniqueFd> CatchSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return Errno::Last();
  UniqueFd fd(signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd.ok()) return Errno::Last();
  return fd;
}

}  // namespace

absl::Status RunKeeper(const KeeperOptions& options) {
  // Before libxenstore makes its thread.
  Result<UniqueFd> signals = CatchSignals();
  if (!signals.ok()) return absl::InternalError(absl::StrCat("cannot wait for signals: ", signals.error().message()));
  absl::StatusOr<std::unique_ptr<xenstore::Store>> opened = xenstore::Store::Open();
  if (!opened.ok()) return opened.status();
  xenstore::Store& store = **opened;

  const Result<std::string> domid = store.Read("domid");
  const uint32_t own = domid.ok() ? xenstore::ParseNumber(*domid).value_or(0) : 0;
  const uint32_t backend = options.backend.value_or(own);
  if (own == 0 && !store.IsDomainIntroduced(options.guest) &&
      !store.Exists(xenstore::BackendRoot(backend, options.guest))) {
    if (store.lost()) return StoreLost();
    return absl::NotFoundError(absl::StrCat("there is no domain ", options.guest,
                                            ": create the guest first (`xl list` shows those that exist)"));
  }
  absl::StatusOr<KeeperClaim> claim = KeeperClaim::Take(store, xenstore::PrivateRoot(backend, options.guest));
  if (!claim.ok()) return claim.status();
  return Keeper(store, *std::move(signals), own, backend, options.guest).Run();
}

}  // namespace virtfs::backend
