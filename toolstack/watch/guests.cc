#include "toolstack/watch/guests.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "toolstack/attach.h"
#include "toolstack/config/host_config.h"
#include "toolstack/domain.h"
#include "toolstack/hand_over.h"
#include "toolstack/records/guest_lock.h"
#include "toolstack/watch/event_path.h"
#include "toolstack/watch/log.h"
#include "xen/io/virtfs.h"

namespace virtfs::toolstack {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using xenstore::SharePaths;
using xenstore::State;

constexpr char kDomains[] = "/local/domain";
constexpr char kVmToken[] = "vm";
constexpr char kSharesToken[] = "shares";

// A command that holds a guest's lock may do so for as long as a backend takes to answer.
constexpr milliseconds kLockedPause{100};
constexpr seconds kFailedPause{5};
// A backend takes at most 20 s to close a share (docs/virtfs.md 12.3).
constexpr seconds kCloseTime{30};
constexpr std::chrono::hours kKeepPause{1};
constexpr int64_t kAbsence = int64_t{30} * 24 * 3600;
// Before 2024 a clock has not been set yet.
constexpr int64_t kFirstTime = 1704067200;

// Of the private directory of a share: not what it was attached with.
bool IsBackendsOwn(const std::string& name) {
  return name == XEN_VIRTFS_NODE_ERROR || (name.starts_with("x-") && name != kMarkNode);
}

std::string DomainPath(uint32_t domid) { return absl::StrCat(kDomains, "/", domid); }

// Where a backend's shares are, of all guests.
std::vector<std::string> RootsOf(uint32_t backend) {
  return {absl::StrCat(DomainPath(backend), "/virtfs"), absl::StrCat(DomainPath(backend), "/backend/virtfs"),
          absl::StrCat(DomainPath(backend), "/backend/9pfs")};
}

void Earlier(std::optional<Guests::Time>& time, std::optional<Guests::Time> other) {
  if (other && (!time || *other < *time)) time = other;
}

}  // namespace

Keep HowToKeep(const Record& record, bool is_present, int64_t now) {
  if (is_present) return record.absent_since ? Keep::kMarkPresent : Keep::kAsItIs;
  if (now < kFirstTime) return Keep::kAsItIs;
  // Marked by a clock that was ahead.
  if (!record.absent_since || *record.absent_since > now) return Keep::kMarkAbsent;
  return now - *record.absent_since > kAbsence ? Keep::kForget : Keep::kAsItIs;
}

Guests::Guests(xenstore::Store& store, Options options)
    : store_(store), options_(std::move(options)), records_(options_.records) {}

absl::Status Guests::Start() {
  if (!store_.List(kDomains).ok()) {
    return absl::PermissionDeniedError(
        "xenstored does not let this domain see the others: write --toolstack in domain 0 or where it may alone");
  }
  SeeBackend(options_.own);
  return WatchRecords();
}

