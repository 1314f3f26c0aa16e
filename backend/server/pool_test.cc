// The pool under calls that finish, block, wait, and get stuck, on the ring of a simulated guest.

#include "backend/server/pool.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "backend/transport_virtfs/simulated_guest.h"
#include "backend/transport_virtfs/virtfs_transport.h"
#include "protocol/messages.h"

namespace virtfs::backend {
namespace {

using namespace std::chrono_literals;

constexpr uint8_t kEcho = 200;                 // answered at once
constexpr uint8_t kBlocked = 201;              // kBlocked until it is released
constexpr uint8_t kStuck = 202;                // holds its thread until it is released
constexpr uint8_t kSlow = 203;                 // takes 200 us
constexpr uint8_t kWaits = 204;                // kWaiting until the next kEcho is finished
constexpr uint8_t kFlush = p9::Tflush::kType;  // of what Flushes says, if that is still there
constexpr uint8_t kClunk = p9::Tclunk::kType;  // answered at once

// Does what the type of a message says.
class ScriptedService final : public Service {
 public:
  void Arrive(Call& call) override {
    std::lock_guard lock(mutex_);
    arrivals_.push_back(TagOf(call));
  }

  Outcome Serve(Call& call) override {
    ++serves;
    if (call.frame[4] == kFlush && MustWait(call)) return Outcome::kWaiting;
    if (Cancelled(call)) return Answer(call);
    switch (call.frame[4]) {
      case kBlocked:
        if (!released_) return Outcome::kBlocked;
        break;
      case kStuck: {
        ++stuck;
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return released_.load(); });
        break;
      }
      case kSlow:
        std::this_thread::sleep_for(200us);
        break;
      case kWaits: {
        std::lock_guard lock(mutex_);
        if (std::erase(woken_, &call) == 0) {
          waiting_.push_back(&call);
          return Outcome::kWaiting;
        }
        break;
      }
    }
    return Answer(call);
  }

  Outcome Refuse(Call& call, Errno error) override {
    Answer(call);
    call.scratch[4] = p9::Rlerror::kType;
    call.scratch[7] = static_cast<uint8_t>(error.value());
    return Outcome::kAnswered;
  }

  std::vector<Call*> Finish(Call& call) override {
    std::lock_guard lock(mutex_);
    finished_.insert(TagOf(call));
    if (const auto flush = flushes_.find(TagOf(call)); flush != flushes_.end()) return {flush->second};
    if (call.frame[4] != kEcho) return {};
    woken_.insert(woken_.end(), waiting_.begin(), waiting_.end());
    return std::exchange(waiting_, {});
  }

  bool Cancelled(const Call& call) override {
    std::lock_guard lock(mutex_);
    return cancelled_.contains(TagOf(call));
  }

  // The kFlush with the one tag will be for the other.
  void Flushes(uint16_t flush, uint16_t target) {
    std::lock_guard lock(mutex_);
    targets_[flush] = target;
  }

  void Release() {
    std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

  std::vector<uint16_t> arrivals() {
    std::lock_guard lock(mutex_);
    return arrivals_;
  }

  std::atomic<int> stuck = 0;
  std::atomic<int> serves = 0;

 private:
  static Outcome Answer(Call& call) {
    std::memcpy(call.scratch.data(), call.frame.data(), 7);
    std::memset(call.scratch.data(), 0, 4);
    call.scratch[0] = 11;
    call.head_size = 11;
    return Outcome::kAnswered;
  }

  bool MustWait(Call& flush) {
    std::lock_guard lock(mutex_);
    const auto target = targets_.find(TagOf(flush));
    if (target == targets_.end() || finished_.contains(target->second)) return false;
    cancelled_.insert(target->second);
    flushes_[target->second] = &flush;
    return true;
  }

  static uint16_t TagOf(const Call& call) { return static_cast<uint16_t>(call.frame[5] | call.frame[6] << 8); }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> released_ = false;
  std::vector<uint16_t> arrivals_;
  std::vector<Call*> waiting_, woken_;
  std::map<uint16_t, uint16_t> targets_;
  std::map<uint16_t, Call*> flushes_;  // by what they wait for
  std::set<uint16_t> cancelled_, finished_;
};

class PoolTest : public testing::Test {
 protected:
  void Start(uint32_t threads = 16, std::chrono::microseconds poll = 30us) {
    Start(PoolOptions{.threads = threads, .poll = poll});
  }
  void Start(const PoolOptions& options) {
    ASSERT_TRUE(events_.Open(SimulatedGuest::kDomid));
    ASSERT_TRUE(events_.Bind(guest_.port()));
    ring_ = std::make_unique<Ring>(guest_.ring(), 0, 252);
    bytes_ = std::make_unique<GuestBytes>(guest_.backend_grants(), SimulatedGuest::kDomid, Way::kPersistent, 8192, 512);
    transport_ = std::make_unique<VirtfsTransport>(*ring_, *bytes_, events_, true);
    pool_ = std::make_unique<Pool>(*transport_, events_, service_, options, [this](const char* fault) {
      fault_ = fault;
      ++faults_;
    });
    ASSERT_TRUE(pool_->Start().ok());
  }
  void TearDown() override {
    service_.Release();
    if (pool_) pool_->Stop();
  }

