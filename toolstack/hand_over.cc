#include "toolstack/hand_over.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "toolstack/wait_for.h"
#include "xen/io/virtfs.h"
#include "xenstore/number.h"
#include "xenstore/paths.h"

namespace virtfs::toolstack {
namespace {

using std::chrono::milliseconds;
using xenstore::DeviceType;
using xenstore::SharePaths;
using xenstore::State;
using xenstore::Store;

// A share's nodes.
struct Share {
  Share(Store& of, Domains domains, uint32_t devid)
      : store(of),
        paths(domains.backend, domains.guest, DeviceType::kVirtfs, devid),
        backend_state(absl::StrCat(paths.backend_dir, "/" XEN_VIRTFS_NODE_STATE)),
        frontend_state(absl::StrCat(paths.frontend_dir, "/" XEN_VIRTFS_NODE_STATE)),
        session_id(absl::StrCat(paths.backend_dir, "/" XEN_VIRTFS_NODE_SESSION_ID)),
        hand_over(absl::StrCat(paths.private_dir, "/", xenstore::kHandOverNode)),
        session(absl::StrCat(paths.private_dir, "/", xenstore::kSessionNode)) {}

  std::string Value(const std::string& node) const {
    Result<std::string> value = store.Read(node);
    return value.ok() ? *std::move(value) : std::string();
  }
  State StateIn(const std::string& node) const {
    const std::optional<uint32_t> number = xenstore::ParseNumber(Value(node), 0, static_cast<uint32_t>(State::kClosed));
    return static_cast<State>(number.value_or(0));
  }
  // As one transaction, if the share is there.
  absl::Status Change(absl::FunctionRef<Result<void>()> change) const {
    const Result<void> done = store.Transact([&]() -> Result<void> {
      const Result<std::string> there = store.Read(absl::StrCat(paths.backend_dir, "/" XEN_VIRTFS_NODE_FRONTEND));
      return there.ok() ? change() : Result<void>(there.error());
    });
    if (done.ok()) return absl::OkStatus();
    if (done.error() == Errno(ENOENT)) return absl::NotFoundError("the share is there no more");
    return absl::UnavailableError(absl::StrCat("cannot write to xenstore: ", done.error().message()));
  }

  Store& store;
  const SharePaths paths;
  const std::string backend_state, frontend_state, session_id, hand_over, session;
};

}  // namespace

absl::Status AskToHandOver(Store& store, Domains domains, uint32_t devid, const std::string& file) {
  const Share share(store, domains, devid);
  return share.Change([&] { return store.Write(share.hand_over, file); });
}

bool IsHandedOver(Store& store, Domains domains, uint32_t devid) {
  return store.Exists(Share(store, domains, devid).hand_over);
}

absl::Status AwaitHandedOver(Store& store, Domains domains, uint32_t devid, milliseconds patience) {
  const Share share(store, domains, devid);
  const std::vector<std::string> nodes = {share.backend_state, share.frontend_state};
  const bool closed = WaitFor(store, nodes, patience, [&] {
    const State frontend = share.StateIn(share.frontend_state);
    return share.StateIn(share.backend_state) == State::kClosed &&
           (frontend == State::kClosed || frontend == State::kInitialising || frontend == State::kUnknown);
  });
  if (closed) return absl::OkStatus();
  if (share.StateIn(share.backend_state) != State::kClosed) {
    return absl::DeadlineExceededError("its keeper does not close it in time");
  }
  return absl::DeadlineExceededError("the guest does not close it in time");
}

absl::Status TakeBack(Store& store, Domains domains, uint32_t devid) {
  const Share share(store, domains, devid);
  return share.Change([&]() -> Result<void> {
    const Result<std::string> file = store.Read(share.hand_over);
    if (!file.ok()) return {};
    if (access(file->c_str(), F_OK) == 0) {
      if (Result<void> given = store.Write(share.session, *file); !given.ok()) return given;
    }
    return store.Remove(share.hand_over);
  });
}

bool AwaitTakenBack(Store& store, Domains domains, uint32_t devid, milliseconds patience) {
  const Share share(store, domains, devid);
  return WaitFor(store, {&share.backend_state, 1}, patience, [&] {
    const State state = share.StateIn(share.backend_state);
    return state == State::kInitWait || state == State::kConnected;
  });
}

absl::Status GiveSession(Store& store, Domains domains, uint32_t devid, const std::string& file,
                         milliseconds patience) {
  const Share share(store, domains, devid);
  std::string former;
  absl::Status given = share.Change([&] {
    former = share.Value(share.session_id);
    return store.Write(share.session, file);
  });
  if (!given.ok()) return given;
  // The keeper publishes the id of that session, or, if that cannot go on, another new one.
  const bool taken = WaitFor(store, {&share.session_id, 1}, patience, [&] {
    const std::string now = share.Value(share.session_id);
    return !now.empty() && now != former;
  });
  if (!taken) return absl::DeadlineExceededError("its keeper does not take its session in time");
  if (!share.Value(share.session).empty()) return absl::OkStatus();
  const std::string error = share.Value(absl::StrCat(share.paths.private_dir, "/" XEN_VIRTFS_NODE_ERROR));
  return absl::FailedPreconditionError(error.empty() ? "its keeper does not take its session" : error);
}

}  // namespace virtfs::toolstack