absl::Status Guests::WatchRecords() {
  if (mkdir(options_.records.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::UnavailableError(absl::StrCat("cannot make ", options_.records, ": ", strerror(errno)));
  }
  inotify_.reset(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  // A record changes by a file's being renamed over it.
  constexpr uint32_t kEvents = IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_DELETE | IN_ONLYDIR;
  if (!inotify_.ok() || inotify_add_watch(inotify_.get(), options_.records.c_str(), kEvents) < 0) {
    return absl::UnavailableError(absl::StrCat("cannot watch ", options_.records, ": ", strerror(errno)));
  }
  return absl::OkStatus();
}

bool Guests::Hear(const xenstore::WatchEvent& event) {
  if (event.token == kVmToken) {
    if (const std::optional<uint32_t> domid = DomidBelow(kDomains, event.path)) MakeDue(*domid);
    // A record may have got its domain.
    keep_time_ = Time::min();
    return true;
  }
  if (event.token != kSharesToken) return false;
  const std::optional<uint32_t> backend = DomidBelow(kDomains, event.path);
  if (!backend) return true;
  for (const std::string& root : RootsOf(*backend)) {
    if (const std::optional<uint32_t> guest = DomidBelow(root, event.path)) MakeDue(*guest);
  }
  return true;
}

void Guests::HearRecords() {
  alignas(inotify_event) char buffer[8192];
  for (;;) {
    const ssize_t size = read(inotify_.get(), buffer, sizeof(buffer));
    if (size <= 0) return;
    for (ssize_t at = 0; at < size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      std::optional<std::string> uuid;
      if (event->len > 0) uuid = RecordStore::UuidOf(event->name);
      // The directory has gone, or there was more than the kernel could keep.
      const bool any = (event->mask & (IN_IGNORED | IN_Q_OVERFLOW)) != 0;
      for (auto& [domid, domain] : domains_) domain.due = domain.due || any || domain.uuid == uuid;
      if (any || uuid) keep_time_ = Time::min();
      if ((event->mask & IN_IGNORED) == 0) continue;
      if (absl::Status watched = WatchRecords(); !watched.ok()) Log(WatchLog::kError, std::string(watched.message()));
      break;
    }
  }
}

void Guests::MakeDue(uint32_t domid) {
  if (const auto found = domains_.find(domid); found != domains_.end()) found->second.due = true;
}

void Guests::SeeBackend(uint32_t backend) {
  if (!backends_.insert(backend).second) return;
  for (const std::string& root : RootsOf(backend)) (void)store_.Watch(root, kSharesToken);
}

void Guests::LookAtAllDomains() {
  std::set<uint32_t> living;
  const Result<std::vector<std::string>> names = store_.List(kDomains);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const std::optional<uint32_t> domid = xenstore::ParseNumber(name, 0, xenstore::kMaxDomid);
    if (!domid || (*domid != 0 && !store_.IsDomainIntroduced(*domid))) continue;
    living.insert(*domid);
    if (domains_.try_emplace(*domid).second) {
      (void)store_.Watch(absl::StrCat(DomainPath(*domid), "/", kVmToken), kVmToken);
    }
    if (store_.Exists(RootsOf(*domid).front())) SeeBackend(*domid);
  }
  if (store_.lost()) return;
  for (auto it = domains_.begin(); it != domains_.end();) {
    it->second.due = true;
    if (living.contains(it->first)) {
      ++it;
      continue;
    }
    store_.Unwatch(absl::StrCat(DomainPath(it->first), "/", kVmToken), kVmToken);
    it = domains_.erase(it);
  }
  for (auto it = backends_.begin(); it != backends_.end();) {
    if (living.contains(*it) || *it == options_.own) {
      if (*it != options_.own) RemoveDead(*it);
      ++it;
      continue;
    }
    for (const std::string& root : RootsOf(*it)) store_.Unwatch(root, kSharesToken);
    it = backends_.erase(it);
  }
  keep_time_ = Time::min();
}

// Another backend domain's keepers cannot ask whether their guests live.
void Guests::RemoveDead(uint32_t backend) {
  const Result<std::vector<std::string>> names = store_.List(RootsOf(backend).front());
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const std::optional<uint32_t> guest = xenstore::ParseNumber(name, 0, xenstore::kMaxDomid);
    if (!guest || domains_.contains(*guest)) continue;
    const Result<std::vector<std::string>> shares = store_.List(xenstore::PrivateRoot(backend, *guest));
    for (const std::string& share : shares.ok() ? *shares : std::vector<std::string>()) {
      const auto key = xenstore::ParseShareName(share);
      if (key) (void)RemoveNodes(store_, {.guest = *guest, .backend = backend}, key->first, key->second);
    }
  }
}

void Guests::Step(Time now) {
  if (std::exchange(look_at_domains_, false)) LookAtAllDomains();
  for (auto& [domid, domain] : domains_) {
    const bool is_time = domain.retry_time && *domain.retry_time <= now;
    if (!std::exchange(domain.due, false) && !is_time) continue;
    domain.retry_time.reset();
    Look(domid, domain, now);
    if (store_.lost()) return;
  }
  if (keep_time_ && *keep_time_ <= now) KeepRecords(now);
}

void Guests::Look(uint32_t domid, Domain& domain, Time now) {
  const absl::StatusOr<toolstack::Domain> known = DomainOf(store_, domid);
  domain.uuid = known.ok() && IsUuid(known->uuid) ? known->uuid : "";
  if (domain.uuid.empty()) return;
  absl::StatusOr<Plan> plan = MakePlan(domid, domain, now);
  if (plan.ok() && !plan->actions.empty()) {
    const absl::StatusOr<GuestLock> lock = GuestLock::Take(options_.runtime, domain.uuid, milliseconds(0));
    if (absl::IsDeadlineExceeded(lock.status())) {
      Earlier(domain.retry_time, now + kLockedPause);
      return;
    }
    // Under the lock, all anew: what was seen may have been half of what its holder did.
    plan = lock.ok() ? MakePlan(domid, domain, now) : lock.status();
    const absl::StatusOr<toolstack::Domain> still = DomainOf(store_, domid);
    if (plan.ok() && (!still.ok() || still->uuid != domain.uuid || !store_.IsDomainIntroduced(domid))) {
      // It has died, and what it has is for its keeper to remove.
      plan->actions.clear();
    }
    for (const Action& action : plan.ok() ? plan->actions : std::vector<Action>()) {
      if (const absl::Status done = Do(domid, action); !done.ok()) plan = done;
      if (!plan.ok()) break;
    }
  }
  // A backend domain may get its name only after it has appeared: xl renames what has migrated.
  if (!plan.ok() || !plan->wanted.unclear.empty()) Earlier(domain.retry_time, now + kFailedPause);
  Tell(domid, domain, plan.ok() ? plan->trouble : std::string(plan.status().message()));
}

