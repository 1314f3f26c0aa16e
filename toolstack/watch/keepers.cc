#include "toolstack/watch/keepers.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/process_identity.h"
#include "toolstack/watch/event_path.h"
#include "toolstack/watch/log.h"
#include "xenstore/number.h"
#include "xenstore/paths.h"

extern "C" {
#include <sys/pidfd.h>
}

namespace virtfs::toolstack {
namespace {

using std::chrono::seconds;

constexpr seconds kLongestPause{30};
// One that has lived for so long has worked.
constexpr seconds kGoodLife{60};
constexpr seconds kIdleTime{10};
constexpr char kToken[] = "keepers";

// Ours, but for what is between us and systemd.
std::vector<char*> KeeperEnvironment() {
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    if (!text.starts_with("NOTIFY_SOCKET=") && !text.starts_with("WATCHDOG_")) environment.push_back(*variable);
  }
  environment.push_back(nullptr);
  return environment;
}

// In a session of its own, so that what a terminal sends to us is not sent to it. -1 and errno if it fails.
int Spawn(const std::vector<std::string>& command) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);

  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments[0], &files, &attributes, arguments.data(), KeeperEnvironment().data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  errno = error;
  return error == 0 ? pid : -1;
}

bool IsShare(const std::string& name) { return xenstore::ParseShareName(name).has_value(); }

bool HasEnded(const UniqueFd& pidfd) {
  pollfd event{pidfd.get(), POLLIN, 0};
  return poll(&event, 1, 0) == 1;
}

// Of the child that has ended.
std::string HowItEnded(int pid) {
  int status = 0;
  if (waitpid(pid, &status, WNOHANG) != pid) return "has ended";
  if (WIFSIGNALED(status)) return absl::StrCat("was killed by signal ", WTERMSIG(status));
  return absl::StrCat("has ended with status ", WEXITSTATUS(status));
}

}  // namespace

Keepers::Keepers(xenstore::Store& store, Options options)
    : store_(store), options_(std::move(options)), root_(absl::StrCat("/local/domain/", options_.own, "/virtfs")) {}

absl::Status Keepers::Start() {
  if (!store_.Watch(root_, kToken).ok())
    return absl::UnavailableError(absl::StrCat("xenstored lets nobody watch ", root_));
  return absl::OkStatus();
}

std::string Keepers::RootOf(uint32_t domid) const { return xenstore::PrivateRoot(options_.own, domid); }

bool Keepers::Hear(const xenstore::WatchEvent& event) {
  if (event.token != kToken) return false;
  const std::optional<uint32_t> domid = DomidBelow(root_, event.path);
  if (domid) {
    guests_[*domid].due = true;
  } else {
    LookAtAll();
  }
  return true;
}

void Keepers::LookAtAll() { look_at_all_ = true; }

void Keepers::Step(Time now) {
  if (std::exchange(look_at_all_, false)) {
    const Result<std::vector<std::string>> names = store_.List(root_);
    for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
      if (const std::optional<uint32_t> domid = xenstore::ParseNumber(name, 0, xenstore::kMaxDomid)) guests_[*domid];
    }
    for (auto& [domid, guest] : guests_) guest.due = true;
  }
  for (auto it = guests_.begin(); it != guests_.end();) {
    Guest& guest = it->second;
    if (guest.pidfd.ok() && HasEnded(guest.pidfd)) Reap(it->first, guest, now);
    const auto is_now = [now](const std::optional<Time>& time) { return time && *time <= now; };
    if (std::exchange(guest.due, false) || is_now(guest.start_time) || is_now(guest.idle_time)) {
      Look(it->first, guest, now);
    }
    // How often its keepers ended is remembered for a while: a guest can make its shares go and come, and each keeper
    // costs the host a process.
    const bool done = !guest.pidfd.ok() && !guest.start_time && now - guest.since >= kGoodLife;
    it = done ? guests_.erase(it) : std::next(it);
  }
}

void Keepers::Look(uint32_t domid, Guest& guest, Time now) {
  if (!guest.pidfd.ok() && !Find(domid, guest, now) && !store_.Exists(RootOf(domid))) {
    guest.start_time.reset();
    return;
  }
  const bool has_shares = HasShares(domid);
  if (guest.pidfd.ok()) {
    guest.start_time.reset();
    return LookIdle(domid, guest, has_shares, now);
  }
  const bool is_gone = options_.may_ask && !store_.IsDomainIntroduced(domid);
  // A directory without shares is what a killed keeper has left.
  if (!has_shares && !is_gone && RemoveClaim(domid)) {
    guest.start_time.reset();
    return;
  }
  if (store_.lost()) return;
  if (!guest.start_time) guest.start_time = std::max(now, guest.since + guest.pause);
  if (*guest.start_time <= now) StartKeeper(domid, guest, now);
}

