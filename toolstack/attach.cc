#include "toolstack/attach.h"

#include <algorithm>
#include <iterator>
#include <string>
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
using xenstore::Permissions;
using xenstore::SharePaths;
using xenstore::State;
using xenstore::Store;

using Nodes = std::vector<std::pair<std::string, std::string>>;

std::string StateNode(const std::string& directory) { return absl::StrCat(directory, "/" XEN_VIRTFS_NODE_STATE); }
std::string NumberOf(State state) { return absl::StrCat(static_cast<uint32_t>(state)); }

// Makes `directory` with its permissions before anything is in it; then the nodes, in their order.
Result<void> WriteDirectory(Store& store, const std::string& directory, Permissions permissions, const Nodes& nodes) {
  if (auto made = store.Write(directory, ""); !made.ok()) return made;
  if (auto set = store.SetPermissions(directory, permissions); !set.ok()) return set;
  for (const auto& [name, value] : nodes) {
    const std::string node = absl::StrCat(directory, "/", name);
    if (auto written = store.Write(node, value); !written.ok()) return written;
    if (auto set = store.SetPermissions(node, permissions); !set.ok()) return set;
  }
  return {};
}

// A directory that all devices of the guest share. What is there stays as it is.
Result<void> MakeParent(Store& store, const std::string& directory, Permissions permissions) {
  if (store.Exists(directory)) return {};
  return WriteDirectory(store, directory, permissions, {});
}

// A share of another backend may have the frontend directory of this one: then this one has none.
bool IsAnothers(Store& store, const SharePaths& paths) {
  const Result<std::string> backend = store.Read(absl::StrCat(paths.frontend_dir, "/" XEN_VIRTFS_NODE_BACKEND));
  if (!backend.ok() || *backend == paths.backend_dir) return false;
  // What the guest itself has written there proves nothing.
  const Result<std::string> frontend = store.Read(absl::StrCat(*backend, "/" XEN_VIRTFS_NODE_FRONTEND));
  return frontend.ok() && *frontend == paths.frontend_dir;
}

// The share's directories, and those of all the guest's shares if this was the last.
Result<void> RemoveDirectories(Store& store, Domains domains, const SharePaths& paths) {
  return store.Transact([&]() -> Result<void> {
    const bool whole = !IsAnothers(store, paths);
    for (const std::string* directory : {&paths.frontend_dir, &paths.backend_dir, &paths.private_dir}) {
      if (directory == &paths.frontend_dir && !whole) continue;
      if (auto removed = store.Remove(*directory); !removed.ok()) return removed;
    }
    for (const std::string& parent : {xenstore::BackendRoot(domains.backend, domains.guest, DeviceType::kVirtfs),
                                      xenstore::BackendRoot(domains.backend, domains.guest, DeviceType::kNinepfs),
                                      xenstore::PrivateRoot(domains.backend, domains.guest)}) {
      const Result<std::vector<std::string>> rest = store.List(parent);
      if (!rest.ok() || !rest->empty()) continue;
      if (auto removed = store.Remove(parent); !removed.ok()) return removed;
    }
    return {};
  });
}

// Waits until `done` of the value of `node` ("" if there is none). False when patience has run out.
bool WaitForValue(Store& store, const std::string& node, milliseconds patience,
                  absl::FunctionRef<bool(const std::string&)> done) {
  return WaitFor(store, {&node, 1}, patience, [&] {
    const Result<std::string> value = store.Read(node);
    return done(value.ok() ? *value : std::string());
  });
}

// A guest mounts by tag, and a tool in it need not know the type.
bool HasTag(Store& store, Domains domains, DeviceType type, const std::string& tag) {
  const std::string devices = absl::StrCat("/local/domain/", domains.guest, "/device/", xenstore::NameOf(type));
  const Result<std::vector<std::string>> devids = store.List(devices);
  if (!devids.ok()) return false;
  return std::any_of(devids->begin(), devids->end(), [&](const std::string& devid) {
    const Result<std::string> other = store.Read(absl::StrCat(devices, "/", devid, "/" XEN_VIRTFS_NODE_TAG));
    return other.ok() && *other == tag;
  });
}

absl::Status StoreFailed(const char* what, Errno error) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " in xenstore: ", error.message()));
}

// A guest that has died meanwhile must not get nodes that nobody would remove.
bool HasNodes(Store& store, uint32_t guest) { return store.Exists(absl::StrCat("/local/domain/", guest)); }

