// LatencyBuckets: how times are sorted into a fixed number of buckets, so that percentiles can be had of them later.
//
// Four buckets for each power of two: a bucket's upper end is at most a quarter more than its lower end. They reach
// from single nanoseconds to nine minutes; what is longer is in the last one.
#pragma once

#include <bit>
#include <cstdint>

namespace virtfs::backend {

struct LatencyBuckets {
  static constexpr uint32_t kCount = 153;

  static constexpr uint32_t IndexOf(uint64_t nanoseconds) {
    if (nanoseconds < kPerPower) return static_cast<uint32_t>(nanoseconds);
    const auto power = static_cast<uint32_t>(std::bit_width(nanoseconds)) - 1;
    if (power > kLastPower) return kCount - 1;
    return kPerPower * (power - 1) + static_cast<uint32_t>((nanoseconds >> (power - 2)) % kPerPower);
  }

  // The least that is in the bucket.
  static constexpr uint64_t LowerEnd(uint32_t index) {
    if (index < kPerPower) return index;
    const uint32_t power = index / kPerPower + 1;
    return uint64_t{kPerPower + index % kPerPower} << (power - 2);
  }
  // The least that is beyond it.
  static constexpr uint64_t UpperEnd(uint32_t index) { return index + 1 < kCount ? LowerEnd(index + 1) : UINT64_MAX; }

 private:
  static constexpr uint32_t kPerPower = 4;
  static constexpr uint32_t kLastPower = 38;  // 2^39 ns are nine minutes
};

static_assert(LatencyBuckets::IndexOf((uint64_t{1} << 39) - 1) == LatencyBuckets::kCount - 2);
static_assert(LatencyBuckets::IndexOf(uint64_t{1} << 39) == LatencyBuckets::kCount - 1);

}  // namespace virtfs::backend
