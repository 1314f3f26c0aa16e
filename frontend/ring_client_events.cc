// What a RingClient does for a caller with an event loop: calls that are taken at once or not, receiving beside other
// events, lent replies.

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "frontend/ring_client.h"

namespace virtfs::frontend {

RingClient::Taken RingClient::TrySubmit(RingCall& call) {
  std::unique_lock lock(mutex_);
  if (shut_ || failed_) return Taken::kOver;
  call.done_ = false;
  const std::deque<RingCall*>& queue = call.urgent ? urgent_queue_ : queue_;
  const bool pushed = queue.empty() && TryPush(call);
  if (!pushed && EverFits(call)) return Taken::kNoRoom;
  ++in_flight_;
  ++statistics_.calls;
  if (pushed) {
    Publish();
  } else {
    Complete(call, EMSGSIZE);
  }
  RunCallbacks(lock);
  return Taken::kYes;
}

void RingClient::ReceiveOr(std::span<pollfd> others, Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (receiving_ || failed_) {
    lock.unlock();
    poll(others.data(), others.size(), PollTimeout(deadline));
    return;
  }
  receiving_ = true;
  const auto take = [this] {
    if (const char* fault = TakeResponses(); fault != nullptr) FailLocked(fault);
  };
  take();
  if (!HasReceived() && callbacks_.empty() && !failed_) {
    AwaitResponse(lock, deadline, others);
    take();
  }
  FinishReceived(lock);
  receiving_ = false;
  PassOnReceiving();
}

// Without the lock: the chain is the call's, and so are its pages.
void RingClient::LentTo(const RingCall& call, std::vector<iovec>& pieces) const {
  if (!call.lent()) return;
  const Chain& chain = chains_[call.chain_];
  size_t skip = call.reply.size();
  size_t left = call.reply_size - skip;
  for (const Segment& segment : chain.layout.reply) {
    const std::span<uint8_t> bytes = BytesOf(chain, segment);
    const size_t begin = std::min(skip, bytes.size());
    const size_t size = std::min(bytes.size() - begin, left);
    skip -= begin;
    left -= size;
    if (size > 0) pieces.push_back({bytes.data() + begin, size});
  }
}

void RingClient::Return(RingCall& call) {
  if (!call.lent()) return;
  std::unique_lock lock(mutex_);
  FreeChain(call.chain_);
  call.reply_size = 0;
  if (failed_) return;
  PushQueued();
  Publish();
}

}  // namespace virtfs::frontend
