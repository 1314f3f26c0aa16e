// PollPolicy: whether to look at the ring for a moment before sleeping.
//
// Sleeping costs two switches of context, some 10 us, for each request of a guest that sends one at a time; looking
// costs the processor, which with few of them the guest itself may need. So: look for a bounded time, and only while
// it has paid off lately. That is known of sleeps too: a request that came within the bound would have been seen.
//
// Threads: any; what is lost in a race is one vote.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

namespace virtfs::backend {

class PollPolicy {
 public:
  using Duration = std::chrono::steady_clock::duration;

  // A bound of 0: never.
  explicit PollPolicy(Duration bound) : bound_(bound) {}

  Duration bound() const { return bound_; }
  bool Worthwhile() const { return bound_ > Duration::zero() && score_.load(std::memory_order_relaxed) >= kEnough; }

  // How long it took until a request came, whether that was seen by looking or slept through.
  void Learn(Duration gap) {
    const int score = score_.load(std::memory_order_relaxed);
    score_.store(gap <= bound_ ? std::min(score + kReward, kMost) : std::max(score - 1, 0), std::memory_order_relaxed);
  }

 private:
  // One hit in three keeps it up; eight misses in a row turn it off.
  static constexpr int kReward = 2, kEnough = 8, kMost = 16;

  const Duration bound_;
  std::atomic<int> score_ = 0;
};

}  // namespace virtfs::backend
