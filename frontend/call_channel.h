// CallChannel: requests to one backend and their replies, many at once, whatever the wire: RingClient's virtfs ring, or
// NinepfsClient's 9pfs rings.
//
// If there is no room a call waits in a queue, in order of arrival, without holding its thread. Urgent calls (Tflush,
// Tclunk) pass by the queue.
//
// There is no thread in here. Of the threads that Wait, one receives for all of them: it polls the ring for a bounded
// time that adapts to how quickly replies come, then sleeps on the event channel. It copies each reply out of the
// shared pages once, checks the copy's header, wakes whose call it was, and hands the receiving on when its own call is
// done. So a call alone is sent, awaited and completed on one thread.
//
// Errors, as the call's `error`: EIO for everything that is in flight when the connection ends or the backend breaks
// the rules of the wire; fault() then says what it did. No request is ever sent twice.
// Threads: every method from any thread.
// Trust: nothing the backend writes.
#pragma once

#include <poll.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"

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
  friend class CallChannel;
  friend class RingClient;
  bool done_ = false;
  uint8_t chain_ = 0;  // Whose pages are lent.
  std::condition_variable changed_;
};

struct RingStatistics {
  uint64_t calls = 0;
  uint64_t notifications = 0;  // Event-channel sends.
  uint64_t sleeps = 0;         // Times that polling was not enough.
  uint64_t request_bytes = 0;
  uint64_t reply_bytes = 0;
};

class CallChannel {
 public:
  virtual ~CallChannel() = default;
  CallChannel(const CallChannel&) = delete;
  CallChannel& operator=(const CallChannel&) = delete;

  // The largest msize for which every request has room.
  virtual uint32_t max_msize() const = 0;

  // Sends `call` as soon as there is room. EMSGSIZE at once if there never will be.
  void Submit(RingCall& call);

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

  // After Fail, when the backend is Closed: lets go of the event channels, so that the guest can be saved. What was
  // granted stays as it is.
  void Unbind();

  // How the connection ended; empty while it stands.
  std::string fault() const;
  // Readable from then on.
  int failed_fd() const { return failed_event_.get(); }
  RingStatistics statistics() const;

 protected:
  // `max_poll`: how long a wait polls the ring, while that pays off, before it sleeps. 0: always sleep.
  CallChannel(std::chrono::microseconds max_poll, UniqueFd wake, UniqueFd failed_event);

  // --- the wire; all with the lock held, unless they say otherwise ---
  // Whether there is room for `call` when nothing else is in flight.
  virtual bool EverFits(const RingCall& call) = 0;
  // Puts `call` on the ring, if there is room; Publish shows it to the backend, with all others.
  virtual bool TryPush(RingCall& call) = 0;
  virtual void Publish() = 0;
  // Whether room can come back without a reply, and without an event.
  virtual bool RoomComesQuietly() const { return false; }
  // Without the lock, the receiver's: whether there may be a response. Arm: and if not, an event will come with one.
  virtual bool Readable() const = 0;
  virtual bool Arm() = 0;
  virtual int event_fd() const = 0;
  virtual void Acknowledge() = 0;
  virtual void UnbindEvents() = 0;
  // Finds out what is answered. Returns what rule the backend broke, if any.
  virtual const char* TakeResponses() = 0;
  virtual bool HasReceived() const = 0;
  // Without the lock: brings the replies that were found to their calls. Then, with it: Complete for each.
  virtual void CopyReceived() = 0;
  virtual void CompleteReceived() = 0;
  // Complete, with EIO, for all that is on the ring and was not found answered.
  virtual void FailPushed() = 0;

  // --- for the wire, and with the lock held ---
  void PushQueued();
  void Complete(RingCall& call, int error);
  void RunCallbacks(std::unique_lock<std::mutex>& lock);
  void FailLocked(std::string reason);
  void FinishReceived(std::unique_lock<std::mutex>& lock);
  void PassOnReceiving();
  static constexpr size_t kMaxOthers = 6;
  void AwaitResponse(std::unique_lock<std::mutex>& lock, Deadline deadline, std::span<pollfd> others = {});

  mutable std::mutex mutex_;
  std::deque<RingCall*> urgent_queue_;
  std::deque<RingCall*> queue_;
  std::vector<RingCall*> callbacks_;  // Over; their on_done is to be called.
  bool receiving_ = false;
  bool shut_ = false;
  bool failed_ = false;
  size_t in_flight_ = 0;  // Submitted and not over.
  RingStatistics statistics_;

 private:
  bool IsDone(const RingCall* call) const { return call != nullptr ? call->done_ : in_flight_ == 0; }
  bool WaitLocked(std::unique_lock<std::mutex>& lock, RingCall* call, Deadline deadline);
  void Receive(std::unique_lock<std::mutex>& lock, const RingCall* call, Deadline deadline);

  const std::chrono::microseconds max_poll_;
  UniqueFd wake_;  // Ends the receiver's sleep.
  UniqueFd failed_event_;
  std::vector<RingCall*> waiting_;  // Their threads sleep, and could receive.
  std::condition_variable idle_;
  std::chrono::nanoseconds patience_{0};  // For how long it pays to poll.
  std::string fault_;
};

}  // namespace virtfs::frontend
