// The pool over 9pfs rings: replies that wait for room, several rings and event channels, faults that a reply meets.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "backend/server/pool.h"
#include "backend/transport_9pfs/ninepfs_transport.h"
#include "backend/transport_9pfs/simulated_ninepfs_guest.h"
#include "protocol/messages.h"

namespace virtfs::backend {
namespace {

using namespace std::chrono_literals;

// Answers every request with as many bytes as its fid says, from whatever thread.
class SizedReplies final : public Service {
 public:
  void Arrive(Call&) override { ++arrived; }
  Outcome Serve(Call& call) override {
    const auto request = p9::Decode<p9::Tread>(call.frame);
    const uint32_t size = request.ok() ? request->fid : 7;
    std::fill_n(call.scratch.data(), size, static_cast<uint8_t>(size));
    std::memcpy(call.scratch.data(), &size, 4);
    std::memcpy(call.scratch.data() + 4, call.frame.data() + 4, 3);
    call.head_size = std::min(size, 11U);
    call.payload_size = size - call.head_size;
    return Outcome::kAnswered;
  }
  std::vector<Call*> Finish(Call&) override {
    ++finished;
    return {};
  }
  Outcome Refuse(Call&, Errno) override {
    ADD_FAILURE() << "there are never too many";
    return Outcome::kAnswered;
  }
  bool Cancelled(const Call&) override { return false; }

  std::atomic<int> arrived = 0, finished = 0;
};

class PoolNinepfsTest : public testing::Test {
 protected:
  static constexpr uint32_t kRings = 3;

  void SetUp() override {
    ASSERT_TRUE(events_.Open(SimulatedNinepfsGuest::kDomid));
    for (uint32_t i = 0; i < kRings; ++i) {
      auto pages = NinepfsPages::Map(guest_.backend_grants(), SimulatedNinepfsGuest::kDomid, guest_.ring_ref(i));
      ASSERT_TRUE(pages.ok());
      pages_.push_back(*std::move(pages));
      ASSERT_TRUE(events_.Bind(guest_.port(i)));
    }
    transport_ = std::make_unique<NinepfsTransport>(pages_, 1 << 20, events_);
    pool_ = std::make_unique<Pool>(*transport_, events_, service_, PoolOptions{.poll = 30us},
                                   [this](const char* fault) { fault_ = fault; });
    ASSERT_TRUE(pool_->Start().ok());
  }
  void TearDown() override {
    if (pool_) pool_->Stop();
    pool_.reset();
    events_.Unbind();
  }

  // A request whose reply has `size` bytes.
  void Send(uint32_t ring, p9::Tag tag, uint32_t size) {
    std::vector<uint8_t> message(p9::kMinHeadSize<p9::Tread>);
    p9::Encode(tag, p9::Tread{.fid = size, .offset = 0, .count = size}, message);
    guest_.Send(ring, message);
  }
  std::vector<uint8_t> Receive(uint32_t ring) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (guest_[ring].queued() == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return guest_[ring].Take();
  }
  template <typename Condition>
  static bool Await(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return condition();
  }

  SimulatedNinepfsGuest guest_{kRings, 1};
  std::vector<NinepfsPages> pages_;
  EventChannel events_;
  SizedReplies service_;
  std::unique_ptr<NinepfsTransport> transport_;
  std::unique_ptr<Pool> pool_;
  std::atomic<const char*> fault_ = nullptr;
};

// Rings of 4 KiB each way and replies of half that and more, in bursts, on all rings: every reply comes once and whole,
// though nobody tells that there is room.
TEST_F(PoolNinepfsTest, EveryReplyComesWhole) {
  constexpr int kRounds = 5, kBurst = 40;
  for (int round = 0; round < kRounds; ++round) {
    for (uint32_t i = 0; i < kBurst * kRings; ++i) Send(i % kRings, static_cast<p9::Tag>(i), 1000 + 23 * i);
    std::vector<bool> seen(size_t{kBurst} * kRings);
    for (uint32_t i = 0; i < kBurst * kRings; ++i) {
      const uint32_t ring = i % kRings;
      const std::vector<uint8_t> reply = Receive(ring);
      ASSERT_GE(reply.size(), 11U) << i;
      const p9::Tag tag = p9::ParseHeader(reply)->tag;
      ASSERT_EQ(tag % kRings, ring);
      ASSERT_FALSE(seen[tag]);
      seen[tag] = true;
      ASSERT_EQ(reply.size(), 1000U + 23 * tag);
      ASSERT_TRUE(std::all_of(reply.begin() + 7, reply.end(),
                              [&](uint8_t byte) { return byte == static_cast<uint8_t>(reply.size()); }));
    }
  }
  // Finished only once they were out.
  EXPECT_TRUE(Await([&] { return service_.finished == kRounds * kBurst * static_cast<int>(kRings); }));
}

TEST_F(PoolNinepfsTest, ACallIsFinishedWhenItsReplyIsOut) {
  Send(0, 1, 3000);
  Send(0, 2, 3000);
  ASSERT_TRUE(Await([&] { return service_.finished == 1 && service_.arrived == 2; }));
  ASSERT_TRUE(Await([&] { return transport_->Clogged(); }));
  // The other ring is served meanwhile.
  Send(1, 3, 20);
  EXPECT_EQ(Receive(1).size(), 20U);
  ASSERT_TRUE(Await([&] { return service_.finished == 2; }));
  EXPECT_EQ(Receive(0).size(), 3000U);
  EXPECT_EQ(Receive(0).size(), 3000U);
  EXPECT_TRUE(Await([&] { return service_.finished == 3; }));
}

// Nobody ever takes it off.
TEST_F(PoolNinepfsTest, StopLeavesWhatFindsNoRoom) {
  for (p9::Tag tag = 0; tag < 9; ++tag) Send(tag % kRings, tag, 4000);
  ASSERT_TRUE(Await([&] { return service_.arrived == 9; }));
  pool_->Stop();
  EXPECT_EQ(service_.finished, static_cast<int>(kRings));
}

TEST_F(PoolNinepfsTest, AFaultThatAReplyMeetsIsTold) {
  guest_[2].Word(PlainFrontendRing::kInCons).store(1);
  Send(2, 1, 20);
  EXPECT_TRUE(Await([&] { return fault_ != nullptr; }));
  EXPECT_STREQ(fault_, Describe(FlexFault::kUnderflow));
}

}  // namespace
}  // namespace virtfs::backend
