// RingClient: requests to one backend over one virtfs ring, many at once.
//
// Pages are granted once, from a fixed pool. A call takes slots and pages as it is published. Four slots and two pages
// are kept for urgent calls.
//
// A caller with an event loop of its own uses TrySubmit and ReceiveOr instead of Submit and Wait, and can have large
// replies lent: it finds them in the shared pages, uncopied.
//
// Errors, threads: those of CallChannel; and EIO when the backend refused the chain (a negative status).
// Trust: nothing the backend writes: its indices, ids, statuses, and replies are checked in private copies.
// Source: docs/virtfs.md, sections 4 to 8, 10.5, 14 and 15.2.
#pragma once

#include <poll.h>
#include <sys/uio.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "frontend/call_channel.h"
#include "frontend/chain.h"
#include "frontend/event_channel.h"
#include "frontend/page_pool.h"
#include "frontend/ring.h"

namespace virtfs::frontend {

struct RingOptions {
  uint32_t backend = 0;
  uint32_t max_chain_slots = XEN_VIRTFS_MIN_CHAIN_SLOTS;  // What the backend published.
  bool persistent = false;                                // It keeps grants mapped, and we said that we reuse them.
  uint32_t pages = Ring::kSlots;                          // Of the pool; more are never of use.
  // How long a wait polls the ring, while that pays off, before it sleeps. The default is longer than a backend that
  // polls needs to read 512 KiB from its cache; what takes longer is worth a sleep. 0: always sleep.
  std::chrono::microseconds max_poll{200};
};

class RingClient final : public CallChannel {
 public:
  static absl::StatusOr<std::unique_ptr<RingClient>> Create(const RingOptions& options);
  // Only when no call is in flight and the backend is Closed or gone.
  ~RingClient() override;

  // For the nodes ring-ref and event-channel.
  uint32_t ring_ref() const { return ring_page_->gref(0); }
  uint32_t event_channel() const { return event_channel_->port(); }

  bool persistent() const { return options_.persistent; }

  // The largest msize for which every request has room; and for which `at_once` of them have it together.
  uint32_t max_msize() const override { return MaxMsize(1); }
  uint32_t MaxMsize(uint32_t at_once) const;

  enum class Taken {
    kYes,
    kNoRoom,  // Not now. Room comes with replies.
    kOver,    // The connection takes no calls any more.
  };
  // Sends `call` now, or not at all. EMSGSIZE, as its outcome, if there never will be room.
  [[nodiscard]] Taken TrySubmit(RingCall& call);
  // For an event loop: completes what is answered. If nothing is, waits for an answer, for an event of `others`, or for
  // `deadline`. May return without any of them.
  using CallChannel::kMaxOthers;
  void ReceiveOr(std::span<pollfd> others, Deadline deadline);
  // Of a done call: appends the pieces of its reply behind `reply`.
  void LentTo(const RingCall& call, std::vector<iovec>& pieces) const;
  // Gives the pages back that a done call was lent; nothing if it was lent none.
  void Return(RingCall& call);

 private:
  // A call in flight.
  struct Chain {
    RingCall* call = nullptr;  // None: the chain is free.
    ChainLayout layout;
    std::vector<PagePool::Index> pages;  // In the layout's order.
    bool received = false;               // Answered; the receiver copies and completes it.
    int error = 0;                       // Of the answered chain.
    const char* fault = nullptr;         // What is wrong with its reply.
  };
  using ChainId = uint8_t;
  static constexpr size_t kMaxChains = Ring::kSlots / 2;

  RingClient(const RingOptions& options, UniqueFd wake, UniqueFd failed_event);

  bool EverFits(const RingCall& call) override;
  bool TryPush(RingCall& call) override;
  void Publish() override;
  bool Readable() const override { return ring_->Readable(); }
  bool Arm() override { return ring_->Arm(); }
  int event_fd() const override { return event_channel_->fd(); }
  void Acknowledge() override { event_channel_->Acknowledge(); }
  void UnbindEvents() override { event_channel_->Unbind(); }
  const char* TakeResponses() override;
  bool HasReceived() const override { return !received_.empty(); }
  void CopyReceived() override;
  void CompleteReceived() override;
  void FailPushed() override;

  // With the lock held.
  ChainLayout& LayOut(const RingCall& call);
  bool HasPages(const ChainLayout& layout, uint32_t request_pages, uint32_t reply_pages, uint32_t kept) const;
  void FreeChain(ChainId id);

  void CopyReply(Chain& chain) const;  // Without the lock.
  void ScatterRequest(const Chain& chain) const;
  std::span<uint8_t> BytesOf(const Chain& chain, const Segment& segment) const;
  PagePool& PoolOf(const ChainLayout& layout, size_t page) const {
    return page < layout.request_pages ? *request_pool_ : reply_pool();
  }
  PagePool& reply_pool() const { return reply_pool_ ? *reply_pool_ : *request_pool_; }

  const RingOptions options_;
  // Destroyed from below: pages before the handle that granted them.
  std::unique_ptr<GrantHandle> grants_;
  std::unique_ptr<EventChannel> event_channel_;
  std::unique_ptr<PagePool> ring_page_;
  std::unique_ptr<PagePool> request_pool_;
  std::unique_ptr<PagePool> reply_pool_;  // None with persistent grants: all pages are alike.

  // CallChannel::mutex_, as far as they change.
  std::unique_ptr<Ring> ring_;
  std::array<Chain, kMaxChains> chains_;
  std::vector<ChainId> free_chains_;
  std::vector<ChainId> received_;  // Taken off the ring by the receiver, to be copied and completed.
  ChainLayout scratch_layout_;
  std::vector<xen_virtfsif_request> scratch_slots_;
  bool pushed_ = false;  // Slots that are not published yet.
};

}  // namespace virtfs::frontend
