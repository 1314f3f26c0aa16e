#include "backend/keeper/share.h"

#include <sys/random.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "backend/keeper/log.h"
#include "backend/link/channel.h"
#include "xen/io/virtfs.h"
#include "xenstore/number.h"

namespace virtfs::backend {
namespace {

using std::chrono::seconds;
using xenstore::State;

constexpr seconds kConnectTime{10};
// More, where the server first goes through the whole tree (max-files, max-space).
constexpr seconds kCountTime{600};
constexpr seconds kCloseTime{10};
constexpr seconds kReleaseTime{10};
constexpr seconds kLeaveTime{5};
// Between a server's closing its link and its exit.
constexpr seconds kExitTime{5};

// Packets served for one share before the others get their turn.
constexpr int kPacketsAtOnce = 64;

// Of the private directory; this backend's own (docs/virtfs.md 11.3).
constexpr char kIdentityNode[] = "/x-identity";
// That the share was seen. Without it, it was removed and attached anew before we looked, even in between a look and
// what was written for it: another share, which begins when this one is gone.
constexpr char kSeenNode[] = "/x-seen";

constexpr uint32_t kMaxDescriptors = 16384;
constexpr uint32_t kReservedDescriptors = 256;
constexpr uint32_t kPoolThreads = 16;

std::string NewSessionId() {
  std::array<char, 16> random;
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) abort();
  return absl::BytesToHexString(absl::string_view(random.data(), random.size()));
}

// What a server may open, as far as we may ourselves: two for each open file, and at least as much again for the rest.
uint32_t ServerDescriptors(const options::ServerOptions& options) {
  const rlim_t wanted = std::max<rlim_t>(kMaxDescriptors, 4 * rlim_t{options.max_open_files} + kReservedDescriptors);
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMaxDescriptors;
  return static_cast<uint32_t>(std::min<rlim_t>(limit.rlim_max, wanted));
}

std::optional<seconds> LongestStay(Phase phase, const options::ServerOptions& options) {
  switch (phase) {
    case Phase::kConnecting:
      return options.max_files != 0 || options.max_space != 0 ? kConnectTime + kCountTime : kConnectTime;
    case Phase::kClosing:
      return kCloseTime;
    case Phase::kReleasing:
      return kReleaseTime;
    case Phase::kLeaving:
      return kLeaveTime;
    default:
      return std::nullopt;
  }
}

}  // namespace

Share::Running::Running(ServerProcess started, const ExportMount& mount, const options::ServerOptions& options)
    : process(std::move(started)),
      broker(mount.root.get(), HandlesFor(options)),
      service(broker, mount.mount_id, options.enforce == options::Enforce::kServer ? &users : nullptr) {}

// Each fid may be an evicted inode; a session image holds a token of each besides.
size_t Share::HandlesFor(const options::ServerOptions& options) { return size_t{2} * options.max_fids; }

Share::Share(xenstore::Store& store, uint32_t backend, uint32_t guest, xenstore::DeviceType type, uint32_t devid,
             Time now)
    : store_(store),
      guest_(guest),
      devid_(devid),
      type_(type),
      paths_(backend, guest, type, devid),
      name_(absl::StrCat("domain ", guest, type == xenstore::DeviceType::kNinepfs ? " 9pfs" : "", " share ", devid)),
      shown_(ReadState(paths_.backend_dir, State::kUnknown)),
      frontend_seen_(shown_ > State::kInitWait) {
  (void)store_.Transact([&]() -> Result<void> {
    if (!HasBackendNodes()) return Errno(ENOENT);
    return store_.Write(paths_.private_dir + kSeenNode, "1");
  });
  switch (shown_) {
    case State::kUnknown:
    case State::kInitialising:
      break;
    case State::kClosed:
      phase_ = Phase::kClosed;
      break;
    default:
      // What a former keeper connected died with it.
      Log(LogLevel::kWarning, name_, "a former xen-virtfsd has ended without closing this share");
      Enter(Phase::kFailing, now);
  }
}

State Share::ReadState(const std::string& directory, State otherwise) {
  const Result<std::string> text = store_.Read(absl::StrCat(directory, "/" XEN_VIRTFS_NODE_STATE));
  if (!text.ok()) return State::kUnknown;
  const std::optional<uint32_t> number = xenstore::ParseNumber(*text, 0, static_cast<uint32_t>(State::kClosed));
  return number ? static_cast<State>(*number) : otherwise;
}

