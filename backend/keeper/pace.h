// Pace: how soon a closed share may come back, so that a guest that crashes its server or reconnects in a circle costs
// the host a bounded number of new processes.
//
// After a failure: 1 s, then twice as long each time up to 30 s, and 1 s again after a minute of service
// (docs/virtfs.md section 12.3). After an orderly close: at once, ten times in a row; then once a second.
// Threads: one at a time.
#pragma once

#include <algorithm>
#include <chrono>

namespace virtfs::backend {

class Pace {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  static constexpr std::chrono::seconds kFirstDelay{1};
  static constexpr std::chrono::seconds kLongestDelay{30};
  static constexpr std::chrono::seconds kGoodService{60};
  static constexpr int kBurst = 10;

  // The share has begun to serve.
  void Served(Time now) { serving_since_ = now; }

  // It has closed in order. Returns when it may come back.
  Time Closed(Time now) {
    Forgive(now);
    // Each return costs a second of credit, of which there are at most kBurst.
    credit_used_until_ = std::max(credit_used_until_, now) + std::chrono::seconds(1);
    return std::max(now, credit_used_until_ - std::chrono::seconds(kBurst));
  }

  // It has failed, or could not be prepared. Returns when it may be tried again.
  Time Failed(Time now) {
    Forgive(now);
    const Time when = now + delay_;
    delay_ = std::min(delay_ * 2, kLongestDelay);
    return when;
  }

 private:
  void Forgive(Time now) {
    if (serving_since_ != Time() && now - serving_since_ >= kGoodService) delay_ = kFirstDelay;
    serving_since_ = Time();
  }

  std::chrono::seconds delay_ = kFirstDelay;
  Time serving_since_{};
  Time credit_used_until_{};
};

}  // namespace virtfs::backend