absl::StatusOr<Guests::Plan> Guests::MakePlan(uint32_t domid, Domain& domain, Time now) {
  const absl::StatusOr<std::optional<Record>> record = records_.Load(domain.uuid);
  // One that cannot be read is not taken for one without shares.
  if (!record.ok()) return record.status();
  Plan plan;
  if (*record) plan.wanted = WantedBy(**record, plan.trouble);
  plan.found = FindShares(domid);
  LeaveOutForbidden(plan);
  std::map<ShareKey, Time> unwanted;
  for (FoundShare& share : plan.found) {
    if (!IsUnwanted(domain.uuid, plan.wanted, share)) continue;
    const auto known = domain.unwanted_since.find(share.key);
    const Time since = known == domain.unwanted_since.end() ? now : known->second;
    unwanted[share.key] = since;
    share.overdue = now - since >= kCloseTime;
    if (!share.overdue) Earlier(domain.retry_time, since + kCloseTime);
  }
  domain.unwanted_since = std::move(unwanted);
  plan.actions = Reconcile(domain.uuid, plan.wanted, plan.found);
  for (const WantedShare& share : plan.wanted.shares) {
    const bool is_in_the_way = std::any_of(plan.found.begin(), plan.found.end(), [&share](const FoundShare& found) {
      return found.key.devid == share.spec.devid && found.mark().empty();
    });
    if (is_in_the_way) {
      plan.trouble = absl::StrCat("share ", *share.spec.devid,
                                  " of its record cannot be attached: another one, which virtfs-attach or somebody "
                                  "else attached, has that device id; detach it");
    }
  }
  return plan;
}

// A share is attached only where virtfs.conf allows it now, whatever that allowed when it was recorded. One that is
// attached stays.
void Guests::LeaveOutForbidden(Plan& plan) {
  const auto is_missing = [&](const WantedShare& share) {
    return share.backend == options_.own && std::none_of(plan.found.begin(), plan.found.end(), [&](const auto& found) {
             return found.key.backend == share.backend && found.key.devid == share.spec.devid;
           });
  };
  if (std::none_of(plan.wanted.shares.begin(), plan.wanted.shares.end(), is_missing)) return;
  const absl::StatusOr<HostConfig> host = ReadHostConfig(options_.config);
  std::erase_if(plan.wanted.shares, [&](const WantedShare& share) {
    if (!is_missing(share)) return false;
    const absl::Status allowed = host.ok() ? CheckRoots(share.spec, *host) : host.status();
    if (allowed.ok()) return false;
    plan.wanted.unclear.insert(*share.spec.devid);
    plan.trouble =
        absl::StrCat("share ", *share.spec.devid, " of its record is not attached: ", std::string(allowed.message()));
    return true;
  });
}

absl::StatusOr<uint32_t> Guests::BackendOf(const RecordedShare& share) {
  if (share.backend == absl::StrCat(options_.own)) return options_.own;
  const absl::StatusOr<toolstack::Domain> backend = FindDomain(store_, share.backend);
  if (!backend.ok()) return backend.status();
  return backend->id;
}

Wanted Guests::WantedBy(const Record& record, std::string& trouble) {
  Wanted wanted;
  for (const RecordedShare& share : record.shares) {
    absl::StatusOr<ShareSpec> spec = SpecOf(record, share);
    const absl::StatusOr<uint32_t> backend = BackendOf(share);
    if (spec.ok() && backend.ok()) {
      SeeBackend(*backend);
      wanted.shares.push_back({.backend = *backend, .spec = *std::move(spec)});
    } else {
      wanted.unclear.insert(share.devid);
      trouble = absl::StrCat("share ", share.devid, " of its record cannot be attached: ",
                             std::string((spec.ok() ? backend.status() : spec.status()).message()));
    }
  }
  return wanted;
}

std::vector<FoundShare> Guests::FindShares(uint32_t domid) {
  std::vector<FoundShare> found;
  for (const uint32_t backend : backends_) {
    const Result<std::vector<std::string>> names = store_.List(xenstore::PrivateRoot(backend, domid));
    for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
      const auto share = xenstore::ParseShareName(name);
      if (!share) continue;
      found.push_back(ReadShare(domid, {.backend = backend, .type = share->first, .devid = share->second}));
    }
  }
  return found;
}

