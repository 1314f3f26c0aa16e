#include "backend/server/server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backend/counters/counters_memory.h"
#include "backend/keeper/log.h"
#include "backend/link/broker_client.h"
#include "backend/link/session_memory.h"
#include "backend/server/connection.h"
#include "backend/server/lockdown.h"
#include "backend/server/service.h"
#include "backend/server/settings.h"
#include "backend/server/system_call_filter.h"
#include "backend/transport/event_channel.h"
#include "backend/transport/xen_libraries.h"
#include "fsops/host/credentials.h"
#include "fsops/host/export.h"
#include "fsops/session/session.h"

namespace virtfs::backend {
namespace {

// How long the last answers may take, should a file system hang. Then the kernel ends us (SIGALRM).
constexpr unsigned kStopSeconds = 10;

struct GrantHandle {
  ~GrantHandle() {
    if (handle != nullptr) xengnttab_close(handle);
  }
  xengnttab_handle* handle = nullptr;
};

// For how long a lease of a host's process can be in the way of an open, and a little more. A locked server could not
// read it.
std::chrono::seconds LongestBlock() {
  constexpr std::chrono::seconds kMargin{5}, kUsual{45}, kForEver{std::chrono::hours(24 * 365)};
  const UniqueFd file(open("/proc/sys/fs/lease-break-time", O_RDONLY | O_CLOEXEC));
  std::array<char, 16> text{};
  if (!file.ok() || read(file.get(), text.data(), text.size() - 1) <= 0) return kUsual + kMargin;
  const std::chrono::seconds lease(std::atoi(text.data()));
  // 0: nothing ends a lease but its holder.
  return lease.count() > 0 ? lease + kMargin : kForEver;
}

class Server {
 public:
  explicit Server(UniqueFd link) : link_fd_(link.get()), keeper_(std::move(link)) {}

  absl::Status Run();

  void TellFault(std::string_view sentence) { (void)keeper_.Tell(link::Fault(sentence)); }

 private:
  absl::Status Start(const link::Start& start, UniqueFd root, const UniqueFd& memory);
  absl::Status Connect(const link::Connect& connect, const std::optional<SessionImage>& image);
  void HandOver(const UniqueFd& memory);
  void OnRingFault(const char* fault);

  // The next message; none: the keeper is gone, or wants us to stop.
  std::optional<link::Packet> Next();