  // Sends a message with that tag; its page is that of the tag modulo 64.
  void Send(uint8_t type, uint16_t tag) {
    const uint8_t message[] = {7, 0, 0, 0, type, static_cast<uint8_t>(tag), static_cast<uint8_t>(tag >> 8)};
    guest_.Send(message, 2 * (tag % 64U), 1);
  }
  // The tag of the next reply; 0xffff: none came.
  uint16_t Reply() {
    // Ids are given in the order of sending, two for each message.
    const auto first = guest_.Response();
    if (!first) return 0xffff;
    const auto second = guest_.Response();
    EXPECT_EQ(first->status, 0);
    EXPECT_EQ(second->status, 0);
    EXPECT_EQ(second->id, static_cast<uint16_t>(first->id + 1));
    return static_cast<uint16_t>(first->id / 2);
  }

  // The type and, of an Rlerror, the error of the reply with that tag.
  uint8_t TypeOf(uint16_t tag) { return guest_.page(2 * (tag % 64U) + 1)[4]; }
  uint8_t ErrorOf(uint16_t tag) { return guest_.page(2 * (tag % 64U) + 1)[7]; }

  // `condition` within the bound.
  template <typename Condition>
  static bool Await(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  SimulatedGuest guest_{130};
  EventChannel events_;
  ScriptedService service_;
  std::unique_ptr<Ring> ring_;
  std::unique_ptr<GuestBytes> bytes_;
  std::unique_ptr<VirtfsTransport> transport_;
  std::unique_ptr<Pool> pool_;
  std::atomic<const char*> fault_ = "";
  std::atomic<int> faults_ = 0;
};

class PollTest : public PoolTest, public testing::WithParamInterface<int> {};

TEST_P(PollTest, OneAtATimeNeedsFewThreads) {
  Start(16, std::chrono::microseconds(GetParam()));
  for (uint16_t i = 0; i < 1000; ++i) {
    Send(kEcho, i);
    ASSERT_EQ(Reply(), i);
  }
  // The one that serves and the one that listens meanwhile; more if the machine is so busy that requests seem long.
  EXPECT_LE(pool_->threads(), 8u);
}

INSTANTIATE_TEST_SUITE_P(Microseconds, PollTest, testing::Values(0, 30, 1000));

TEST_F(PoolTest, SixtyFourAtOnceOfAllKinds) {
  Start();
  std::mt19937 random(7);
  std::set<uint16_t> in_flight, waiting;
  uint16_t next = 0;
  const auto send = [&](uint8_t type) {
    in_flight.insert(next);
    if (type == kWaits) waiting.insert(next);
    Send(type, next++);
  };
  do {
    while (in_flight.size() < 64 && next < 4000) {
      const uint8_t types[] = {kEcho, kEcho, kEcho, kEcho, kEcho, kSlow, kFlush, kWaits};
      send(types[random() % 8]);
    }
    // A kWaits is woken by a kEcho that is served after it. With a slow thread the last one may not have been.
    if (in_flight == waiting) send(kEcho);
    const uint16_t tag = Reply();
    ASSERT_EQ(in_flight.erase(tag), 1u) << tag << " of " << next;
    waiting.erase(tag);
  } while (!in_flight.empty());
  const std::vector<uint16_t> arrivals = service_.arrivals();
  EXPECT_EQ(arrivals.size(), next);
  EXPECT_TRUE(std::is_sorted(arrivals.begin(), arrivals.end())) << "not in the order of the ring";
}

TEST_F(PoolTest, BlockedCallsHoldNoThread) {
  Start(4);
  uint16_t next = 0;
  size_t blocked = 0;
  for (const size_t count : {1u, 15u, 60u}) {
    SCOPED_TRACE(count);
    for (; blocked < count; ++blocked) Send(kBlocked, next++);
    ASSERT_TRUE(Await([&] { return pool_->parked() == blocked; }));
    for (int i = 0; i < 200; ++i, ++next) {
      Send(kEcho, next);
      ASSERT_EQ(Reply(), next);
    }
  }
  service_.Release();
  std::set<uint16_t> replies;
  for (size_t i = 0; i < blocked; ++i) replies.insert(Reply());
  EXPECT_EQ(replies.size(), blocked);
  EXPECT_FALSE(replies.contains(0xffff));
}

TEST_F(PoolTest, ABlockedCallIsTriedAgainAtOnceWhenSomethingBeginsToWait) {
  Start();
  Send(kBlocked, 0);
  ASSERT_TRUE(Await([&] { return service_.serves >= 8; }));  // its pauses are 50 ms by now
  ASSERT_TRUE(Await([&] { return pool_->parked() == 1; }));
  const int before = service_.serves;
  const auto start = std::chrono::steady_clock::now();
  Send(kWaits, 1);
  ASSERT_TRUE(Await([&] { return service_.serves >= before + 2; }));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
  Send(kEcho, 2);
  EXPECT_EQ(Reply(), 2);
  EXPECT_EQ(Reply(), 1);
}

TEST_F(PoolTest, WhenAllOthersAreStuckTflushIsServedStill) {
  constexpr int kThreads = 6;
  Start(kThreads);
  uint16_t next = 0;
  for (int i = 0; i < kThreads - 1; ++i) Send(kStuck, next++);
  ASSERT_TRUE(Await([&] { return service_.stuck == kThreads - 1; }));
  // These would need a thread for themselves.
  for (int i = 0; i < 5; ++i) Send(kEcho, next++);
  for (int i = 0; i < 5; ++i) {
    Send(kFlush, next);
    ASSERT_EQ(Reply(), next++);
  }
  EXPECT_EQ(pool_->threads(), static_cast<size_t>(kThreads));
  service_.Release();
  std::set<uint16_t> replies;
  for (int i = 0; i < kThreads - 1 + 5; ++i) replies.insert(Reply());
  EXPECT_EQ(replies.size(), static_cast<size_t>(kThreads - 1 + 5));
}

// It ends the call that is flushed itself: what was put aside, and what is parked.
TEST_F(PoolTest, WhenAllOthersAreStuckAFlushEndsWhatWaits) {
  constexpr int kThreads = 4;
  Start(kThreads);
  uint16_t next = 0;
  const uint16_t parked[] = {next++, next++};
  for (const uint16_t tag : parked) Send(kBlocked, tag);
  ASSERT_TRUE(Await([&] { return pool_->parked() == 2; }));
  for (int i = 0; i < kThreads - 1; ++i) Send(kStuck, next++);
  ASSERT_TRUE(Await([&] { return service_.stuck == kThreads - 1; }));
  const uint16_t aside[] = {next++, next++, next++};
  for (const uint16_t tag : aside) Send(kSlow, tag);
  for (const uint16_t target : {aside[1], parked[1], aside[0], parked[0]}) {
    service_.Flushes(next, target);
    Send(kFlush, next);
    EXPECT_EQ(Reply(), target);
    EXPECT_EQ(Reply(), next++);
  }
  EXPECT_EQ(service_.stuck, kThreads - 1);
  service_.Release();
  std::set<uint16_t> replies;
  for (int i = 0; i < kThreads; ++i) replies.insert(Reply());
  EXPECT_TRUE(replies.contains(aside[2]));
}

TEST_F(PoolTest, TooManyInFlightAreRefused) {
  Start(PoolOptions{.threads = 4, .max_requests = 3});
  for (uint16_t i = 0; i < 3; ++i) Send(kBlocked, i);
  ASSERT_TRUE(Await([&] { return pool_->parked() == 3; }));
  for (uint16_t i = 3; i < 10; ++i) {
    Send(kEcho, i);
    ASSERT_EQ(Reply(), i);
    EXPECT_EQ(TypeOf(i), p9::Rlerror::kType);
    EXPECT_EQ(ErrorOf(i), EAGAIN);
  }
  Send(kClunk, 10);
  EXPECT_EQ(Reply(), 10);
  EXPECT_EQ(TypeOf(10), kClunk);
  service_.Flushes(11, 1);
  Send(kFlush, 11);
  EXPECT_EQ(Reply(), 1);
  EXPECT_EQ(Reply(), 11);
  // There is room again, for one.
  Send(kEcho, 12);
  EXPECT_EQ(Reply(), 12);
  EXPECT_EQ(TypeOf(12), kEcho);
  Send(kBlocked, 13);
  ASSERT_TRUE(Await([&] { return pool_->parked() == 3; }));
  Send(kEcho, 14);
  EXPECT_EQ(Reply(), 14);
  EXPECT_EQ(TypeOf(14), p9::Rlerror::kType);
}

TEST_F(PoolTest, ThrottledOperationsTakeTheirTime) {
  Start(PoolOptions{.operations = {.per_second = 200, .burst = 10}});
  const auto start = std::chrono::steady_clock::now();
  for (uint16_t i = 0; i < 60; ++i) Send(kEcho, i);
  std::set<uint16_t> replies;
  for (int i = 0; i < 60; ++i) replies.insert(Reply());
  EXPECT_EQ(replies.size(), 60u);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 250ms);
}

// Nothing is on the ring when the debt is paid off, and nobody was to be woken while it was not.
TEST_F(PoolTest, AThrottledPoolThatHasBeenIdleGoesOn) {
  Start(PoolOptions{.operations = {.per_second = 1000, .burst = 1}});
  for (uint16_t i = 0; i < 100; ++i) {
    Send(kEcho, i);
    ASSERT_EQ(Reply(), i);
    std::this_thread::sleep_for(std::chrono::microseconds(100) * (i % 30));
  }
}

TEST_F(PoolTest, WhatWasTakenGoesOnWhileTheGuestOwes) {
  Start(PoolOptions{.threads = 4, .operations = {.per_second = 1, .burst = 4}});
  Send(kBlocked, 0);
  Send(kStuck, 1);
  Send(kEcho, 2);
  Send(kEcho, 3);
  EXPECT_EQ(Reply() + Reply(), 5);
  Send(kEcho, 4);
  const auto start = std::chrono::steady_clock::now();
  service_.Release();
  EXPECT_EQ(Reply() + Reply(), 1);
  EXPECT_EQ(Reply(), 4);
  EXPECT_GT(std::chrono::steady_clock::now() - start, 300ms) << "this one had to wait";
}

TEST_F(PoolTest, StopForgivesTheDebt) {
  Start(PoolOptions{.operations = {.per_second = 1, .burst = 1}});
  for (uint16_t i = 0; i < 60; ++i) Send(kEcho, i);
  EXPECT_EQ(Reply(), 0);
  const auto start = std::chrono::steady_clock::now();
  pool_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  std::set<uint16_t> replies;
  for (int i = 1; i < 60; ++i) replies.insert(Reply());
  EXPECT_EQ(replies.size(), 59u);
}

// All in one publication: nobody raises an event for those behind.
TEST_F(PoolTest, StuckThreadsAreNoticedWhileRequestsWait) {
  Start();
  for (uint16_t i = 0; i < 500; ++i) {  // short ones, so that few threads are thought to be enough
    Send(kEcho, i);
    ASSERT_EQ(Reply(), i);
  }
  std::vector<Slot> slots;
  for (uint16_t i = 500; i < 508; ++i) Send(kStuck, i);
  for (uint16_t i = 508; i < 540; ++i) Send(kEcho, i);
  std::set<uint16_t> replies;
  for (int i = 0; i < 32; ++i) replies.insert(Reply());
  EXPECT_EQ(replies.size(), 32u);
  EXPECT_EQ(*replies.begin(), 508);
  ASSERT_TRUE(Await([&] { return service_.stuck == 8; }));
}

TEST_F(PoolTest, StopAnswersWhatIsPublished) {
  Start(4);
  for (uint16_t i = 0; i < 3; ++i) Send(kStuck, i);
  ASSERT_TRUE(Await([&] { return service_.stuck == 3; }));
  for (uint16_t i = 3; i < 40; ++i) Send(kEcho, i);
  Send(kBlocked, 40);
  std::thread stopper([&] { pool_->Stop(); });
  service_.Release();
  stopper.join();
  std::set<uint16_t> replies;
  for (int i = 0; i < 40; ++i) replies.insert(Reply());
  EXPECT_EQ(replies.size(), 40u);
}

TEST_F(PoolTest, StopLeavesBlockedCallsUnanswered) {
  Start();
  for (uint16_t i = 0; i < 20; ++i) Send(kBlocked, i);
  ASSERT_TRUE(Await([&] { return service_.serves >= 20; }));
  pool_->Stop();
  EXPECT_EQ(guest_.Word(SimulatedGuest::kRspProd).load(), 0u);
}

TEST_F(PoolTest, AnIdlePoolStops) {
  Start();
  pool_->Stop();
  EXPECT_EQ(service_.serves, 0);
}

TEST_F(PoolTest, AFaultEndsItAfterWhatWasTaken) {
  Start();
  Send(kStuck, 0);
  ASSERT_TRUE(Await([&] { return service_.stuck == 1; }));
  guest_.Word(SimulatedGuest::kReqProd).store(1000);
  guest_.Notify();
  ASSERT_TRUE(Await([&] { return faults_ == 1; }));
  EXPECT_STREQ(fault_, Describe(RingFault::kOverflow));
  service_.Release();
  EXPECT_EQ(Reply(), 0);
  pool_->Stop();
  EXPECT_EQ(faults_, 1);
}

// The guest notifies all the time, for nothing.
TEST_F(PoolTest, StrayEventsDoNoHarm) {
  Start();
  for (uint16_t i = 0; i < 300; ++i) {
    for (int j = 0; j < 5; ++j) guest_.Notify();
    Send(kEcho, i);
    guest_.Notify();
    ASSERT_EQ(Reply(), i);
  }
}

}  // namespace
}  // namespace virtfs::backend
