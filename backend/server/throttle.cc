#include "backend/server/throttle.h"

namespace virtfs::backend {

TokenBucket::TokenBucket(const Rate& rate, Time now)
    : per_second_(rate.per_second),
      most_(Balance{rate.burst != 0 ? rate.burst : rate.per_second} * kPerToken),
      balance_(most_),
      then_(now) {}

TokenBucket::Duration TokenBucket::Wait(Time now) {
  if (!limits()) return Duration::zero();
  // Threads read the clock before they get here in turn: time may seem to go back.
  if (now > then_) {
    const auto passed = std::chrono::duration_cast<Duration>(now - then_).count();
    balance_ = std::min(most_, balance_ + Balance{passed} * per_second_);
    then_ = now;
  }
  const Balance missing = kPerToken - balance_;
  if (missing <= 0) return Duration::zero();
  return Duration(static_cast<int64_t>((missing + per_second_ - 1) / per_second_));
}

}  // namespace virtfs::backend