  const int link_fd_;
  link::BrokerClient keeper_;
  link::Start start_;
  PoolOptions pool_options_;
  SessionOptions session_options_;
  GrantHandle grants_;
  EventChannel events_;
  std::unique_ptr<host::Export> tree_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<SessionService> service_;
  std::unique_ptr<Connection> connection_;
  std::atomic<bool> ring_failed_ = false;
};

// Models that keep owners and modes of their own need no right but those of the directory's owner.
absl::StatusOr<LockdownOptions> LockdownFor(const link::Start& start, int root) {
  LockdownOptions result{.max_descriptors = start.max_descriptors};
  if (start.options.security_model == options::SecurityModel::kPassthrough) {
    if (start.options.enforce == options::Enforce::kServer) result.powers = Powers::kOfUsers;
    return result;
  }
  struct stat owner;
  if (fstatat(root, "", &owner, AT_EMPTY_PATH) != 0)
    return absl::ErrnoToStatus(errno, "cannot see whose the directory is");
  result.powers = Powers::kNone;
  result.owner = {.uid = owner.st_uid, .gid = owner.st_gid};
  return result;
}

std::optional<link::Packet> Server::Next() {
  Result<link::Packet> packet = keeper_.Next();
  if (!packet.ok() || packet->As<link::Stop>()) return std::nullopt;
  return *std::move(packet);
}

absl::Status Server::Start(const link::Start& start, UniqueFd root, const UniqueFd& memory) {
  start_ = start;
  std::optional<Settings> settings = SettingsOf(start);
  if (!settings) {
    return absl::ResourceExhaustedError("a server may open too few files: raise RLIMIT_NOFILE of xen-virtfsd");
  }
  const Result<Counters*> counters = MapCounters(memory);
  if (!counters.ok()) return absl::ErrnoToStatus(counters.error().value(), "cannot map its counters");
  settings->pool.counters = *counters;
  settings->session.gauges = &(*counters)->session;
  settings->tree.usage = &(*counters)->usage;
  pool_options_ = settings->pool;
  session_options_ = settings->session;
  session_options_.longest_block = LongestBlock();
  grants_.handle = xengnttab_open(nullptr, 0);
  if (grants_.handle == nullptr) return absl::ErrnoToStatus(errno, "cannot open gntdev");
  if (!events_.Open(start.domid)) return absl::ErrnoToStatus(errno, "cannot open evtchn for the guest");
  absl::StatusOr<UniqueFd> proc_self_fd = OwnDescriptors();
  if (!proc_self_fd.ok()) return proc_self_fd.status();
  const absl::StatusOr<LockdownOptions> lockdown = LockdownFor(start, root.get());
  if (!lockdown.ok()) return lockdown.status();
  if (absl::Status status = LockDown(*lockdown); !status.ok()) return status;

  auto tree = host::Export::Make(std::move(root), *std::move(proc_self_fd), keeper_, settings->tree);
  if (!tree.ok()) return absl::ErrnoToStatus(tree.error().value(), "cannot use the exported directory");
  tree_ = *std::move(tree);
  if (lockdown->powers == Powers::kOfUsers) session_options_.users = &keeper_;
  session_options_.on_foreign_device = [start] {
    Log(LogLevel::kWarning, absl::StrCat("domain ", start.domid, " share ", start.devid),
        "other file systems are mounted inside the share, so files may have the same numbers: write multidevs=remap");
  };
  return kFilterIsPossible ? ForbidOtherSystemCalls() : absl::OkStatus();
}

absl::Status Server::Connect(const link::Connect& connect, const std::optional<SessionImage>& image) {
  auto connection = Connection::Open(start_, connect, grants_.handle, events_);
  if (!connection.ok()) return connection.status();
  session_options_.max_msize = std::min(session_options_.max_msize, (*connection)->max_message());
  session_ = std::make_unique<Session>(*tree_, session_options_);
  if (image) {
    // Before anything is served: the frontend has been told that its session goes on.
    const Result<void> imported = session_->Import(*image);
    if (!imported.ok()) {
      return absl::ErrnoToStatus(imported.error().value(), "cannot go on with the session of the last connection");
    }
  }
  service_ = std::make_unique<SessionService>(*session_);
  connection_ = *std::move(connection);
  return connection_->Serve(*service_, pool_options_, [this](const char* fault) { OnRingFault(fault); });
}

// Once nothing is served any more.
void Server::HandOver(const UniqueFd& memory) {
  // What a lease was in the way of has lost its guest.
  session_->GiveUp();
  const Result<SessionImage> image = session_->Export();
  Result<void> done = image.ok() ? link::WriteSession(memory.get(), image->tokens, image->bytes) : image.error();
  link::HandedOver answer;
  if (done.ok()) {
    answer = {.tokens = image->tokens.size(), .image = image->bytes.size()};
  } else {
    answer.error = done.error().value();
  }
  (void)keeper_.Tell(answer);
}

// On one of the serving threads.
void Server::OnRingFault(const char* fault) {
  ring_failed_ = true;
  TellFault(fault);
  // Run, waiting for the next message, is to go on.
  shutdown(link_fd_, SHUT_RD);
}

absl::Status Server::Run() {
  std::optional<link::Packet> packet = Next();
  if (!packet) return absl::OkStatus();
  const auto start = packet->As<link::Start>();
  if (!start) return absl::InternalError("the keeper sent no Start");
  std::vector<UniqueFd> fds = packet->TakeFds();
  if (absl::Status status = Start(*start, std::move(fds[0]), fds[1]); !status.ok()) return status;
  fds.clear();
  (void)keeper_.Tell(link::Locked{});

  packet = Next();
  std::optional<SessionImage> image;
  if (const auto resume = packet ? packet->As<link::Resume>() : std::nullopt) {
    Result<link::SessionBytes> session = link::ReadSession(packet->TakeFd().get(), resume->tokens, resume->image);
    if (!session.ok()) return absl::ErrnoToStatus(session.error().value(), "cannot read the last session");
    image = {.bytes = std::move(session->image), .tokens = std::move(session->tokens), .lock_files = {}};
    packet = Next();
  }
  if (!packet) return absl::OkStatus();
  const auto connect = packet->As<link::Connect>();
  if (!connect) return absl::InternalError("the keeper sent no Connect");
  if (absl::Status status = Connect(*connect, image); !status.ok()) return status;
  image.reset();
  (void)keeper_.Tell(link::Connected{});

  packet = Next();
  const bool hands_over = packet && packet->As<link::HandOver>();
  if (packet && !hands_over) return absl::InternalError("the keeper sent more than Stop or HandOver");
  alarm(kStopSeconds);
  connection_ = nullptr;
  if (hands_over && !ring_failed_) HandOver(packet->TakeFd());
  // The keeper forgets our files by itself; without this each would be told to it now.
  shutdown(link_fd_, SHUT_RDWR);
  return ring_failed_ ? absl::AbortedError("") : absl::OkStatus();
}

}  // namespace

int RunServer(UniqueFd link) {
  DropInherited(link.get() + 1);
  // A service manager that ends the keeper tells all processes at once; ours is to answer what is in flight first.
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) signal(number, SIG_IGN);
  // A write beyond RLIMIT_FSIZE, should the host have set one, is the guest's EFBIG and not our end.
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGALRM, SIG_DFL);
  Server server(std::move(link));
  const absl::Status status = server.Run();
  if (status.ok()) return 0;
  if (!status.message().empty()) server.TellFault({status.message().data(), status.message().size()});
  return 1;
}

}  // namespace virtfs::backend