// Step 1 of 13.1: private directory, then the backend's, its state last.
Result<void> WriteBackend(Store& store, Domains domains, uint32_t devid, const ShareSpec& spec) {
  const SharePaths paths(domains.backend, domains.guest, TypeOf(spec), devid);
  return store.Transact([&]() -> Result<void> {
    if (!HasNodes(store, domains.guest)) return Errno(ENOENT);
    const Permissions hidden{domains.backend, std::nullopt};
    const Permissions shown{domains.backend, domains.guest};
    for (const DeviceType type : xenstore::kDeviceTypes) {
      const SharePaths other(domains.backend, domains.guest, type, devid);
      if (store.Exists(StateNode(other.backend_dir))) return Errno(EEXIST);
    }
    Result<void> done = MakeParent(store, xenstore::PrivateRoot(domains.backend, domains.guest), hidden);
    if (done.ok()) done = MakeParent(store, xenstore::BackendRoot(domains.backend, domains.guest, TypeOf(spec)), shown);
    if (!done.ok()) return done;

    done = WriteDirectory(store, paths.private_dir, hidden, spec.nodes);
    if (!done.ok()) return done;
    return WriteDirectory(store, paths.backend_dir, shown,
                          {{XEN_VIRTFS_NODE_FRONTEND, paths.frontend_dir},
                           {XEN_VIRTFS_NODE_FRONTEND_ID, absl::StrCat(domains.guest)},
                           {XEN_VIRTFS_NODE_ONLINE, "1"},
                           {XEN_VIRTFS_NODE_STATE, NumberOf(State::kInitialising)}});
  });
}

Result<void> WriteFrontend(Store& store, Domains domains, const SharePaths& paths, const ShareSpec& spec) {
  return store.Transact([&]() -> Result<void> {
    if (!HasNodes(store, domains.guest)) return Errno(ENOENT);
    if (auto removed = store.Remove(paths.frontend_dir); !removed.ok()) return removed;
    return WriteDirectory(store, paths.frontend_dir, {domains.guest, domains.backend},
                          {{XEN_VIRTFS_NODE_BACKEND, paths.backend_dir},
                           {XEN_VIRTFS_NODE_BACKEND_ID, absl::StrCat(domains.backend)},
                           {XEN_VIRTFS_NODE_TAG, spec.tag},
                           {XEN_VIRTFS_NODE_STATE, NumberOf(State::kInitialising)}});
  });
}

absl::Status NoGuest(uint32_t guest) {
  return absl::NotFoundError(absl::StrCat("there is no domain ", guest, ": create the guest first"));
}

absl::Status ExistsAlready(Domains domains, uint32_t devid) {
  return absl::AlreadyExistsError(
      absl::StrCat("domain ", domains.guest, " has a share ", devid, " already: detach it first, or leave devid out"));
}

Result<void> WriteClosing(Store& store, const SharePaths& paths) {
  return store.Transact([&]() -> Result<void> {
    const Result<std::string> state = store.Read(StateNode(paths.backend_dir));
    if (!state.ok()) return state.error();
    if (auto off = store.Write(absl::StrCat(paths.backend_dir, "/" XEN_VIRTFS_NODE_ONLINE), "0"); !off.ok()) return off;
    // Closing as libxl writes it. A backend that is Closed already has nothing to do and might not answer.
    if (*state == NumberOf(State::kClosed)) return {};
    return store.Write(StateNode(paths.backend_dir), NumberOf(State::kClosing));
  });
}

absl::Status Closing(Store& store, Domains domains, const SharePaths& paths, uint32_t devid) {
  const Result<void> asked = WriteClosing(store, paths);
  if (asked.ok()) return absl::OkStatus();
  if (asked.error() != Errno(ENOENT)) return StoreFailed("detach the share", asked.error());
  return absl::NotFoundError(absl::StrCat("domain ", domains.guest, " has no share ", devid));
}

}  // namespace

bool IsTaken(Store& store, Domains domains, uint32_t devid) {
  return std::any_of(std::begin(xenstore::kDeviceTypes), std::end(xenstore::kDeviceTypes), [&](DeviceType type) {
    const SharePaths paths(domains.backend, domains.guest, type, devid);
    return store.Exists(paths.backend_dir) || store.Exists(paths.frontend_dir);
  });
}

DeviceType TypeOf(const ShareSpec& spec) {
  return spec.options.server.transport == options::Transport::kNinepfs ? DeviceType::kNinepfs : DeviceType::kVirtfs;
}

absl::Status BeginShare(Store& store, Domains domains, const ShareSpec& spec) {
  const Result<void> begun = WriteBackend(store, domains, spec.devid.value_or(0), spec);
  if (begun.ok()) return absl::OkStatus();
  if (begun.error() == Errno(ENOENT)) return NoGuest(domains.guest);
  if (begun.error() == Errno(EEXIST)) return ExistsAlready(domains, spec.devid.value_or(0));
  return StoreFailed("write the share", begun.error());
}

