// Requests blocked by leases of a host process: 1, 15 and 100 at once. Everything else is answered meanwhile.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "fsops/session/lease_holder.h"
#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

class LeaseTest : public SessionTest, public ::testing::WithParamInterface<int> {
 protected:
  // Files 0 ... n-1 are leased; fid 1000 + i is file i. Every third request opens, creates, truncates.
  void BlockCalls(int n) {
    std::vector<std::string> paths;
    for (int i = 0; i < n; ++i) {
      MakeFile(NameOf(i), "text");
      paths.push_back(Host(NameOf(i)));
    }
    holder_ = std::make_unique<LeaseHolder>(paths);
    for (int i = 0; i < n; ++i) {
      const auto fid = static_cast<p9::Fid>(1000 + i);
      const auto tag = static_cast<p9::Tag>(1000 + i);
      const std::string name = NameOf(i);
      if (i % 3 == 1) {
        ASSERT_TRUE(client_.Walk(kRoot, fid, {}).ok());
        calls_.push_back(std::make_unique<TestCall>(
            tag, p9::Tlcreate{.fid = fid, .name = name, .flags = p9::kOpenReadWrite, .mode = 0644, .gid = 0}));
      } else {
        ASSERT_TRUE(client_.Walk(kRoot, fid, {name}).ok());
        if (i % 3 == 0) {
          calls_.push_back(std::make_unique<TestCall>(tag, p9::Tlopen{.fid = fid, .flags = p9::kOpenReadWrite}));
        } else {
          calls_.push_back(std::make_unique<TestCall>(
              tag, p9::Tsetattr{.fid = fid, .valid = p9::kSetattrSize | p9::kSetattrMode, .mode = 0600, .size = 2}));
        }
      }
    }
    ServeAll(Outcome::kBlocked);
  }

  static std::string NameOf(int i) { return "file" + std::to_string(i); }

  void ServeAll(Outcome expected) {
    for (const auto& call : calls_) EXPECT_EQ(session_->Serve(call->call()), expected) << call->tag();
  }

  void ExpectEverythingElseWorks() {
    EXPECT_TRUE(client_.Getattr(kRoot).ok());
    EXPECT_TRUE(client_.Getattr(1000).ok()) << "of a leased file, too";
    ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
    ASSERT_TRUE(client_.Create(1, "other", p9::kOpenReadWrite).ok());
    EXPECT_EQ(*client_.Write(1, 0, "abc"), 3u);
    EXPECT_EQ(*client_.Read(1, 0, 9), "abc");
    EXPECT_TRUE(client_.Rename(kRoot, "other", kRoot, "another").ok());
    EXPECT_TRUE(client_.Unlink(kRoot, "another").ok());
    EXPECT_TRUE(client_.Clunk(1).ok());
  }

  std::unique_ptr<LeaseHolder> holder_;
  std::vector<std::unique_ptr<TestCall>> calls_;
};

TEST_P(LeaseTest, TheRestWorksAndTheCallsEndWithTheLease) {
  BlockCalls(GetParam());
  ExpectEverythingElseWorks();
  ServeAll(Outcome::kBlocked);
  holder_->Release();
  ServeAll(Outcome::kAnswered);
  for (size_t i = 0; i < calls_.size(); ++i) {
    p9::Header header = *p9::ParseHeader(calls_[i]->Reply());
    EXPECT_NE(header.type, p9::Rlerror::kType) << i;
    EXPECT_TRUE(session_->Finish(calls_[i]->call()).empty());
    const std::string name = NameOf(static_cast<int>(i));
    EXPECT_EQ(HostRead(name), i % 3 == 2 ? "te" : "text") << name;
    if (i % 3 != 2) {
      EXPECT_EQ(*client_.Read(static_cast<p9::Fid>(1000 + i), 0, 9), "text") << "open now";
    }
  }
}

