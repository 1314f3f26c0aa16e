#include "fsops/session/in_flight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace virtfs::session {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Turn = InFlight::Turn;

constexpr uint16_t kNoTag = 0xffff;

class InFlightTest : public ::testing::Test {
 protected:
  Turn Begin(Call& call, uint16_t tag) { return calls_.Begin(call, tag, InFlight::Company::kAny); }
  Turn BeginVersion(Call& call) { return calls_.Begin(call, kNoTag, InFlight::Company::kAlone); }

  InFlight calls_;
};

TEST_F(InFlightTest, FlushOfAnUnknownTagNeedNotWait) {
  Call flush;
  EXPECT_EQ(Begin(flush, 1), Turn::kRun);
  EXPECT_TRUE(calls_.Flush(flush, 7));
  EXPECT_TRUE(calls_.Flush(flush, 1)) << "its own tag";
  EXPECT_THAT(calls_.Finish(flush), IsEmpty());
  EXPECT_TRUE(calls_.Idle());
}

TEST_F(InFlightTest, FlushesOfARunningCallWaitForItsFinish) {
  Call read, first, second;
  EXPECT_EQ(Begin(read, 1), Turn::kRun);
  EXPECT_EQ(Begin(first, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(first, 1));
  EXPECT_EQ(Begin(second, 3), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(second, 1));
  EXPECT_THAT(calls_.Finish(read), UnorderedElementsAre(&first, &second));
  EXPECT_EQ(Begin(first, 2), Turn::kRun);
  EXPECT_TRUE(calls_.Flush(first, 1));
  EXPECT_THAT(calls_.Finish(first), IsEmpty());
}

TEST_F(InFlightTest, FlushOfAFlushWaitsForIt) {
  Call read, flush, flush_of_flush;
  EXPECT_EQ(Begin(read, 1), Turn::kRun);
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush, 1));
  EXPECT_EQ(Begin(flush_of_flush, 3), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush_of_flush, 2));
  EXPECT_THAT(calls_.Finish(read), ElementsAre(&flush));
  EXPECT_EQ(Begin(flush, 2), Turn::kRun) << "a cancelled Tflush is still answered Rflush";
  EXPECT_TRUE(calls_.Flush(flush, 1));
  EXPECT_THAT(calls_.Finish(flush), ElementsAre(&flush_of_flush));
}

TEST_F(InFlightTest, ABlockedCallThatIsFlushedIsCancelled) {
  Call open, flush;
  EXPECT_EQ(Begin(open, 1), Turn::kRun);
  EXPECT_TRUE(calls_.Block(open));
  EXPECT_EQ(Begin(open, 1), Turn::kRun) << "tried again";
  EXPECT_TRUE(calls_.Block(open));
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush, 1));
  EXPECT_EQ(Begin(open, 1), Turn::kCancelled);
  EXPECT_THAT(calls_.Finish(open), ElementsAre(&flush));
}

TEST_F(InFlightTest, ACallThatIsFlushedBeforeItIsServedIsCancelled) {
  Call read, write, flush;
  calls_.Arrive(read, 1, InFlight::Company::kAny);
  EXPECT_EQ(Begin(write, 3), Turn::kRun);
  EXPECT_FALSE(calls_.Cancelled(read));
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush, 1));
  EXPECT_TRUE(calls_.Cancelled(read));
  EXPECT_FALSE(calls_.Cancelled(write));
  EXPECT_EQ(Begin(read, 1), Turn::kCancelled);
  EXPECT_FALSE(calls_.Cancelled(read)) << "it is being answered";
  EXPECT_THAT(calls_.Finish(read), ElementsAre(&flush));
}

TEST_F(InFlightTest, AFlushThatComesBeforeTheBlockCancelsToo) {
  Call open, flush;
  EXPECT_EQ(Begin(open, 1), Turn::kRun);
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush, 1));
  EXPECT_FALSE(calls_.Block(open));
  EXPECT_THAT(calls_.Finish(open), ElementsAre(&flush));
}

TEST_F(InFlightTest, OneTagTwiceMixesNothingUp) {
  Call old, young, flush;
  EXPECT_EQ(Begin(old, 1), Turn::kRun);
  EXPECT_EQ(Begin(young, 1), Turn::kRun);
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush, 1));
  EXPECT_THAT(calls_.Finish(young), ElementsAre(&flush));
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush, 1)) << "the other one is still there";
  EXPECT_THAT(calls_.Finish(old), ElementsAre(&flush));
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_TRUE(calls_.Flush(flush, 1));
}

TEST_F(InFlightTest, FlushesOfEachOthersTagsMakeNoCircle) {
  Call read_2, flush_1, flush_2;
  EXPECT_EQ(Begin(read_2, 2), Turn::kRun);
  EXPECT_EQ(Begin(flush_1, 1), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush_1, 2));
  EXPECT_EQ(Begin(flush_2, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush_2, 1));
  EXPECT_THAT(calls_.Finish(read_2), ElementsAre(&flush_1));
  EXPECT_EQ(Begin(flush_1, 1), Turn::kRun);
  EXPECT_TRUE(calls_.Flush(flush_1, 2)) << "flush_2 came later";
  EXPECT_THAT(calls_.Finish(flush_1), ElementsAre(&flush_2));
}

