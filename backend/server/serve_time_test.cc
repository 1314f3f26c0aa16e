#include "backend/server/serve_time.h"

#include <gtest/gtest.h>

namespace virtfs::backend {
namespace {

using namespace std::chrono_literals;

void LearnMany(ServeTime& time, ServeTime::Duration took) {
  for (int i = 0; i < 100; ++i) time.Learn(took);
}

TEST(ServeTime, RequestsThatWaitAreLong) {
  ServeTime time(300ns);
  EXPECT_FALSE(time.Long());
  LearnMany(time, 5us);
  EXPECT_FALSE(time.Long());
  LearnMany(time, 100us);
  EXPECT_TRUE(time.Long());
  LearnMany(time, 5us);
  EXPECT_FALSE(time.Long());
}

TEST(ServeTime, OneThatHungSaysNothingOfTheOthers) {
  ServeTime time(300ns);
  LearnMany(time, 5us);
  time.Learn(10s);
  EXPECT_FALSE(time.Long());
}

// tests/xen: a getattr takes some hundred microseconds there, though nothing waits. By the clock alone it was long, and
// woke further threads for nothing.
TEST(ServeTime, NothingIsLongBecauseTheMachineIsSlow) {
  ServeTime time(100us);
  LearnMany(time, 300us);
  EXPECT_FALSE(time.Long());
  LearnMany(time, 20ms);
  EXPECT_TRUE(time.Long());
}

TEST(ServeTime, ACallTakesTime) {
  EXPECT_GT(ServeTime::OfCall(), 0ns);
  EXPECT_LT(ServeTime::OfCall(), 1s);
}

}  // namespace
}  // namespace virtfs::backend
