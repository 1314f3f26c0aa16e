// ServeTime: whether requests take so long that they probably wait for something, a disk for instance, so that more
// threads than there are processors are of use.
//
// Long is what takes longer than 25 us, or than fifty system calls: in an emulated machine, where a call takes a
// hundred microseconds, every request would be long by the clock alone, and wake every thread.
//
// Threads: any; what is lost in a race is one measurement.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

namespace virtfs::backend {

class ServeTime {
 public:
  using Duration = std::chrono::nanoseconds;

  static constexpr Duration kLong = std::chrono::microseconds(25);
  static constexpr int kLongCalls = 50;

  // `call`: what a system call takes.
  explicit ServeTime(Duration call) : long_(std::max(kLong, kLongCalls * call)) {}

  // What a system call takes on this machine: measured with a short one that the server may make.
  static Duration OfCall();

  void Learn(Duration took) {
    // One that took very long alone says nothing of the others.
    const Duration::rep counted = std::min(took, 4 * long_).count();
    const Duration::rep mean = mean_.load(std::memory_order_relaxed);
    mean_.store(mean + (counted - mean) / 8, std::memory_order_relaxed);
  }

  // Of late and on average.
  bool Long() const { return mean_.load(std::memory_order_relaxed) > long_.count(); }

 private:
  const Duration long_;
  std::atomic<Duration::rep> mean_ = 0;
};

}  // namespace virtfs::backend
