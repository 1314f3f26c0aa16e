// RingClient: requests to one backend over one virtfs ring, many at once.
//
// Pages are granted once, from a fixed pool. A call takes slots and pages as it is published; if there are not enough
// it waits in a queue, in order of arrival, without holding its thread. Four slots and two pages are kept for urgent
// calls (Tflush, Tclunk), which pass by the queue.
//
// There is no thread in here. Of the threads that Wait, one receives for all of them: it polls the ring for a bounded
// time that adapts to how quickly replies come, then sleeps on the event channel. It copies each reply out of the
// shared pages once, checks the copy's header, wakes whose call it was, and hands the receiving on when its own call is
// done. So a call alone is sent, awaited and completed on one thread. A caller with an event loop of its own uses
// TrySubmit and ReceiveOr instead, and can have large replies lent: it finds them in the shared pages, uncopied.
//
// Errors, as the call's `error`: EIO when the backend refused the chain (a negative status), and for everything that is
// in flight when the connection ends or the backend breaks the rules (docs/virtfs.md, section 14); fault() then says
// what it did. No request is ever sent twice.
// Threads: every method from any thread.
// Trust: nothing the backend writes: its indices, ids, statuses, and replies are checked in private copies.
// Source: docs/virtfs.md, sections 4 to 8, 10.5, 14 and 15.2.
#pragma once

#include <poll.h>
#include <sys/uio.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "frontend/chain.h"
#include "frontend/event_channel.h"
#include "frontend/page_pool.h"
#include "frontend/ring.h"

namespace virtfs::frontend {

using Deadline = std::chrono::steady_clock::time_point;

// Milliseconds for poll(2), rounded up; -1 for Deadline::max().
int PollTimeout(Deadline deadline);

// One request and its reply. It must stay where it is from Submit until it is done, and so must what it points to.
struct RingCall {
  // The request: its head, and the payload of a Twrite behind it.
  std::span<const uint8_t> head;
  std::span<const uint8_t> payload;
  // Where the reply goes, in private memory: the first bytes into `reply`, all others into `data`. Their sizes together
  // are the room that the backend gets. `reply` holds at least an Rlerror (11 bytes).
  std::span<uint8_t> reply;
  std::span<uint8_t> data;
  // In place of `data`: so many bytes of room, which are not copied. A call that is done without an error and whose
  // reply is longer than `reply` keeps its pages until Return: LentTo says where the rest lies. The backend can change
  // these bytes at any time; they are for who does not interpret them. Needs on_done.
  uint32_t lend = 0;

  // A Tflush or Tclunk: may use what is kept free for these.
  bool urgent = false;

  // If set, called once when the call is done, on the thread that found out and with no lock held. It may Submit, it
  // may destroy the call, it must not wait.
  void (*on_done)(RingCall& call) = nullptr;
  void* context = nullptr;  // For on_done.

  // The outcome, once it is done: an errno, or 0 and how long the whole reply is.
  int error = 0;
  uint32_t reply_size = 0;

  // Once it is done: whether a part of the reply is lent.
  bool lent() const { return lend > 0 && error == 0 && reply_size > reply.size(); }

 private:
  friend class RingClient;
  bool done_ = false;
  uint8_t chain_ = 0;  // Whose pages are lent.
  std::condition_variable changed_;
};

struct RingOptions {
  uint32_t backend = 0;
  uint32_t max_chain_slots = XEN_VIRTFS_MIN_CHAIN_SLOTS;  // What the backend published.
  bool persistent = false;                                // It keeps grants mapped, and we said that we reuse them.
  uint32_t pages = Ring::kSlots;                          // Of the pool; more are never of use.
  // How long a wait polls the ring, while that pays off, before it sleeps. The default is longer than a backend that
  // polls needs to read 512 KiB from its cache; what takes longer is worth a sleep. 0: always sleep.
  std::chrono::microseconds max_poll{200};
};

struct RingStatistics {
  uint64_t calls = 0;
  uint64_t notifications = 0;  // Event-channel sends.
  uint64_t sleeps = 0;         // Times that polling was not enough.
  uint64_t request_bytes = 0;
  uint64_t reply_bytes = 0;
};

class RingClient {
 public:
  static absl::StatusOr<std::unique_ptr<RingClient>> Create(const RingOptions& options);
  // Only when no call is in flight and the backend is Closed or gone.
  ~RingClient();
  RingClient(const RingClient&) = delete;
  RingClient& operator=(const RingClient&) = delete;

  // For the nodes ring-ref and event-channel.
  uint32_t ring_ref() const { return ring_page_->gref(0); }
  uint32_t event_channel() const { return event_channel_->port(); }