TEST_F(InFlightTest, VersionDrainsThenHoldsWhatComesAfterIt) {
  Call read, open, version, later, second_version;
  EXPECT_EQ(Begin(read, 1), Turn::kRun);
  EXPECT_EQ(Begin(open, 2), Turn::kRun);
  EXPECT_TRUE(calls_.Block(open));
  EXPECT_EQ(BeginVersion(version), Turn::kWait);
  EXPECT_EQ(Begin(later, 3), Turn::kWait);
  EXPECT_EQ(BeginVersion(second_version), Turn::kWait);
  EXPECT_THAT(calls_.Finish(read), IsEmpty());
  EXPECT_EQ(Begin(open, 2), Turn::kCancelled);
  EXPECT_THAT(calls_.Finish(open), ElementsAre(&version));
  EXPECT_EQ(BeginVersion(version), Turn::kRun);
  EXPECT_THAT(calls_.Finish(version), ElementsAre(&later, &second_version));
  EXPECT_EQ(BeginVersion(second_version), Turn::kWait);
  EXPECT_EQ(Begin(later, 3), Turn::kCancelled);
  EXPECT_THAT(calls_.Finish(later), ElementsAre(&second_version));
  EXPECT_EQ(BeginVersion(second_version), Turn::kRun);
  EXPECT_THAT(calls_.Finish(second_version), IsEmpty());
  EXPECT_TRUE(calls_.Idle());
}

TEST_F(InFlightTest, VersionWaitsForAFlushThatWaits) {
  Call read, flush, version;
  EXPECT_EQ(Begin(read, 1), Turn::kRun);
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush, 1));
  EXPECT_EQ(BeginVersion(version), Turn::kWait);
  EXPECT_THAT(calls_.Finish(read), ElementsAre(&flush));
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_TRUE(calls_.Flush(flush, 1));
  EXPECT_THAT(calls_.Finish(flush), ElementsAre(&version));
}

TEST_F(InFlightTest, ACallThatHasOnlyArrivedIsWaitedForToo) {
  Call write, flush, version;
  calls_.Arrive(write, 1, InFlight::Company::kAny);
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush, 1));
  EXPECT_EQ(BeginVersion(version), Turn::kWait);
  EXPECT_EQ(Begin(write, 1), Turn::kCancelled);
  EXPECT_THAT(calls_.Finish(write), ElementsAre(&flush));
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_TRUE(calls_.Flush(flush, 1));
  EXPECT_THAT(calls_.Finish(flush), ElementsAre(&version));
}

TEST_F(InFlightTest, FinishReturnsOnlyWhatServeLeftWaiting) {
  Call version, served, arrived, second_version, last;
  calls_.Arrive(version, kNoTag, InFlight::Company::kAlone);
  EXPECT_EQ(Begin(served, 1), Turn::kWait);
  calls_.Arrive(arrived, 2, InFlight::Company::kAny);
  calls_.Arrive(second_version, kNoTag, InFlight::Company::kAlone);
  calls_.Arrive(last, 3, InFlight::Company::kAny);
  EXPECT_EQ(BeginVersion(version), Turn::kRun);
  EXPECT_THAT(calls_.Finish(version), ElementsAre(&served));
  EXPECT_EQ(Begin(arrived, 2), Turn::kCancelled);
  EXPECT_EQ(Begin(last, 3), Turn::kWait) << "behind the second version";
  EXPECT_THAT(calls_.Finish(arrived), IsEmpty());
  EXPECT_EQ(Begin(served, 1), Turn::kCancelled);
  EXPECT_THAT(calls_.Finish(served), IsEmpty()) << "the second version has not been served yet";
  EXPECT_EQ(BeginVersion(second_version), Turn::kRun);
  EXPECT_THAT(calls_.Finish(second_version), ElementsAre(&last));
}

TEST_F(InFlightTest, ACallThatIsNotServedAfterAllCanBeFinished) {
  Call broken, flush, version, held;
  calls_.Arrive(broken, 1, InFlight::Company::kAny);
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_FALSE(calls_.Flush(flush, 1));
  EXPECT_THAT(calls_.Finish(broken), ElementsAre(&flush));
  EXPECT_EQ(Begin(flush, 2), Turn::kRun);
  EXPECT_TRUE(calls_.Flush(flush, 1));
  EXPECT_THAT(calls_.Finish(flush), IsEmpty());
  calls_.Arrive(version, kNoTag, InFlight::Company::kAlone);
  calls_.Arrive(held, 1, InFlight::Company::kAny);
  EXPECT_THAT(calls_.Finish(held), IsEmpty());
  EXPECT_THAT(calls_.Finish(version), IsEmpty());
  EXPECT_TRUE(calls_.Idle());
}

TEST_F(InFlightTest, FinishOfACallThatNeverBeganIsNothing) {
  Call broken;
  EXPECT_THAT(calls_.Finish(broken), IsEmpty());
}

}  // namespace
}  // namespace virtfs::session
