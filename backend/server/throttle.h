// Throttle: how fast a guest may use its share: token buckets of operations and of bytes.
//
// A bucket gains `per_second` tokens a second up to `burst`. A request is let in while each bucket has a token; what it
// costs is taken when that is known, even if the bucket then owes: a debt, which time pays off before the next request
// is let in. So no request is ever refused or cut, however small the burst, and on average no more than the rate gets
// through: n operations take at least (n - burst) / per_second seconds.
//
// Threads: a value; one at a time. It reads no clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace virtfs::backend {

// 0 per second: no bound.
struct Rate {
  uint64_t per_second = 0;  // at most 2^50
  uint64_t burst = 0;       // tokens at once after a pause, at most 2^50; 0: those of a second
};

class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  // Full.
  TokenBucket(const Rate& rate, Time now);

  bool limits() const { return per_second_ != 0; }
  // How long from `now` until there is a token; 0: there is one.
  Duration Wait(Time now);
  void Spend(uint64_t tokens) { balance_ -= Balance{tokens} * kPerToken; }

 private:
  // Billionths of a token: what a nanosecond brings is a whole number of them. 128 bits hold a debt of 2^50 bytes for
  // each of 2^40 requests, and the gain of 2^40 seconds.
  using Balance = __int128;
  static constexpr uint64_t kPerToken = 1'000'000'000;

  uint64_t per_second_;
  Balance most_;
  Balance balance_;
  Time then_;  // the time of `balance_`
};

class Throttle {
 public:
  Throttle(const Rate& operations, const Rate& bytes, TokenBucket::Time now)
      : operations_(operations, now), bytes_(bytes, now) {}

  bool limits() const { return operations_.limits() || bytes_.limits(); }
  // How long from `now` until the next request may be let in; 0: it may.
  TokenBucket::Duration Wait(TokenBucket::Time now) { return std::max(operations_.Wait(now), bytes_.Wait(now)); }
  void SpendOperation() { operations_.Spend(1); }
  void SpendBytes(uint64_t bytes) { bytes_.Spend(bytes); }

 private:
  TokenBucket operations_;
  TokenBucket bytes_;
};

}  // namespace virtfs::backend
