// Device: a share, virtfs or 9pfs, as the guest's xenbus sees it: found by its tag, connected, closed in order,
// connected again.
//
// While it is connected a thread of its own follows the backend's state. When the backend wants to close, dies, or
// breaks the rules of the ring, requests in flight are answered or fail, both ends close as docs/virtfs.md section 12.4
// has it, and the pages are kept until the backend is Closed.
//
// While a guest is saved the backend is Closed; a restored guest is another domain, whose nodes the toolstack has
// written anew: Reconnect finds them. A Device that is Closed holds no event channel.
//
// A share belongs to one process of the guest at a time; the next waits for it. The lock is an abstract unix socket,
// named by the session-id (9pfs has none: by a node x-lock of ours), which the kernel releases with the process; so a
// successor of a killed process gets through.
//
// Errors: absl::Status, a sentence for who called the command. NotFound: no such tag. DeadlineExceeded: the backend, or
// another process of this guest, took too long.
// Threads: one at a time; ring() and GiveUp may be used from all.
// Trust: the backend's nodes are read against their bounds.
// Source: docs/virtfs.md, sections 11 to 13; docs/9pfs.md.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "frontend/call_channel.h"
#include "frontend/ninepfs_client.h"
#include "frontend/ring_client.h"
#include "xenstore/paths.h"
#include "xenstore/store.h"

namespace virtfs::frontend {

struct DeviceOptions {
  std::string tag;
  // For each wait: for the device to appear, for the backend to connect, for it to close.
  std::chrono::milliseconds timeout{10'000};
  // Offers to reuse grants. Off only to try the slow way.
  bool persistent = true;
  // RingOptions::pages.
  uint32_t pages = RingOptions().pages;
  // RingOptions::max_poll.
  std::chrono::microseconds max_poll = RingOptions().max_poll;
  // Takes the tag for a 9pfs device's, too; and how it is to be connected, as far as the backend offers it.
  bool ninepfs = false;
  uint32_t ninepfs_rings = NinepfsOptions().rings;
  uint32_t ninepfs_order = NinepfsOptions().order;
};

class Device {
 public:
  // Waits for the share `options.tag` and connects it.
  static absl::StatusOr<std::unique_ptr<Device>> Connect(const DeviceOptions& options);

  // Closes, if that was not done.
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // The connection; void after Close, replaced by Reconnect.
  CallChannel& channel() { return *channel_; }
  // The same, without DeviceOptions::ninepfs.
  RingClient& ring() { return static_cast<RingClient&>(*channel_); }

  const std::string& session_id() const { return session_id_; }
  // After Reconnect: the session of the last connection goes on, so fids still stand.
  bool session_goes_on() const { return session_goes_on_; }

  // Waits for what is in flight and closes both ends. Also of a connection that has ended by itself: then it says why.
  absl::Status Close();

  // After a connection has ended: closes it, and connects anew when the backend is ready, or to the share that has this
  // tag now. Can be tried again when it failed. NotFound at once if the share was detached in order, which is no reason
  // to wait; the next try waits for another of that tag. One whose nodes are gone without that may be on its way, as
  // after a restore. Has no bound once the backend was shown a ring, but GiveUp.
  absl::Status Reconnect();
  // Ends a Reconnect that is under way, and makes later ones fail. From any thread.
  void GiveUp();

 private:
  Device(DeviceOptions options, std::unique_ptr<xenstore::Store> store, UniqueFd stop);

  absl::Status FindByTag(Deadline deadline);
  absl::Status FindAgain(Deadline deadline);
  bool WatchEnds();
  struct Found {
    xenstore::DeviceType type;
    std::string frontend_dir, backend_dir;
    uint32_t backend_id;
  };
  std::optional<Found> FindAmong(xenstore::DeviceType type, std::vector<std::string>& tags);
  absl::Status ConnectBy(Deadline deadline, Deadline answer);
  absl::Status AwaitRelease(Deadline deadline);
  bool Detached() { return taken_away_ && !store_->Exists(found_.frontend_dir + "/" XEN_VIRTFS_NODE_BACKEND); }
  // Whether the share is served elsewhere now than where it was found.
  bool Moved();
  bool IsPast(Deadline deadline) const;
  absl::Status PrepareToConnect(Deadline deadline);
  absl::Status CreateChannel();
  absl::Status CreateRing();
  absl::Status CreateNinepfs();
  absl::Status WriteNodes();
  Result<std::string> LockName();
  bool LockShare();
  void Follow();
  bool Drain();
  void EndConnection(xenstore::State backend);

  Result<std::string> ReadBackend(const char* node) { return store_->Read(found_.backend_dir + "/" + node); }
  absl::StatusOr<uint32_t> ReadOffer(const char* node, uint32_t min, uint32_t max, std::optional<uint32_t> absent);
  xenstore::State BackendState();
  xenstore::State FrontendState();
  Result<void> WriteState(xenstore::State state);
  // Waits for a change in xenstore, or also for stop_, and also for the failure of the ring.
  enum class Also { kNothing, kStop, kStopAndFailure };
  void AwaitChange(Deadline deadline, Also also = Also::kStop);

  const DeviceOptions options_;
  std::unique_ptr<xenstore::Store> store_;  // Of the following thread, while it runs.
  UniqueFd stop_;                           // Written to end that thread, or for GiveUp.
  std::atomic<bool> given_up_ = false;
  Found found_{};
  std::string session_id_;
  bool session_goes_on_ = false;
  bool taken_away_ = false;  // The last connection was closed by the wish of the toolstack.
  std::string locked_id_;
  UniqueFd lock_;
  std::unique_ptr<CallChannel> channel_;
  using Nodes = std::vector<std::pair<std::string, std::string>>;
  Nodes nodes_;  // that announce it
  std::thread follower_;
  bool pages_are_ours_ = true;  // No backend can touch what was granted. The thread's, while it runs.
};

}  // namespace virtfs::frontend