// A keeper that runs and that we do not know of.
bool Keepers::Find(uint32_t domid, Guest& guest, Time now) {
  const Result<std::string> claim = store_.Read(absl::StrCat(RootOf(domid), "/", xenstore::kKeeperNode));
  const std::string pid = claim.ok() ? LivingPid(*claim) : "";
  if (pid.empty()) return false;
  const int number = atoi(pid.c_str());
  UniqueFd pidfd(pidfd_open(number, 0));
  // The number may have become another's before it was opened.
  if (!pidfd.ok() || LivingPid(*claim).empty()) return false;
  guest.pidfd = std::move(pidfd);
  guest.pid = number;
  guest.is_child = false;
  guest.since = now;
  Log(WatchLog::kInfo, absl::StrCat("domain ", domid, ": its keeper runs already, process ", pid));
  return true;
}

void Keepers::StartKeeper(uint32_t domid, Guest& guest, Time now) {
  std::vector<std::string> command = options_.command;
  command.insert(command.end(), {"--domid", absl::StrCat(domid)});
  const int pid = Spawn(command);
  if (pid > 0) guest.pidfd.reset(pidfd_open(pid, 0));
  guest.pause = std::clamp(guest.pause * 2, seconds(1), kLongestPause);
  guest.since = now;
  if (!guest.pidfd.ok()) {
    guest.start_time = now + guest.pause;
    if (!std::exchange(guest.announced, true)) {
      Log(WatchLog::kError,
          absl::StrCat("domain ", domid, ": cannot start ", command[0], ": ", strerror(errno), "; trying again"));
    }
    return;
  }
  guest.announced = false;
  guest.start_time.reset();
  guest.pid = pid;
  guest.is_child = true;
  Log(WatchLog::kInfo, absl::StrCat("domain ", domid, ": its keeper is process ", pid));
}

void Keepers::Reap(uint32_t domid, Guest& guest, Time now) {
  const std::string how = guest.is_child ? HowItEnded(guest.pid) : "has ended";
  if (now - guest.since >= kGoodLife) guest.pause = seconds(0);
  guest.pidfd.reset();
  guest.idle_time.reset();
  guest.due = true;
  Log(WatchLog::kInfo, absl::StrCat("domain ", domid, ": its keeper, process ", guest.pid, ", ", how));
}

void Keepers::LookIdle(uint32_t domid, Guest& guest, bool has_shares, Time now) {
  if (has_shares || options_.may_ask) return guest.idle_time.reset();
  if (!guest.idle_time) guest.idle_time = now + kIdleTime;
  if (*guest.idle_time > now) return;
  Log(WatchLog::kInfo, absl::StrCat("domain ", domid, ": has no shares any more; its keeper is told to end"));
  (void)pidfd_send_signal(guest.pidfd.get(), SIGTERM, nullptr, 0);
  guest.idle_time = now + kIdleTime;
}

// False if a share has come meanwhile.
bool Keepers::RemoveClaim(uint32_t domid) {
  return store_
      .Transact([&]() -> Result<void> {
        const Result<std::vector<std::string>> names = store_.List(RootOf(domid));
        if (!names.ok()) return {};
        const bool has_share = std::any_of(names->begin(), names->end(), IsShare);
        return has_share ? Result<void>(Errno(EBUSY)) : store_.Remove(RootOf(domid));
      })
      .ok();
}

bool Keepers::HasShares(uint32_t domid) {
  const Result<std::vector<std::string>> names = store_.List(RootOf(domid));
  return names.ok() && std::any_of(names->begin(), names->end(), IsShare);
}

size_t Keepers::guests() const {
  return static_cast<size_t>(
      std::count_if(guests_.begin(), guests_.end(), [](const auto& entry) { return entry.second.pidfd.ok(); }));
}

std::optional<Keepers::Time> Keepers::WakeTime() const {
  std::optional<Time> wake;
  for (const auto& [domid, guest] : guests_) {
    if (guest.due) return Time::min();
    for (const std::optional<Time>& time : {guest.start_time, guest.idle_time}) {
      if (time && (!wake || *time < *wake)) wake = time;
    }
  }
  return look_at_all_ ? Time::min() : wake;
}

void Keepers::AddFds(std::vector<pollfd>& fds) const {
  for (const auto& [domid, guest] : guests_) {
    if (guest.pidfd.ok()) fds.push_back({guest.pidfd.get(), POLLIN, 0});
  }
}

}  // namespace virtfs::toolstack
