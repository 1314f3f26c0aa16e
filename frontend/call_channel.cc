#include "frontend/call_channel.h"

#include <sched.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <utility>

namespace virtfs::frontend {
namespace {

using std::chrono::steady_clock;

// How often room is looked for that comes without an event.
constexpr std::chrono::milliseconds kQuietRoom{1};

}  // namespace

int PollTimeout(Deadline deadline) {
  if (deadline == Deadline::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

CallChannel::CallChannel(std::chrono::microseconds max_poll, UniqueFd wake, UniqueFd failed_event)
    : max_poll_(max_poll), wake_(std::move(wake)), failed_event_(std::move(failed_event)) {}

void CallChannel::Submit(RingCall& call) {
  std::unique_lock lock(mutex_);
  ++in_flight_;
  ++statistics_.calls;
  call.done_ = false;
  std::deque<RingCall*>& queue = call.urgent ? urgent_queue_ : queue_;
  if (shut_ || failed_) {
    Complete(call, EIO);
  } else if (queue.empty() && TryPush(call)) {
    Publish();
  } else if (EverFits(call)) {
    queue.push_back(&call);
  } else {
    Complete(call, EMSGSIZE);
  }
  RunCallbacks(lock);
}

void CallChannel::PushQueued() {
  for (std::deque<RingCall*>* queue : {&urgent_queue_, &queue_}) {
    while (!queue->empty() && TryPush(*queue->front())) queue->pop_front();
  }
}

bool CallChannel::WaitUntil(RingCall& call, Deadline deadline) {
  std::unique_lock lock(mutex_);
  return WaitLocked(lock, &call, deadline);
}

bool CallChannel::WaitIdle(Deadline deadline) {
  std::unique_lock lock(mutex_);
  return WaitLocked(lock, nullptr, deadline);
}

// Waits for `call`, or if there is none until nothing is in flight.
bool CallChannel::WaitLocked(std::unique_lock<std::mutex>& lock, RingCall* call, Deadline deadline) {
  while (!IsDone(call)) {
    // After a failure nothing more is received: what is not done is in the hands of whoever completes it.
    const auto may_receive = [&] { return !receiving_ && !failed_; };
    if (may_receive()) {
      Receive(lock, call, deadline);
    } else {
      std::condition_variable& changed = call != nullptr ? call->changed_ : idle_;
      if (call != nullptr) waiting_.push_back(call);
      const auto ready = [&] { return IsDone(call) || may_receive(); };
      if (deadline == Deadline::max()) {
        changed.wait(lock, ready);
      } else {
        changed.wait_until(lock, deadline, ready);
      }
      if (call != nullptr) std::erase(waiting_, call);
    }
    if (deadline != Deadline::max() && steady_clock::now() >= deadline) break;
  }
  // Whoever leaves may have received, or may just have been asked to.
  PassOnReceiving();
  return IsDone(call);
}

// Receives for everybody until `call` is done.
void CallChannel::Receive(std::unique_lock<std::mutex>& lock, const RingCall* call, Deadline deadline) {
  receiving_ = true;
  while (!IsDone(call) && !failed_) {
    if (const char* fault = TakeResponses(); fault != nullptr) FailLocked(fault);
    if (HasReceived() || !callbacks_.empty()) {
      FinishReceived(lock);
    } else if (!failed_) {
      if (deadline != Deadline::max() && steady_clock::now() >= deadline) break;
      AwaitResponse(lock, deadline);
    }
  }
  receiving_ = false;
}

// If nobody receives, wakes one of those who wait for a reply that has not come.
void CallChannel::PassOnReceiving() {
  if (receiving_) return;
  for (RingCall* call : waiting_) {
    if (!call->done_) return call->changed_.notify_one();
  }
  idle_.notify_all();
}

// Polls, then sleeps, until there may be a response, or an event of `others`.
void CallChannel::AwaitResponse(std::unique_lock<std::mutex>& lock, Deadline deadline, std::span<pollfd> others) {
  const bool expecting = in_flight_ > 0;
  const bool queued = RoomComesQuietly() && !(queue_.empty() && urgent_queue_.empty());
  if (queued) deadline = std::min<Deadline>(deadline, steady_clock::now() + kQuietRoom);
  const std::chrono::nanoseconds patience = expecting ? patience_ : std::chrono::nanoseconds(0);
  lock.unlock();
  const auto start = steady_clock::now();
  for (int i = 1; steady_clock::now() - start < patience; ++i) {
    if (Readable()) {
      lock.lock();
      return;
    }
    // The backend, or a thread of ours that has the next request, may want this processor.
    if (i % 16 == 0) {
      sched_yield();
      if (!others.empty() && poll(others.data(), others.size(), 0) > 0) {
        lock.lock();
        return;
      }
    }
    __builtin_ia32_pause();
  }
  std::array<pollfd, 2 + kMaxOthers> fds = {{{event_fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
  assert(others.size() <= kMaxOthers);
  std::copy(others.begin(), others.end(), fds.begin() + 2);
  const bool slept = Arm();
  if (slept) poll(fds.data(), 2 + others.size(), PollTimeout(deadline));
  for (size_t i = 0; i < others.size(); ++i) others[i].revents = fds[2 + i].revents;
  const auto waited = steady_clock::now() - start;
  lock.lock();
  if (fds[0].revents != 0) Acknowledge();
  if (fds[1].revents != 0) {
    eventfd_t count;
    eventfd_read(wake_.get(), &count);
  }
  if (expecting) patience_ = waited <= max_poll_ ? std::chrono::nanoseconds(max_poll_) : patience / 2;
  if (slept) ++statistics_.sleeps;
  if (queued && !failed_) {
    PushQueued();
    Publish();
  }
}

// Copies and completes what was received, and uses the room for what is queued.
void CallChannel::FinishReceived(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  CopyReceived();
  lock.lock();
  CompleteReceived();
  if (!failed_) {
    PushQueued();
    Publish();
  }
  RunCallbacks(lock);
}

void CallChannel::Complete(RingCall& call, int error) {
  call.error = error;
  if (call.on_done != nullptr) {
    callbacks_.push_back(&call);
    return;
  }
  // Under the lock: once it is released the waiting thread may destroy the call.
  call.done_ = true;
  call.changed_.notify_one();
  if (--in_flight_ == 0) idle_.notify_all();
}

void CallChannel::RunCallbacks(std::unique_lock<std::mutex>& lock) {
  while (!callbacks_.empty()) {
    const std::vector<RingCall*> calls = std::exchange(callbacks_, {});
    lock.unlock();
    for (RingCall* call : calls) call->on_done(*call);
    lock.lock();
    in_flight_ -= calls.size();
    if (in_flight_ == 0) idle_.notify_all();
  }
}

bool CallChannel::Cancel(RingCall& call) {
  std::unique_lock lock(mutex_);
  if (std::erase(urgent_queue_, &call) + std::erase(queue_, &call) == 0) return false;
  Complete(call, EINTR);
  // What queued behind it may be smaller.
  PushQueued();
  Publish();
  RunCallbacks(lock);
  return true;
}

void CallChannel::Shut() {
  const std::lock_guard lock(mutex_);
  shut_ = true;
}

void CallChannel::Fail(std::string reason) {
  std::unique_lock lock(mutex_);
  FailLocked(std::move(reason));
  RunCallbacks(lock);
}

void CallChannel::Unbind() {
  const std::lock_guard lock(mutex_);
  UnbindEvents();
}

void CallChannel::FailLocked(std::string reason) {
  if (std::exchange(failed_, true)) return;
  fault_ = std::move(reason);
  for (std::deque<RingCall*>* queue : {&urgent_queue_, &queue_}) {
    for (RingCall* call : *queue) Complete(*call, EIO);
    queue->clear();
  }
  FailPushed();
  eventfd_write(wake_.get(), 1);
  eventfd_write(failed_event_.get(), 1);
}

std::string CallChannel::fault() const {
  const std::lock_guard lock(mutex_);
  return fault_;
}

RingStatistics CallChannel::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

}  // namespace virtfs::frontend