absl::Status FinishShare(Store& store, Domains domains, const ShareSpec& spec) {
  const SharePaths paths(domains.backend, domains.guest, TypeOf(spec), spec.devid.value_or(0));
  const Result<void> written = WriteFrontend(store, domains, paths, spec);
  if (written.ok()) return absl::OkStatus();
  return written.error() == Errno(ENOENT) ? NoGuest(domains.guest)
                                          : StoreFailed("write the guest's nodes", written.error());
}

absl::Status AskToClose(Store& store, Domains domains, DeviceType type, uint32_t devid) {
  return Closing(store, domains, SharePaths(domains.backend, domains.guest, type, devid), devid);
}

absl::Status RemoveNodes(Store& store, Domains domains, DeviceType type, uint32_t devid) {
  const SharePaths paths(domains.backend, domains.guest, type, devid);
  if (auto removed = RemoveDirectories(store, domains, paths); !removed.ok()) {
    return StoreFailed("remove the share", removed.error());
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> WriteShare(Store& store, Domains domains, const ShareSpec& spec, milliseconds patience) {
  if (!HasNodes(store, domains.guest)) return NoGuest(domains.guest);
  if (HasTag(store, domains, DeviceType::kVirtfs, spec.tag) || HasTag(store, domains, DeviceType::kNinepfs, spec.tag)) {
    return absl::AlreadyExistsError(
        absl::StrCat("domain ", domains.guest, " has a share with the tag ", spec.tag, " already: write another tag"));
  }
  uint32_t devid = spec.devid.value_or(0);
  Result<void> begun;
  do {
    while (!spec.devid && IsTaken(store, domains, devid)) ++devid;
    begun = WriteBackend(store, domains, devid, spec);
    // Somebody else may attach at the same time and take what was free.
  } while (!spec.devid && !begun.ok() && begun.error() == Errno(EEXIST));
  if (!begun.ok() && begun.error() == Errno(EEXIST)) return ExistsAlready(domains, devid);
  if (!begun.ok() && begun.error() == Errno(ENOENT)) return NoGuest(domains.guest);
  if (!begun.ok()) return StoreFailed("write the share", begun.error());
  const SharePaths paths(domains.backend, domains.guest, TypeOf(spec), devid);

  std::string state;
  WaitForValue(store, StateNode(paths.backend_dir), patience, [&](const std::string& value) {
    state = value;
    return value == NumberOf(State::kInitWait) || value == NumberOf(State::kClosed);
  });
  absl::Status failure;
  if (state == NumberOf(State::kInitWait)) {
    const Result<void> written = WriteFrontend(store, domains, paths, spec);
    if (written.ok()) return devid;
    failure = StoreFailed("write the guest's nodes", written.error());
  } else if (state == NumberOf(State::kClosed)) {
    const Result<std::string> error = store.Read(absl::StrCat(paths.private_dir, "/" XEN_VIRTFS_NODE_ERROR));
    failure = absl::FailedPreconditionError(error.ok() ? *error : "the backend refuses the share and does not say why");
  } else {
    failure = absl::DeadlineExceededError(absl::StrCat("no backend answers: is xen-virtfsd --domid ", domains.guest,
                                                       " running in domain ", domains.backend, "?"));
  }
  (void)RemoveDirectories(store, domains, paths);
  return failure;
}

absl::Status RemoveShare(Store& store, Domains domains, uint32_t devid, milliseconds patience, bool force) {
  // 9pfs devices that are not ours, but another backend's, have no private directory.
  const SharePaths ninepfs(domains.backend, domains.guest, DeviceType::kNinepfs, devid);
  const SharePaths paths = store.Exists(ninepfs.private_dir)
                               ? ninepfs
                               : SharePaths(domains.backend, domains.guest, DeviceType::kVirtfs, devid);
  if (absl::Status asked = Closing(store, domains, paths, devid); !asked.ok()) return asked;

  const bool closed = WaitForValue(store, StateNode(paths.backend_dir), patience, [](const std::string& value) {
    return value.empty() || value == NumberOf(State::kClosed);
  });
  if (!closed && !force) {
    return absl::DeadlineExceededError(
        "the backend does not close the share in time; its nodes are still there, so try again or use --force");
  }
  if (auto removed = RemoveDirectories(store, domains, paths); !removed.ok()) {
    return StoreFailed("remove the share", removed.error());
  }
  return absl::OkStatus();
}

}  // namespace virtfs::toolstack