  bool persistent() const { return options_.persistent; }

  // The largest msize for which every request has room; and for which `at_once` of them have it together.
  uint32_t max_msize() const { return MaxMsize(1); }
  uint32_t MaxMsize(uint32_t at_once) const;

  // Sends `call` as soon as there is room. EMSGSIZE at once if there never will be.
  void Submit(RingCall& call);

  enum class Taken {
    kYes,
    kNoRoom,  // Not now. Room comes with replies.
    kOver,    // The connection takes no calls any more.
  };
  // Sends `call` now, or not at all. EMSGSIZE, as its outcome, if there never will be room.
  [[nodiscard]] Taken TrySubmit(RingCall& call);
  // For an event loop: completes what is answered. If nothing is, waits for an answer, for an event of `others`, or for
  // `deadline`. May return without any of them.
  static constexpr size_t kMaxOthers = 6;
  void ReceiveOr(std::span<pollfd> others, Deadline deadline);
  // Of a done call: appends the pieces of its reply behind `reply`.
  void LentTo(const RingCall& call, std::vector<iovec>& pieces) const;
  // Gives the pages back that a done call was lent; nothing if it was lent none.
  void Return(RingCall& call);

  // Waits until `call` is done; false if it is not by then. At most one thread may wait for a call.
  [[nodiscard]] bool WaitUntil(RingCall& call, Deadline deadline);
  void Wait(RingCall& call) { static_cast<void>(WaitUntil(call, Deadline::max())); }

  // Takes back a call that was not published yet, which is then done with EINTR. False: the backend may have it.
  bool Cancel(RingCall& call);

  // No new calls from now on: they fail with EIO.
  void Shut();
  // Waits until nothing is in flight.
  [[nodiscard]] bool WaitIdle(Deadline deadline);
  // The connection is over: everything in flight fails with EIO.
  void Fail(std::string reason);

  // How the connection ended; empty while it stands.
  std::string fault() const;
  // Readable from then on.
  int failed_fd() const { return failed_event_.get(); }
  RingStatistics statistics() const;

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

  // All of these with the lock held, unless they say otherwise.
  ChainLayout& LayOut(const RingCall& call);
  bool HasPages(const ChainLayout& layout, uint32_t request_pages, uint32_t reply_pages, uint32_t kept) const;
  bool EverFits(const RingCall& call);
  bool TryPush(RingCall& call);
  void PushQueued();
  void Publish();
  bool IsDone(const RingCall* call) const { return call != nullptr ? call->done_ : in_flight_ == 0; }
  bool WaitLocked(std::unique_lock<std::mutex>& lock, RingCall* call, Deadline deadline);
  void Receive(std::unique_lock<std::mutex>& lock, const RingCall* call, Deadline deadline);
  void PassOnReceiving();
  void AwaitResponse(std::unique_lock<std::mutex>& lock, Deadline deadline, std::span<pollfd> others = {});
  const char* TakeResponses();
  void FinishReceived(std::unique_lock<std::mutex>& lock);
  void FreeChain(ChainId id);
  void CopyReply(Chain& chain) const;  // Without the lock.
  void ScatterRequest(const Chain& chain) const;
  void Complete(RingCall& call, int error);
  void RunCallbacks(std::unique_lock<std::mutex>& lock);
  void FailLocked(std::string reason);

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
  UniqueFd wake_;                         // Ends the receiver's sleep.
  UniqueFd failed_event_;

  mutable std::mutex mutex_;
  std::unique_ptr<Ring> ring_;
  std::array<Chain, kMaxChains> chains_;
  std::vector<ChainId> free_chains_;
  std::deque<RingCall*> urgent_queue_;
  std::deque<RingCall*> queue_;
  std::vector<ChainId> received_;     // Taken off the ring by the receiver, to be copied and completed.
  std::vector<RingCall*> callbacks_;  // Over; their on_done is to be called.
  std::vector<RingCall*> waiting_;    // Their threads sleep, and could receive.
  std::condition_variable idle_;
  ChainLayout scratch_layout_;
  std::vector<xen_virtfsif_request> scratch_slots_;
  bool pushed_ = false;  // Slots that are not published yet.
  bool receiving_ = false;
  bool shut_ = false;
  bool failed_ = false;
  size_t in_flight_ = 0;                  // Submitted and not over.
  std::chrono::nanoseconds patience_{0};  // For how long it pays to poll.
  std::string fault_;
  RingStatistics statistics_;
};

}  // namespace virtfs::frontend
