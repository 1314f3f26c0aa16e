#include "frontend/device.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "xen/io/virtfs.h"
#include "xenstore/number.h"
#include "xenstore/paths.h"

namespace virtfs::frontend {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using xenstore::DeviceType;
using xenstore::State;

std::string DevicesOf(xenstore::DeviceType type) { return absl::StrCat("device/", xenstore::NameOf(type)); }
constexpr uint32_t kMaxNinepfsRings = 8, kMaxNinepfsOrder = 9;
// For the replies to requests in flight when the device is to close.
constexpr milliseconds kDrainTime(5'000);
// How often to look whether the backend still lives meanwhile.
constexpr milliseconds kDrainStep(20);
// Another process that uses the share may end without a change in xenstore.
constexpr milliseconds kLockRetry(100);

State ParseState(const Result<std::string>& value) {
  if (!value.ok()) return State::kUnknown;
  const std::optional<uint32_t> number = xenstore::ParseNumber(*value, 0, static_cast<uint32_t>(State::kClosed));
  return number ? static_cast<State>(*number) : State::kUnknown;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> Device::Connect(const DeviceOptions& options) {
  absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
  if (!store.ok()) return store.status();
  UniqueFd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.ok()) return absl::InternalError(absl::StrCat("cannot make an eventfd: ", Errno::Last().message()));
  std::unique_ptr<Device> device(new Device(options, *std::move(store), std::move(stop)));
  const Deadline deadline = steady_clock::now() + options.timeout;
  absl::Status status = device->FindByTag(deadline);
  if (status.ok()) status = device->ConnectBy(deadline, deadline);
  if (!status.ok()) return status;
  return device;
}

Device::Device(DeviceOptions options, std::unique_ptr<xenstore::Store> store, UniqueFd stop)
    : options_(std::move(options)), store_(std::move(store)), stop_(std::move(stop)) {}

Device::~Device() {
  static_cast<void>(Close());
  // Pages that a backend may still write to must stay granted; the kernel takes them back when the process ends.
  if (!pages_are_ours_) static_cast<void>(channel_.release());
}

absl::Status Device::FindByTag(Deadline deadline) {
  std::vector<DeviceType> types = {DeviceType::kVirtfs};
  if (options_.ninepfs) types.push_back(DeviceType::kNinepfs);
  for (const DeviceType type : types) {
    if (!store_->Watch(DevicesOf(type), "devices").ok()) return absl::UnavailableError("cannot watch xenstore");
  }
  for (;;) {
    std::vector<std::string> tags;
    for (const DeviceType type : types) {
      const std::optional<Found> found = FindAmong(type, tags);
      if (!found) continue;
      found_ = *found;
      for (const DeviceType watched : types) store_->Unwatch(DevicesOf(watched), "devices");
      return WatchEnds() ? absl::OkStatus() : absl::UnavailableError("cannot watch the backend's state");
    }
    if (IsPast(deadline)) {
      if (!options_.ninepfs && FindAmong(DeviceType::kNinepfs, tags)) {
        return absl::NotFoundError(
            absl::StrCat("the share '", options_.tag, "' is a 9pfs device: mount it with -t 9p -o trans=xen"));
      }
      const std::string others =
          tags.empty() ? "this guest has no share" : absl::StrCat("this guest has: ", absl::StrJoin(tags, ", "));
      return absl::NotFoundError(absl::StrCat("no share with the tag '", options_.tag, "'; ", others));
    }
    AwaitChange(deadline);
  }
}

// The device of that type that has the tag; else adds the tags that there are to `tags`.
std::optional<Device::Found> Device::FindAmong(DeviceType type, std::vector<std::string>& tags) {
  const Result<std::vector<std::string>> devices = store_->List(DevicesOf(type));
  for (const std::string& devid : devices.ok() ? *devices : std::vector<std::string>()) {
    const std::string dir = absl::StrCat(DevicesOf(type), "/", devid);
    const Result<std::string> tag = store_->Read(absl::StrCat(dir, "/", XEN_VIRTFS_NODE_TAG));
    if (!tag.ok()) continue;
    tags.push_back(*tag);
    const Result<std::string> backend = store_->Read(absl::StrCat(dir, "/", XEN_VIRTFS_NODE_BACKEND));
    const Result<std::string> id = store_->Read(absl::StrCat(dir, "/", XEN_VIRTFS_NODE_BACKEND_ID));
    const std::optional<uint32_t> number = id.ok() ? xenstore::ParseNumber(*id, 0, xenstore::kMaxDomid) : std::nullopt;
    // The state comes last: without it the toolstack has not finished.
    if (*tag != options_.tag || !backend.ok() || !number || !store_->Exists(dir + "/" XEN_VIRTFS_NODE_STATE)) continue;
    return Found{.type = type, .frontend_dir = dir, .backend_dir = *backend, .backend_id = *number};
  }
  return std::nullopt;
}

bool Device::WatchEnds() {
  return store_->Watch(found_.backend_dir + "/" XEN_VIRTFS_NODE_STATE, "backend").ok() &&
         store_->Watch(found_.frontend_dir + "/" XEN_VIRTFS_NODE_BACKEND, "frontend").ok();
}

absl::Status Device::FindAgain(Deadline deadline) {
  store_->Unwatch(found_.backend_dir + "/" XEN_VIRTFS_NODE_STATE, "backend");
  store_->Unwatch(found_.frontend_dir + "/" XEN_VIRTFS_NODE_BACKEND, "frontend");
  absl::Status found = FindByTag(deadline);
  // It may still come back where it was.
  if (!found.ok()) static_cast<void>(WatchEnds());
  return found;
}

bool Device::Moved() {
  const Result<std::string> backend = store_->Read(found_.frontend_dir + "/" XEN_VIRTFS_NODE_BACKEND);
  return backend.ok() && *backend != found_.backend_dir;
}

// Makes a connection out of none. `answer`: until when a backend that has been shown a ring may take to connect it. One
// that is given up on may be mapping the ring just then, and who goes on without knowing misses that it lets go.
absl::Status Device::ConnectBy(Deadline deadline, Deadline answer) {
  for (;;) {
    absl::Status status = PrepareToConnect(deadline);
    if (status.ok()) status = CreateChannel();
    if (status.ok()) {
      pages_are_ours_ = false;
      status = WriteNodes();
    }
    if (!status.ok()) return status;
    State state = BackendState();
    while (state == State::kInitWait && !IsPast(answer)) {
      AwaitChange(answer);
      state = BackendState();
    }
    if (state == State::kConnected) {
      if (found_.type == DeviceType::kVirtfs) {
        const Result<std::string> id = ReadBackend(XEN_VIRTFS_NODE_SESSION_ID);
        if (!id.ok()) return absl::UnavailableError("the backend published no session-id");
        session_goes_on_ = !session_id_.empty() && session_id_ == *id;
        session_id_ = *id;
      }
      if (!LockShare()) return absl::AbortedError("another process of this guest took the share");
      if (!WriteState(State::kConnected).ok()) return absl::AbortedError("the share was detached");
      follower_ = std::thread(&Device::Follow, this);
      return absl::OkStatus();
    }
    // It looked at our nodes and went; it may also have begun anew for reasons of its own.
    while (state != State::kClosed && state != State::kUnknown && !IsPast(answer)) {
      AwaitChange(answer);
      state = BackendState();
    }
    EndConnection(state);
    if (IsPast(deadline) || state != State::kClosed) {
      return absl::DeadlineExceededError(
          absl::StrCat("the backend does not connect (it is in state ", xenstore::NameOf(state), ")"));
    }
  }
}

// Waits until the backend is InitWait and no other process of this guest uses the share.
absl::Status Device::PrepareToConnect(Deadline deadline) {
  bool reset = false;
  for (;;) {
    const State backend = BackendState();
    if (backend == State::kUnknown && Detached()) {
      taken_away_ = false;
      return absl::NotFoundError("the share was detached");
    }
    if (backend == State::kUnknown && Moved()) {
      if (absl::Status found = FindAgain(deadline); !found.ok()) return found;
      continue;
    }
    const bool locked = LockShare();
    if (locked && backend == State::kInitWait) return absl::OkStatus();
    // A former process did not close: let the backend see that it is gone.
    const State frontend = FrontendState();
    if (locked && !reset &&
        (frontend == State::kInitialised || frontend == State::kConnected || frontend == State::kClosing)) {
      if (!WriteState(State::kInitialising).ok()) return absl::NotFoundError("the share was detached");
      reset = true;
    }
    if (IsPast(deadline)) {
      if (!locked) return absl::DeadlineExceededError("another process of this guest uses the share");
      return absl::DeadlineExceededError(
          absl::StrCat("the backend is not ready (it is in state ", xenstore::NameOf(backend), ")"));
    }
    AwaitChange(locked ? deadline : std::min<Deadline>(deadline, steady_clock::now() + kLockRetry));
  }
}

// What no other share has, and all processes of this guest that would use this one: its session's id, or a random one
// that the first of them writes.
Result<std::string> Device::LockName() {
  if (found_.type == DeviceType::kVirtfs) return ReadBackend(XEN_VIRTFS_NODE_SESSION_ID);
  const std::string node = found_.frontend_dir + "/x-lock";
  std::string name;
  const Result<void> known = store_->Transact([&]() -> Result<void> {
    Result<std::string> there = store_->Read(node);
    if (there.ok()) {
      name = *std::move(there);
      return {};
    }
    // Never brings back a directory that the toolstack has removed.
    if (!store_->Exists(found_.frontend_dir + "/" XEN_VIRTFS_NODE_BACKEND)) return Errno(ENOENT);
    std::array<char, 16> random;
    if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) return Errno::Last();
    name = absl::BytesToHexString(absl::string_view(random.data(), random.size()));
    return store_->Write(node, name);
  });
  if (!known.ok()) return known.error();
  return name;
}

// Takes the lock of the session that the backend has published; true if it is ours.
bool Device::LockShare() {
  const Result<std::string> id = LockName();
  if (!id.ok()) return true;  // The backend has not begun: there is nothing to lock.
  if (lock_.ok() && locked_id_ == *id) return true;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // Abstract: the first byte is 0.
  const std::string name = absl::StrCat("xen-virtfs/", *id).substr(0, sizeof(address.sun_path) - 1);
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  UniqueFd lock(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (bind(lock.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return false;
  lock_ = std::move(lock);
  locked_id_ = *id;
  return true;
}

absl::StatusOr<uint32_t> Device::ReadOffer(const char* node, uint32_t min, uint32_t max,
                                           std::optional<uint32_t> absent) {
  const Result<std::string> value = ReadBackend(node);
  if (!value.ok() && absent) return *absent;
  const std::optional<uint32_t> number = value.ok() ? xenstore::ParseNumber(*value, min, max) : std::nullopt;
  if (!number) return absl::FailedPreconditionError(absl::StrCat("the backend's node ", node, " is missing or bad"));
  return *number;
}

absl::Status Device::CreateChannel() {
  nodes_.clear();
  absl::Status created = found_.type == DeviceType::kVirtfs ? CreateRing() : CreateNinepfs();
  nodes_.emplace_back(XEN_VIRTFS_NODE_STATE, absl::StrCat(static_cast<uint32_t>(State::kInitialised)));
  return created;
}

absl::Status Device::CreateNinepfs() {
  const absl::StatusOr<uint32_t> rings = ReadOffer("max-rings", 1, UINT32_MAX, std::nullopt);
  if (!rings.ok()) return rings.status();
  const absl::StatusOr<uint32_t> order = ReadOffer("max-ring-page-order", 1, UINT32_MAX, std::nullopt);
  if (!order.ok()) return order.status();
  NinepfsOptions options;
  options.backend = found_.backend_id;
  options.rings = std::min({options_.ninepfs_rings, *rings, kMaxNinepfsRings});
  options.order = std::min({options_.ninepfs_order, *order, kMaxNinepfsOrder});
  options.max_poll = options_.max_poll;
  absl::StatusOr<std::unique_ptr<NinepfsClient>> client = NinepfsClient::Create(options);
  if (!client.ok()) return client.status();
  nodes_ = {{"version", "1"}, {"num-rings", absl::StrCat((*client)->rings())}};
  for (uint32_t i = 0; i < (*client)->rings(); ++i) {
    nodes_.emplace_back(absl::StrCat("ring-ref", i), absl::StrCat((*client)->ring_ref(i)));
    nodes_.emplace_back(absl::StrCat("event-channel-", i), absl::StrCat((*client)->event_channel(i)));
  }
  channel_ = *std::move(client);
  return absl::OkStatus();
}

absl::Status Device::CreateRing() {
  const Result<std::string> versions = ReadBackend(XEN_VIRTFS_NODE_VERSIONS);
  const std::string list = versions.ok() ? absl::StrCat(",", *versions, ",") : "";
  if (list.find("," XEN_VIRTFS_VERSION ",") == std::string::npos) {
    return absl::FailedPreconditionError("the backend offers no version of virtfs that is known here");
  }
  const absl::StatusOr<uint32_t> slots =
      ReadOffer(XEN_VIRTFS_NODE_MAX_CHAIN_SLOTS, XEN_VIRTFS_MIN_CHAIN_SLOTS, XEN_VIRTFS_MAX_CHAIN_SLOTS, std::nullopt);
  if (!slots.ok()) return slots.status();
  const absl::StatusOr<uint32_t> persistent = ReadOffer(XEN_VIRTFS_NODE_FEATURE_PERSISTENT, 0, 1, 0);
  if (!persistent.ok()) return persistent.status();
  RingOptions options;
  options.backend = found_.backend_id;
  options.max_chain_slots = *slots;
  options.pages = options_.pages;
  options.persistent = options_.persistent && *persistent == 1;
  options.max_poll = options_.max_poll;
  absl::StatusOr<std::unique_ptr<RingClient>> ring = RingClient::Create(options);
  if (!ring.ok()) return ring.status();
  nodes_ = {{XEN_VIRTFS_NODE_VERSION, XEN_VIRTFS_VERSION},
            {XEN_VIRTFS_NODE_RING_REF, absl::StrCat((*ring)->ring_ref())},
            {XEN_VIRTFS_NODE_EVENT_CHANNEL, absl::StrCat((*ring)->event_channel())},
            {XEN_VIRTFS_NODE_FEATURE_PERSISTENT, (*ring)->persistent() ? "1" : "0"}};
  channel_ = *std::move(ring);
  return absl::OkStatus();
}

absl::Status Device::WriteNodes() {
  // A former frontend's, which would say otherwise.
  const char* const stale[] = {XEN_VIRTFS_NODE_RING_PAGE_ORDER, XEN_VIRTFS_NODE_MULTI_QUEUE_NUM_QUEUES};
  const Result<void> written = store_->Transact([&]() -> Result<void> {
    if (Result<std::string> seen = store_->Read(found_.frontend_dir + "/" XEN_VIRTFS_NODE_BACKEND); !seen.ok()) {
      return seen.error();
    }
    for (const char* node : stale) {
      if (Result<void> removed = store_->Remove(absl::StrCat(found_.frontend_dir, "/", node)); !removed.ok())
        return removed;
    }
    for (const auto& [node, value] : nodes_) {
      if (Result<void> set = store_->Write(absl::StrCat(found_.frontend_dir, "/", node), value); !set.ok()) return set;
    }
    return {};
  });
  if (written.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write the share's nodes: ", written.error().message()));
}

// The thread of a connection, from Connected to Closed.
void Device::Follow() {
  Deadline give_up = Deadline::max();
  bool closing = false;
  for (;;) {
    const State backend = BackendState();
    // Also a backend that comes back goes through these states, but it stays online.
    if (backend == State::kClosing || backend == State::kClosed) {
      const Result<std::string> online = ReadBackend(XEN_VIRTFS_NODE_ONLINE);
      taken_away_ = online.ok() && *online == "0";
    }
    if (backend == State::kClosed || backend == State::kUnknown || store_->lost()) {
      EndConnection(backend);
      return;
    }
    pollfd stop = {stop_.get(), POLLIN, 0};
    const bool stopped = poll(&stop, 1, 0) == 1;
    const bool failed = !channel_->fault().empty();
    if (!closing && (stopped || failed || backend == State::kClosing)) {
      channel_->Shut();
      // Unanswered requests fail; their pages stay where they are until the backend is Closed.
      if (!Drain()) channel_->Fail("it did not answer in time to close");
      static_cast<void>(WriteState(State::kClosing));
      closing = true;
      give_up = steady_clock::now() + options_.timeout;
    }
    if (IsPast(give_up)) {
      channel_->Fail("it does not close");
      return;
    }
    // Once it is closing, stop and failure are no news, and stay readable.
    AwaitChange(give_up, closing ? Also::kNothing : Also::kStopAndFailure);
  }
}

// Waits for the replies to what is in flight; not if the backend is Closed, since then none comes any more.
bool Device::Drain() {
  const Deadline give_up = steady_clock::now() + kDrainTime;
  while (!channel_->WaitIdle(std::min<Deadline>(give_up, steady_clock::now() + kDrainStep))) {
    const State backend = BackendState();
    if (backend == State::kClosed || backend == State::kUnknown || steady_clock::now() >= give_up) return false;
  }
  return true;
}

void Device::EndConnection(State backend) {
  channel_->Fail(absl::StrCat("it went to state ", xenstore::NameOf(backend)));
  // Without xenstore, nobody can tell. In InitWait it may be mapping them just now.
  pages_are_ours_ = !store_->lost() && backend != State::kInitWait;
  // First: whoever saves this guest waits for the state.
  channel_->Unbind();
  static_cast<void>(WriteState(State::kClosed));
}

absl::Status Device::Close() {
  if (!follower_.joinable()) return absl::OkStatus();
  const std::string fault = channel_->fault();
  eventfd_write(stop_.get(), 1);
  follower_.join();
  eventfd_t count;
  eventfd_read(stop_.get(), &count);
  if (!pages_are_ours_) return absl::DeadlineExceededError("the backend does not close");
  if (!fault.empty()) return absl::AbortedError(absl::StrCat("the backend ended the connection: ", fault));
  return absl::OkStatus();
}

absl::Status Device::Reconnect() {
  static_cast<void>(Close());
  const Deadline deadline = steady_clock::now() + options_.timeout;
  if (absl::Status status = AwaitRelease(deadline); !status.ok()) return status;
  channel_.reset();
  if (!store_->Exists(found_.frontend_dir + "/" XEN_VIRTFS_NODE_BACKEND)) {
    if (std::exchange(taken_away_, false)) {
      session_id_.clear();
      return absl::NotFoundError("the share was detached");
    }
    if (absl::Status status = FindAgain(deadline); !status.ok()) return status;
  }
  // Who reconnects goes on trying, and would only begin anew.
  return ConnectBy(deadline, Deadline::max());
}

// Waits until no backend can touch the pages of the last connection.
absl::Status Device::AwaitRelease(Deadline deadline) {
  while (!pages_are_ours_) {
    const State backend = BackendState();
    if (!store_->lost() && (backend == State::kClosed || backend == State::kUnknown)) {
      pages_are_ours_ = true;
      channel_->Unbind();
      static_cast<void>(WriteState(State::kClosed));
    } else if (IsPast(deadline)) {
      return absl::DeadlineExceededError("the backend does not close");
    } else {
      AwaitChange(deadline);
    }
  }
  return absl::OkStatus();
}

void Device::GiveUp() {
  given_up_ = true;
  eventfd_write(stop_.get(), 1);
}

bool Device::IsPast(Deadline deadline) const { return given_up_ || steady_clock::now() >= deadline; }

State Device::BackendState() { return ParseState(ReadBackend(XEN_VIRTFS_NODE_STATE)); }

State Device::FrontendState() { return ParseState(store_->Read(found_.frontend_dir + "/" XEN_VIRTFS_NODE_STATE)); }

// Never brings back a directory that the toolstack has removed.
Result<void> Device::WriteState(State state) {
  return store_->Transact([&]() -> Result<void> {
    if (Result<std::string> seen = store_->Read(found_.frontend_dir + "/" XEN_VIRTFS_NODE_BACKEND); !seen.ok()) {
      return seen.error();
    }
    return store_->Write(found_.frontend_dir + "/" XEN_VIRTFS_NODE_STATE, absl::StrCat(static_cast<uint32_t>(state)));
  });
}

void Device::AwaitChange(Deadline deadline, Also also) {
  pollfd fds[3] = {{store_->watch_fd(), POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};
  if (also != Also::kNothing) fds[1].fd = stop_.get();
  if (also == Also::kStopAndFailure) fds[2].fd = channel_->failed_fd();
  int timeout = -1;
  if (deadline != Deadline::max()) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now()).count();
    timeout = static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
  }
  poll(fds, 3, timeout);
  while (store_->NextWatch()) {
  }
}

}  // namespace virtfs::frontend