FoundShare Guests::ReadShare(uint32_t domid, const ShareKey& key) {
  const SharePaths paths(key.backend, domid, key.type, key.devid);
  FoundShare share;
  share.key = key;
  const Result<std::vector<std::string>> nodes = store_.List(paths.private_dir);
  for (const std::string& name : nodes.ok() ? *nodes : std::vector<std::string>()) {
    if (IsBackendsOwn(name)) continue;
    Result<std::string> value = store_.Read(absl::StrCat(paths.private_dir, "/", name));
    if (value.ok()) share.nodes[name] = *std::move(value);
  }
  const auto says = [&](const std::string& directory, const char* node) {
    const Result<std::string> value = store_.Read(absl::StrCat(directory, "/", node));
    return value.ok() ? *value : std::string();
  };
  const std::optional<uint32_t> state =
      xenstore::ParseNumber(says(paths.backend_dir, XEN_VIRTFS_NODE_STATE), 0, static_cast<uint32_t>(State::kClosed));
  share.state = static_cast<State>(state.value_or(0));
  share.handed_over = !says(paths.private_dir, xenstore::kHandOverNode).empty();
  share.online = says(paths.backend_dir, XEN_VIRTFS_NODE_ONLINE) == "1";
  share.has_frontend = says(paths.frontend_dir, XEN_VIRTFS_NODE_BACKEND) == paths.backend_dir;
  return share;
}

absl::Status Guests::Do(uint32_t domid, const Action& action) {
  constexpr const char* kNames[] = {"is being attached", "is attached", "is being detached: no record has it",
                                    "is removed", "is opened again: who saved the guest has ended"};
  const Domains domains{.guest = domid, .backend = action.key.backend};
  absl::Status done;
  switch (action.step) {
    case Step::kBegin:
      done = BeginShare(store_, domains, action.share->spec);
      break;
    case Step::kFinish:
      done = FinishShare(store_, domains, action.share->spec);
      break;
    case Step::kClose:
      done = AskToClose(store_, domains, action.key.type, action.key.devid);
      break;
    case Step::kRemove:
      done = RemoveNodes(store_, domains, action.key.type, action.key.devid);
      break;
    case Step::kTakeBack:
      done = TakeBack(store_, domains, action.key.devid);
      break;
  }
  if (done.ok()) {
    Log(WatchLog::kInfo,
        absl::StrCat("domain ", domid, ": share ", action.key.devid, " ", kNames[static_cast<size_t>(action.step)]));
  }
  return done;
}

void Guests::Tell(uint32_t domid, Domain& domain, const std::string& trouble) {
  if (trouble == domain.trouble) return;
  domain.trouble = trouble;
  if (!trouble.empty()) Log(WatchLog::kWarning, absl::StrCat("domain ", domid, ": ", trouble));
}

// Marks the records of guests that have come or gone, and forgets those that are gone for long.
void Guests::KeepRecords(Time now) {
  keep_time_ = now + kKeepPause;
  const absl::StatusOr<RecordStore::Listing> all = records_.All();
  if (!all.ok()) return Log(WatchLog::kError, std::string(all.status().message()));
  std::set<std::string> present;
  for (const auto& [domid, domain] : domains_) present.insert(domain.uuid);
  const int64_t seconds_now = time(nullptr);
  for (const Record& seen : all->records) {
    if (HowToKeep(seen, present.contains(seen.uuid), seconds_now) == Keep::kAsItIs) continue;
    const absl::StatusOr<GuestLock> lock = GuestLock::Take(options_.runtime, seen.uuid, milliseconds(0));
    if (!lock.ok()) {
      Earlier(keep_time_, now + (absl::IsDeadlineExceeded(lock.status()) ? seconds(1) : kFailedPause));
      continue;
    }
    absl::StatusOr<std::optional<Record>> record = records_.Load(seen.uuid);
    if (!record.ok() || !*record) continue;
    absl::Status kept;
    switch (HowToKeep(**record, present.contains(seen.uuid), seconds_now)) {
      case Keep::kAsItIs:
        break;
      case Keep::kMarkAbsent:
        (*record)->absent_since = seconds_now;
        kept = records_.Save(**record);
        break;
      case Keep::kMarkPresent:
        (*record)->absent_since.reset();
        kept = records_.Save(**record);
        break;
      case Keep::kForget:
        kept = records_.Remove(seen.uuid);
        Log(WatchLog::kInfo, absl::StrCat("the record of ", seen.name, " is forgotten: it has been gone for 30 days"));
        break;
    }
    if (!kept.ok()) Log(WatchLog::kError, std::string(kept.message()));
  }
}

std::optional<Guests::Time> Guests::WakeTime() const {
  std::optional<Time> wake = look_at_domains_ ? Time::min() : keep_time_;
  for (const auto& [domid, domain] : domains_) {
    if (domain.due) return Time::min();
    Earlier(wake, domain.retry_time);
  }
  return wake;
}

}  // namespace virtfs::toolstack
