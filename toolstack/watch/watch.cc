#include "toolstack/watch/watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/end_signals.h"
#include "base/unique_fd.h"
#include "toolstack/domain.h"
#include "toolstack/watch/guests.h"
#include "toolstack/watch/keepers.h"
#include "toolstack/watch/log.h"
#include "toolstack/watch/notify.h"
#include "toolstack/watch/watch_lock.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {
namespace {

using std::chrono::milliseconds;
using Time = Keepers::Time;

constexpr char kIntroduce[] = "@introduceDomain";
constexpr char kRelease[] = "@releaseDomain";
// libxenstore tells nobody that xenstored is gone until something is asked of it.
constexpr milliseconds kProbeTime{5000};
// Read before anything is done about them, so that many at once cost little more than one.
constexpr int kEventsAtOnce = 4096;

class Service {
 public:
  Service(xenstore::Store& store, UniqueFd signals, Keepers keepers)
      : store_(store), signals_(std::move(signals)), keepers_(std::move(keepers)) {}

  absl::Status Start(std::optional<Guests::Options> toolstack);
  absl::Status Run();

 private:
  void ReadEvents();
  void Step();
  void Sleep();
  void TellStatus();

  xenstore::Store& store_;
  const UniqueFd signals_;
  Keepers keepers_;
  std::unique_ptr<Guests> guests_;  // null elsewhere than in the domain with the toolstack
  std::string told_;
};

absl::Status Service::Start(std::optional<Guests::Options> toolstack) {
  // Where we may not know of other domains, these are silent.
  for (const char* event : {kIntroduce, kRelease}) (void)store_.Watch(event, event);
  if (absl::Status started = keepers_.Start(); !started.ok()) return started;
  if (!toolstack) return absl::OkStatus();
  guests_ = std::make_unique<Guests>(store_, *std::move(toolstack));
  return guests_->Start();
}

absl::Status Service::Run() {
  for (;;) {
    ReadEvents();
    Step();
    if (store_.lost()) {
      return absl::UnavailableError(
          "the connection to xenstored is lost: start xl-virtfs watch again once xenstored answers");
    }
    TellStatus();
    Sleep();
    signalfd_siginfo signal;
    if (read(signals_.get(), &signal, sizeof(signal)) == sizeof(signal)) break;
  }
  Notify("STOPPING=1");
  Log(WatchLog::kInfo, "told to end; what is attached goes on being served");
  return absl::OkStatus();
}

void Service::ReadEvents() {
  for (int i = 0; i < kEventsAtOnce; ++i) {
    const std::optional<xenstore::WatchEvent> event = store_.NextWatch();
    if (!event) return;
    if (event->token == kIntroduce || event->token == kRelease) {
      keepers_.LookAtAll();
      if (guests_) guests_->LookAtDomains();
    } else if (!keepers_.Hear(*event) && guests_) {
      guests_->Hear(*event);
    }
  }
}

void Service::Step() {
  const Time now = Keepers::Clock::now();
  if (guests_) {
    guests_->HearRecords();
    guests_->Step(now);
  }
  keepers_.Step(now);
}

void Service::Sleep() {
  std::vector<pollfd> fds = {{store_.watch_fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
  std::optional<Time> wake = keepers_.WakeTime();
  keepers_.AddFds(fds);
  if (guests_) {
    fds.push_back({guests_->records_fd(), POLLIN, 0});
    const std::optional<Time> other = guests_->WakeTime();
    if (other && (!wake || *other < *wake)) wake = other;
  }
  milliseconds timeout = kProbeTime;
  if (wake) {
    const Time now = Keepers::Clock::now();
    // Rounded up: waking a little early would only mean to turn round at once.
    timeout = *wake <= now ? milliseconds(0) : std::min(timeout, std::chrono::ceil<milliseconds>(*wake - now));
  }
  if (poll(fds.data(), fds.size(), static_cast<int>(timeout.count())) == 0) store_.Probe();
}

void Service::TellStatus() {
  std::string status = absl::StrCat("STATUS=", keepers_.guests(), " guests have shares here");
  if (status == told_) return;
  // The first time, everything that can be done without waiting has been done.
  Notify(told_.empty() ? "READY=1\n" + status : status);
  if (told_.empty()) Log(WatchLog::kInfo, "ready");
  told_ = std::move(status);
}

}  // namespace

absl::Status RunWatch(const WatchOptions& options) {
  // Before libxenstore makes its thread.
  Result<UniqueFd> signals = CatchEndSignals();
  if (!signals.ok()) return absl::InternalError(absl::StrCat("cannot wait for signals: ", signals.error().message()));
  const absl::StatusOr<WatchLock> lock = WatchLock::Take(options.runtime);
  if (!lock.ok()) return lock.status();
  absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
  if (!store.ok()) return store.status();
  const absl::StatusOr<uint32_t> own = OwnDomain(**store);
  if (!own.ok()) return own.status();

  const bool has_toolstack = *own == 0 || options.toolstack;
  std::vector<std::string> command = options.keeper;
  command.insert(command.end(), {"--run", options.runtime});
  Keepers keepers(**store, {.own = *own, .may_ask = has_toolstack, .command = std::move(command)});
  Service service(**store, *std::move(signals), std::move(keepers));
  std::optional<Guests::Options> toolstack;
  if (has_toolstack) {
    toolstack = {.own = *own, .config = options.config, .records = options.records, .runtime = options.runtime};
  }
  if (absl::Status started = service.Start(std::move(toolstack)); !started.ok()) return started;
  return service.Run();
}

}  // namespace virtfs::toolstack