TEST_P(LeaseTest, FlushedOnesAreInterruptedThenTheFlushIsAnswered) {
  BlockCalls(GetParam());
  std::vector<std::unique_ptr<TestCall>> flushes;
  for (const auto& call : calls_) {
    flushes.push_back(
        std::make_unique<TestCall>(static_cast<p9::Tag>(call->tag() + 1000), p9::Tflush{.oldtag = call->tag()}));
    EXPECT_EQ(session_->Serve(flushes.back()->call()), Outcome::kWaiting);
  }
  ExpectEverythingElseWorks();
  for (size_t i = 0; i < calls_.size(); ++i) {
    ASSERT_EQ(session_->Serve(calls_[i]->call()), Outcome::kAnswered);
    EXPECT_EQ(Error(p9::DecodeReply<p9::Tlopen>(calls_[i]->Reply())), EINTR);
    ASSERT_EQ(session_->Finish(calls_[i]->call()), std::vector<Call*>{&flushes[i]->call()});
    ASSERT_EQ(session_->Serve(flushes[i]->call()), Outcome::kAnswered);
    EXPECT_TRUE(p9::DecodeReply<p9::Tflush>(flushes[i]->Reply()).ok());
    EXPECT_TRUE(session_->Finish(flushes[i]->call()).empty());
    EXPECT_EQ(HostRead(NameOf(static_cast<int>(i))), "") << "still leased: the test cannot open it either";
  }
}

TEST_P(LeaseTest, TversionInterruptsThemAll) {
  BlockCalls(GetParam());
  TestCall version(p9::kNoTag, p9::Tversion{.msize = 8192, .version = p9::kVersion});
  EXPECT_EQ(session_->Serve(version.call()), Outcome::kWaiting);
  std::vector<Call*> ready;
  for (const auto& call : calls_) {
    EXPECT_TRUE(ready.empty());
    ASSERT_EQ(session_->Serve(call->call()), Outcome::kAnswered);
    EXPECT_EQ(Error(p9::DecodeReply<p9::Tlopen>(call->Reply())), EINTR);
    ready = session_->Finish(call->call());
  }
  ASSERT_EQ(ready, std::vector<Call*>{&version.call()});
  ASSERT_EQ(session_->Serve(version.call()), Outcome::kAnswered);
  EXPECT_EQ(p9::DecodeReply<p9::Tversion>(version.Reply())->msize, 8192u);
  EXPECT_TRUE(session_->Finish(version.call()).empty());
  EXPECT_EQ(Error(client_.Getattr(1000)), EBADF);
}

// What keeps answering EAGAIN for longer than any lease is kept is not retried for ever.
class LastingBlockTest : public SessionTest {
 protected:
  LastingBlockTest() : SessionTest(SessionOptions{.longest_block = std::chrono::milliseconds(50)}) {}
};

TEST_F(LastingBlockTest, IsAnsweredInTheEnd) {
  MakeFile("file", "text");
  const LeaseHolder holder({Host("file")});
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  for (int round = 0; round < 2; ++round) {
    TestCall open(7, p9::Tlopen{.fid = 1, .flags = p9::kOpenReadWrite});
    const auto start = std::chrono::steady_clock::now();
    Outcome outcome = session_->Serve(open.call());
    EXPECT_EQ(outcome, Outcome::kBlocked);
    while (outcome == Outcome::kBlocked) outcome = session_->Serve(open.call());
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(50));
    ASSERT_EQ(outcome, Outcome::kAnswered);
    EXPECT_EQ(Error(p9::DecodeReply<p9::Tlopen>(open.Reply())), EAGAIN);
    EXPECT_TRUE(session_->Finish(open.call()).empty());
  }
}

TEST_F(SessionTest, AClunkIsCarriedOutThoughItWasFlushed) {
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  TestCall clunk(7, p9::Tclunk{.fid = 1}), stat(8, p9::Tgetattr{.fid = 1});
  session_->Arrive(stat.call());
  session_->Arrive(clunk.call());
  for (const p9::Tag tag : {7, 8}) {
    TestCall flush(9, p9::Tflush{.oldtag = tag});
    EXPECT_EQ(session_->Serve(flush.call()), Outcome::kWaiting);
    TestCall& flushed = tag == 7 ? clunk : stat;
    EXPECT_EQ(session_->Cancelled(flushed.call()), tag == 8);
    ASSERT_EQ(session_->Serve(flushed.call()), Outcome::kAnswered);
    if (tag == 7) {
      EXPECT_TRUE(p9::DecodeReply<p9::Tclunk>(clunk.Reply()).ok());
    } else {
      EXPECT_EQ(Error(p9::DecodeReply<p9::Tgetattr>(stat.Reply())), EINTR);
    }
    ASSERT_EQ(session_->Finish(flushed.call()), std::vector<Call*>{&flush.call()});
    ASSERT_EQ(session_->Serve(flush.call()), Outcome::kAnswered);
    EXPECT_TRUE(session_->Finish(flush.call()).empty());
  }
  EXPECT_EQ(Error(client_.Getattr(1)), EBADF);
}

INSTANTIATE_TEST_SUITE_P(Blocked, LeaseTest, ::testing::Values(1, 15, 100));

}  // namespace
}  // namespace virtfs