View Share::Look(Time now, const Circumstances& circumstances) {
  Listen(now);
  View view;
  view.present = !circumstances.guest_gone && IsPresent();
  if (view.present) {
    const Result<std::string> online = store_.Read(absl::StrCat(paths_.backend_dir, "/" XEN_VIRTFS_NODE_ONLINE));
    view.online = !circumstances.stopping && online.ok() && *online == "1";
    frontend_ = view.frontend = ReadState(paths_.frontend_dir, frontend_);
    frontend_lost_ = frontend_seen_ && frontend_ == State::kUnknown &&
                     !store_.Exists(absl::StrCat(paths_.frontend_dir, "/" XEN_VIRTFS_NODE_BACKEND));
    frontend_seen_ = frontend_seen_ || frontend_ != State::kUnknown;
    const State state = ReadState(paths_.backend_dir, shown_);
    if (state == State::kClosing && shown_ != State::kClosing) {
      view.close_asked = true;
      shown_ = State::kClosing;
    }
  }
  LookForSession(view);
  view.server = server_;
  view.time_is_up = deadline_ && now >= *deadline_;
  if (return_time_ && now >= *return_time_) return_time_.reset();
  view.may_return = !return_time_;
  return view;
}

void Share::Step(Time now, const Circumstances& circumstances) {
  while (phase_ != Phase::kGone && !store_.lost()) {
    const Row* row = Decide(phase_, Look(now, circumstances));
    if (row == nullptr) return;
    const absl::Status done = Do(row->does);
    if (!done.ok()) {
      failed_ = true;
      PublishError(std::string(done.message()));
    }
    Enter(done.ok() ? row->next : row->otherwise, now);
  }
}

void Share::Enter(Phase next, Time now) {
  const bool moved = phase_ != next;
  if (moved) Log(LogLevel::kDebug, name_, absl::StrCat(NameOf(phase_), " -> ", NameOf(next)));
  phase_ = next;
  deadline_.reset();
  if (const std::optional<seconds> stay = LongestStay(next, options_.server)) deadline_ = now + *stay;
  if (server_ == Server::kEnded) server_ = Server::kNone;
  if (next != Phase::kServing && next != Phase::kClosing) connected_since_.reset();

  if (next == Phase::kServing) {
    pace_.Served(now);
    connected_since_ = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    PublishError("");
    Log(LogLevel::kInfo, name_, "connected");
  } else if (next == Phase::kClosed) {
    // The host may want to unmount what lies beneath.
    export_ = ExportMount{};
    if (std::exchange(failed_, false)) {
      return_time_ = pace_.Failed(now);
    } else if (moved) {
      return_time_ = pace_.Closed(now);
    }
    if (moved) Log(LogLevel::kInfo, name_, "closed");
  }
  if (const State state = StateOf(next); state != State::kUnknown && state != shown_) Publish(state);
}

absl::Status Share::Do(Action action) {
  switch (action) {
    case Action::kNothing:
      break;
    case Action::kPrepare: {
      absl::Status prepared = Prepare();
      prepare_failed_ = !prepared.ok();
      return prepared;
    }
    case Action::kStartServer:
      return StartServer();
    case Action::kStopServer:
      StopServer();
      break;
    case Action::kKillServer:
      if (running_) running_->process.Kill();
      return absl::DeadlineExceededError(phase_ == Phase::kConnecting
                                             ? "the server did not get ready in time and was killed"
                                             : "the server did not finish in time and was killed");
    case Action::kReport:
      return absl::AbortedError(last_words_);
    case Action::kKeepSession:
      return KeepSession();
  }
  return absl::OkStatus();
}

absl::Status Share::Prepare() {
  const Result<std::string> frontend = store_.Read(absl::StrCat(paths_.backend_dir, "/" XEN_VIRTFS_NODE_FRONTEND));
  if (frontend.ok() && *frontend != paths_.frontend_dir) {
    return absl::InvalidArgumentError(
        absl::StrCat("the node frontend says ", Quoted(*frontend), ": write ", paths_.frontend_dir));
  }
  absl::StatusOr<options::ShareOptions> options = ReadShareOptions(
      [this](const std::string& name) { return store_.Read(absl::StrCat(paths_.private_dir, "/", name)); });
  if (!options.ok()) return options.status();
  if (absl::Status fits = CheckTransport(options->server, type_); !fits.ok()) return fits;
  const std::optional<ExportIdentity> known = KnownExport(options->path);
  absl::StatusOr<ExportMount> mount = OpenExport(options->path, options->server.readonly, known);
  if (!mount.ok()) return mount.status();
  if (!known) RememberExport(options->path, mount->identity);
  options_ = *std::move(options);
  export_ = *std::move(mount);
  if (prepare_failed_) PublishError("");
  TakeSession();
  Publish(State::kInitWait, Offer());
  Log(LogLevel::kInfo, name_,
      absl::StrCat("waits for the guest to connect; shares ", options_.path,
                   options_.server.readonly ? " read-only" : ""));
  return absl::OkStatus();
}

