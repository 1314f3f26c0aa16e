#include "backend/counters/counters.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>

#include "backend/counters/counters_memory.h"
#include "protocol/codec.h"
#include "protocol/messages.h"

namespace virtfs::backend {
namespace {

using namespace std::chrono_literals;
using Buckets = LatencyBuckets;

TEST(LatencyBucketsTest, EachTimeIsInTheBucketWhoseEndsEncloseIt) {
  for (uint32_t index = 0; index < Buckets::kCount; ++index) {
    const uint64_t lower = Buckets::LowerEnd(index), upper = Buckets::UpperEnd(index);
    ASSERT_LT(lower, upper);
    EXPECT_EQ(Buckets::IndexOf(lower), index);
    EXPECT_EQ(Buckets::IndexOf(upper - 1), index);
    if (index >= 4 && index + 1 < Buckets::kCount) {
      EXPECT_LE(upper - lower, lower / 4) << index;
    }
  }
  EXPECT_EQ(Buckets::IndexOf(UINT64_MAX), Buckets::kCount - 1);
}

size_t IndexOf(std::string_view name) {
  for (size_t i = 0; i < kOperations; ++i) {
    if (NameOfOperation(i) == name) return i;
  }
  ADD_FAILURE() << "no operation " << name;
  return 0;
}

TEST(CountersTest, EveryOperationHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kOperations; ++i) names.insert(NameOfOperation(i));
  EXPECT_EQ(names.size(), kOperations);
  EXPECT_EQ(NameOfOperation(kOperations - 1), "other");
}

TEST(CountersTest, WhatWasServedIsCounted) {
  Counters counters{};
  uint8_t bytes[64];
  const auto serve = [&](uint8_t type, const auto& reply, std::chrono::nanoseconds took) {
    counters.Served(type, {bytes, p9::Encode(1, reply, bytes)}, took);
  };
  serve(p9::Tread::kType, p9::Rread{.count = 1000}, 900ns);
  serve(p9::Tread::kType, p9::Rread{.count = 70'000}, 2us);
  serve(p9::Tread::kType, p9::Rlerror{.ecode = EIO}, 1100ns);
  serve(p9::Twrite::kType, p9::Rwrite{.count = 0x01020304}, 3us);
  serve(p9::Tclunk::kType, p9::Rclunk{}, -5ns);
  serve(3, p9::Rlerror{.ecode = EOPNOTSUPP}, 1ns);
  counters.Served(p9::Tclunk::kType, {}, 1ns);

  EXPECT_EQ(counters.pool.bytes_read, 71'000u);
  EXPECT_EQ(counters.pool.bytes_written, 0x01020304u);
  const OperationCounters& read = counters.operations[IndexOf("Tread")];
  EXPECT_EQ(read.errors, 1u);
  EXPECT_EQ(read.longest, 2000u);
  EXPECT_EQ(read.latency[Buckets::IndexOf(900)], 1u);
  EXPECT_EQ(read.latency[Buckets::IndexOf(1100)], 1u);
  EXPECT_EQ(read.latency[Buckets::IndexOf(2000)], 1u);
  const OperationCounters& clunk = counters.operations[IndexOf("Tclunk")];
  EXPECT_EQ(clunk.latency[0], 1u);
  EXPECT_EQ(clunk.errors, 1u);  // what no answer was made for
  EXPECT_EQ(counters.operations[kOperations - 1].errors, 1u);
}

TEST(CountersTest, TimeOfAThrottleCountsOnce) {
  PoolCounters counters;
  const std::chrono::steady_clock::time_point start(1h);
  counters.Throttled(start, {}, start + 10ms);
  // Looked at again, and more was owed meanwhile; or no more.
  counters.Throttled(start + 5ms, start + 10ms, start + 12ms);
  counters.Throttled(start + 6ms, start + 12ms, start + 12ms);
  counters.Throttled(start + 7ms, start + 12ms, start + 11ms);
  EXPECT_EQ(counters.throttles, 1u);
  EXPECT_EQ(counters.throttled_nanoseconds, 12'000'000u);
  counters.Throttled(start + 20ms, start + 12ms, start + 21ms);
  EXPECT_EQ(counters.throttles, 2u);
  EXPECT_EQ(counters.throttled_nanoseconds, 13'000'000u);
}

TEST(CountersMemoryTest, TheServersNumbersAreSeenAndItsSizeStays) {
  UniqueFd fd;
  const Result<CountersView> view = CountersView::Make(fd);
  ASSERT_TRUE(view.ok());
  const Result<Counters*> counters = MapCounters(fd);
  ASSERT_TRUE(counters.ok());
  (*counters)->session.fids = 7;
  (*counters)->operations[kOperations - 1].latency[Buckets::kCount - 1] = 8;
  EXPECT_EQ(view->get()->session.fids, 7u);
  EXPECT_EQ(view->get()->operations[kOperations - 1].latency[Buckets::kCount - 1], 8u);

  EXPECT_EQ(ftruncate(fd.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(fd.get(), 1 << 20), -1);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  // A hole reads as zeros, and is no fault.
  ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, sizeof(Counters)), 0);
  EXPECT_EQ(view->get()->session.fids, 0u);
  munmap(*counters, sizeof(Counters));
}

}  // namespace
}  // namespace virtfs::backend
