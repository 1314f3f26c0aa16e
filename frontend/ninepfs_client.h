// NinepfsClient: requests to one backend over the rings of a 9pfs device, many at once. A request takes the ring of its
// tag, as Linux does it: tag modulo number of rings.
//
// Errors, threads: those of CallChannel. A RingCall's `lend` must be 0.
// Trust: nothing the backend writes: indices, sizes, tags and types of replies are checked, headers in private copies.
// Source: Xen's io/9pfs.h; docs/9pfs.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "frontend/call_channel.h"
#include "frontend/event_channel.h"
#include "frontend/ninepfs_ring.h"
#include "frontend/page_pool.h"

namespace virtfs::frontend {

struct NinepfsOptions {
  uint32_t backend = 0;
  uint32_t rings = 2;
  uint32_t order = 8;  // the most that two rings can have with Linux's default limit for user space, 1,024 pages
  std::chrono::microseconds max_poll{200};
};

class NinepfsClient final : public CallChannel {
 public:
  static absl::StatusOr<std::unique_ptr<NinepfsClient>> Create(const NinepfsOptions& options);

  // For the nodes ring-ref<N> and event-channel-<N>.
  uint32_t rings() const { return static_cast<uint32_t>(rings_.size()); }
  uint32_t ring_ref(uint32_t ring) const { return rings_[ring]->ref(); }
  uint32_t event_channel(uint32_t ring) const { return events_->port(ring); }

  // Half of one direction of the smallest ring, so that there is room for the next reply while one is taken off.
  uint32_t max_msize() const override { return max_msize_; }

 private:
  // A call on its ring.
  struct Pushed {
    RingCall* call;
    uint32_t ring;
  };
  // A reply on its ring, to be copied by the receiver.
  struct Received {
    RingCall* call;
    uint32_t ring;
    NinepfsRing::Found found;
  };

  NinepfsClient(const NinepfsOptions& options, UniqueFd wake, UniqueFd failed_event);

  bool EverFits(const RingCall& call) override;
  bool TryPush(RingCall& call) override;
  void Publish() override;
  bool RoomComesQuietly() const override { return true; }
  bool Readable() const override;
  bool Arm() override { return !Readable(); }
  int event_fd() const override { return events_->fd(); }
  void Acknowledge() override { events_->Acknowledge(); }
  void UnbindEvents() override { events_->Unbind(); }
  const char* TakeResponses() override;
  bool HasReceived() const override { return !received_.empty(); }
  void CopyReceived() override;
  void CompleteReceived() override;
  void FailPushed() override;

  void Notify(uint32_t ring);

  uint32_t max_msize_ = 0;
  // Destroyed from below: pages before the handle that granted them.
  std::unique_ptr<GrantHandle> grants_;
  std::unique_ptr<EventChannel> events_;
  std::vector<std::unique_ptr<NinepfsRing>> rings_;

  // CallChannel::mutex_.
  std::unordered_map<p9::Tag, Pushed> pushed_;
  std::vector<Received> received_;
  bool request_fault_ = false;
};

}  // namespace virtfs::frontend