Share::Nodes Share::Offer() {
  if (type_ == xenstore::DeviceType::kNinepfs) {
    return {{"versions", "1"},
            {"max-rings", absl::StrCat(link::kMaxRings)},
            {"max-ring-page-order", absl::StrCat(kMaxNinepfsRingOrder)}};
  }
  session_id_ = kept_ ? kept_->id : NewSessionId();
  return {{XEN_VIRTFS_NODE_VERSIONS, XEN_VIRTFS_VERSION},
          {XEN_VIRTFS_NODE_MAX_CHAIN_SLOTS, absl::StrCat(kMaxChainSlots)},
          {XEN_VIRTFS_NODE_MAX_RING_PAGE_ORDER, absl::StrCat(kMaxRingPageOrder)},
          {XEN_VIRTFS_NODE_FEATURE_PERSISTENT, "1"},
          {XEN_VIRTFS_NODE_SESSION_ID, session_id_}};
}

// In xenstore, since it is to outlive this process as the share does: "DEVICE:INODE PATH".
std::optional<ExportIdentity> Share::KnownExport(const std::string& path) {
  const Result<std::string> node = store_.Read(absl::StrCat(paths_.private_dir, kIdentityNode));
  if (!node.ok()) return std::nullopt;
  ExportIdentity known;
  int parsed = 0;
  const bool well_formed = sscanf(node->c_str(), "%" SCNu64 ":%" SCNu64 " %n", &known.dev, &known.ino, &parsed) == 2;
  // Another path is the operator's own wish.
  if (!well_formed || parsed == 0 || node->substr(static_cast<size_t>(parsed)) != path) return std::nullopt;
  return known;
}

void Share::RememberExport(const std::string& path, const ExportIdentity& identity) {
  const Result<void> written = IfPresent([&] {
    return store_.Write(absl::StrCat(paths_.private_dir, kIdentityNode),
                        absl::StrCat(identity.dev, ":", identity.ino, " ", path));
  });
  if (!written.ok() && written.error() != Errno(ENOENT)) {
    Log(LogLevel::kWarning, name_, absl::StrCat("cannot write identity: ", written.error().message()));
  }
}

absl::Status Share::StartServer() {
  const auto read = [this](const std::string& name) {
    return store_.Read(absl::StrCat(paths_.frontend_dir, "/", name));
  };
  const bool is_9pfs = type_ == xenstore::DeviceType::kNinepfs;
  const absl::StatusOr<link::Connect> connect = is_9pfs ? ReadNinepfsFrontend(read) : ReadFrontend(read);
  if (!connect.ok()) return connect.status();
  UniqueFd memory;
  Result<CountersView> counters = CountersView::Make(memory);
  if (!counters.ok()) {
    return absl::UnavailableError(absl::StrCat("cannot make a memfd: ", counters.error().message()));
  }
  absl::StatusOr<ServerProcess> process = ServerProcess::Start(name_);
  if (!process.ok()) return process.status();
  auto server = std::make_unique<Running>(*std::move(process), export_, options_.server);
  const link::Start start{
      .domid = guest_,
      .devid = devid_,
      .options = options_.server,
      .max_chain_slots = kMaxChainSlots,
      .max_descriptors = ServerDescriptors(options_.server),
      .threads = kPoolThreads,
      .log_level = static_cast<uint32_t>(GetLogLevel()),
  };
  const int fds[] = {export_.root.get(), memory.get()};
  const int link = server->process.link();
  Result<void> told = link::Send(link, start, fds, link::Wait::kNo);
  if (told.ok()) told = Resume(*server);
  if (told.ok()) told = link::Send(link, *connect, -1, link::Wait::kNo);
  if (!told.ok()) return absl::UnavailableError(absl::StrCat("cannot talk to a server: ", told.error().message()));
  if (start.max_descriptors < 4 * start.options.max_open_files) {
    Log(LogLevel::kWarning, name_,
        absl::StrCat("this process may open ", start.max_descriptors, " files, which is too few for max-open-files=",
                     start.options.max_open_files, ": raise its RLIMIT_NOFILE, or write a smaller max-open-files"));
  }
  Log(LogLevel::kInfo, name_, absl::StrCat("the guest connects; its server is process ", server->process.pid()));
  running_ = std::move(server);
  server_ = Server::kStarting;
  counters_ = *std::move(counters);
  last_words_.clear();
  return absl::OkStatus();
}

