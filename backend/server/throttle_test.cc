#include "backend/server/throttle.h"

#include <gtest/gtest.h>

namespace virtfs::backend {
namespace {

using namespace std::chrono_literals;

constexpr TokenBucket::Time kStart{1000s};

TEST(TokenBucketTest, WithoutARateNothingWaits) {
  TokenBucket bucket({}, kStart);
  EXPECT_FALSE(bucket.limits());
  bucket.Spend(uint64_t{1} << 50);
  EXPECT_EQ(bucket.Wait(kStart), 0ns);
}

TEST(TokenBucketTest, TheBurstAndThenTheRate) {
  TokenBucket bucket({.per_second = 10, .burst = 3}, kStart);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(bucket.Wait(kStart), 0ns);
    bucket.Spend(1);
  }
  EXPECT_EQ(bucket.Wait(kStart), 100ms);
  EXPECT_EQ(bucket.Wait(kStart + 99'999'999ns), 1ns);
  EXPECT_EQ(bucket.Wait(kStart + 100ms), 0ns);
  bucket.Spend(1);
  EXPECT_EQ(bucket.Wait(kStart + 100ms), 100ms);
  // A pause brings a burst, and no more.
  EXPECT_EQ(bucket.Wait(kStart + 1h), 0ns);
  for (int i = 0; i < 3; ++i) bucket.Spend(1);
  EXPECT_EQ(bucket.Wait(kStart + 1h), 100ms);
}

TEST(TokenBucketTest, ABurstOfNothingIsThatOfASecond) {
  TokenBucket bucket({.per_second = 5}, kStart);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(bucket.Wait(kStart), 0ns);
    bucket.Spend(1);
  }
  EXPECT_EQ(bucket.Wait(kStart), 200ms);
}

TEST(TokenBucketTest, ADebtIsPaidOffBeforeTheNext) {
  TokenBucket bucket({.per_second = 1000, .burst = 1}, kStart);
  bucket.Spend(5001);
  EXPECT_EQ(bucket.Wait(kStart), 5001ms);
  EXPECT_EQ(bucket.Wait(kStart + 5s), 1ms);
  EXPECT_EQ(bucket.Wait(kStart + 5001ms), 0ns);
}

TEST(TokenBucketTest, NothingIsLostInSmallSteps) {
  // 3 a second: a third of a second is no whole number of nanoseconds.
  TokenBucket bucket({.per_second = 3, .burst = 1}, kStart);
  bucket.Spend(3001);
  for (auto passed = 0ns; passed < 1000s; passed += 333'333'337ns) (void)bucket.Wait(kStart + passed);
  EXPECT_EQ(bucket.Wait(kStart + 1000s), 333'333'334ns);
  EXPECT_EQ(bucket.Wait(kStart + 1000s + 333'333'334ns), 0ns);
}

TEST(TokenBucketTest, TheLargestNumbers) {
  constexpr uint64_t kMost = uint64_t{1} << 50;
  TokenBucket bucket({.per_second = kMost, .burst = kMost}, kStart);
  for (int i = 0; i < 1000; ++i) bucket.Spend(kMost);
  EXPECT_EQ(bucket.Wait(kStart), 999s + 1ns);
  EXPECT_EQ(bucket.Wait(kStart + 24h * 365 * 100), 0ns);
  bucket.Spend(kMost);
  EXPECT_EQ(bucket.Wait(kStart + 24h * 365 * 100), 1ns);
}

TEST(TokenBucketTest, TimeThatSeemsToGoBackBringsNothing) {
  TokenBucket bucket({.per_second = 10, .burst = 1}, kStart);
  bucket.Spend(1);
  EXPECT_EQ(bucket.Wait(kStart + 50ms), 50ms);
  EXPECT_EQ(bucket.Wait(kStart), 50ms);
  EXPECT_EQ(bucket.Wait(kStart + 50ms), 50ms);
}

TEST(ThrottleTest, TheSlowerBucketDecides) {
  Throttle none({}, {}, kStart);
  EXPECT_FALSE(none.limits());
  Throttle throttle({.per_second = 100, .burst = 1}, {.per_second = 1000, .burst = 10}, kStart);
  EXPECT_TRUE(throttle.limits());
  throttle.SpendOperation();
  EXPECT_EQ(throttle.Wait(kStart), 10ms);
  throttle.SpendBytes(109);
  EXPECT_EQ(throttle.Wait(kStart), 100ms);
  EXPECT_EQ(throttle.Wait(kStart + 100ms), 0ns);
  throttle.SpendOperation();
  throttle.SpendBytes(1);
  EXPECT_EQ(throttle.Wait(kStart + 100ms), 10ms);
}

}  // namespace
}  // namespace virtfs::backend