bool Share::Listen(Time now) {
  if (!running_) return false;
  const Server before = server_;
  for (int i = 0; i < kPacketsAtOnce && !running_->kill_time; ++i) {
    Result<link::Packet> packet = link::Receive(running_->process.link(), link::Wait::kNo);
    if (!packet.ok() && packet.error() == Errno(EAGAIN)) break;
    const Result<void> heard = packet.ok() ? Hear(*std::move(packet)) : Result<void>(packet.error());
    if (heard.ok()) continue;
    // An orderly server closes its link on its way out; anything else is nothing to wait for.
    const bool closed = heard.error() == Errno(ECONNRESET);
    if (!closed) last_words_ = absl::StrCat("the server broke the rules of its link: ", heard.error().message());
    running_->kill_time = closed ? now + kExitTime : now;
  }
  if (running_->kill_time && now >= *running_->kill_time) {
    running_->process.Kill();
    running_->kill_time = Time::max();
  }
  Reap();
  return server_ != before;
}

void Share::Reap() {
  const std::optional<std::string> how = running_->process.Reap();
  if (!how) return;
  if (last_words_.empty()) last_words_ = absl::StrCat("the server ", *how);
  const bool expected = phase_ == Phase::kReleasing || phase_ == Phase::kLeaving;
  if (expected && !running_->process.exited_well()) Log(LogLevel::kWarning, name_, last_words_);
  running_.reset();
  server_ = Server::kEnded;
}

Result<void> Share::Hear(link::Packet packet) {
  switch (packet.kind()) {
    case link::Kind::kLocked:
      return packet.As<link::Locked>() ? Result<void>() : Errno(EPROTO);
    case link::Kind::kConnected:
      if (!packet.As<link::Connected>()) return Errno(EPROTO);
      if (server_ == Server::kStarting) server_ = Server::kConnected;
      return {};
    case link::Kind::kHandedOver:
      if (const auto answer = packet.As<link::HandedOver>()) return HearSession(*answer);
      return Errno(EPROTO);
    case link::Kind::kFault:
      if (const auto fault = packet.As<link::Fault>()) {
        last_words_ = Printable(fault->sentence());
        return {};
      }
      return Errno(EPROTO);
    default:
      return running_->service.Serve(running_->process.link(), std::move(packet));
  }
}

bool Share::HasBackendNodes() { return store_.Exists(absl::StrCat(paths_.backend_dir, "/" XEN_VIRTFS_NODE_FRONTEND)); }

bool Share::IsPresent() { return HasBackendNodes() && store_.Exists(paths_.private_dir + kSeenNode); }

Result<void> Share::IfPresent(absl::FunctionRef<Result<void>()> write) {
  return store_.Transact([&]() -> Result<void> { return IsPresent() ? write() : Errno(ENOENT); });
}

void Share::Publish(State state, const Nodes& nodes) {
  const Result<void> written = IfPresent([&]() -> Result<void> {
    for (const auto& [name, value] : nodes) {
      if (auto done = store_.Write(absl::StrCat(paths_.backend_dir, "/", name), value); !done.ok()) return done;
    }
    return store_.Write(absl::StrCat(paths_.backend_dir, "/" XEN_VIRTFS_NODE_STATE),
                        absl::StrCat(static_cast<uint32_t>(state)));
  });
  shown_ = state;
  if (!written.ok() && written.error() != Errno(ENOENT)) {
    // What is there still is nobody else's: a share that cannot leave Initialising has not been attached anew.
    shown_ = ReadState(paths_.backend_dir, state);
    Log(LogLevel::kError, name_, absl::StrCat("cannot write state ", NameOf(state), ": ", written.error().message()));
  }
}

void Share::PublishError(const std::string& sentence) {
  if (sentence == error_) return;
  error_ = sentence;
  if (!sentence.empty()) Log(LogLevel::kError, name_, sentence);
  const std::string node = absl::StrCat(paths_.private_dir, "/" XEN_VIRTFS_NODE_ERROR);
  (void)IfPresent([&] { return sentence.empty() ? store_.Remove(node) : store_.Write(node, sentence); });
}

ShareReport Share::Report() {
  const Result<std::string> tag = store_.Read(absl::StrCat(paths_.frontend_dir, "/" XEN_VIRTFS_NODE_TAG));
  return {.devid = devid_,
          .transport = type_,
          .tag = tag.ok() ? *tag : "",
          .path = options_.path,
          .phase = phase_,
          .error = error_,
          .session = session_id_,
          .connected_since = connected_since_,
          .server = running_ ? std::optional<int64_t>(running_->process.pid()) : std::nullopt,
          .options = options_.server,
          .counters = counters_.get()};
}

std::vector<int> Share::WakeFds() const {
  if (!running_) return {};
  if (running_->kill_time) return {running_->process.pidfd()};
  return {running_->process.link(), running_->process.pidfd()};
}

std::optional<Share::Time> Share::WakeTime() const {
  std::optional<Time> wake = deadline_;
  if (running_ && running_->kill_time && (!wake || *running_->kill_time < *wake)) wake = running_->kill_time;
  if (phase_ == Phase::kClosed && return_time_ && (!wake || *return_time_ < *wake)) wake = return_time_;
  return wake;
}

}  // namespace virtfs::backend
