#include "frontend/ninepfs_client.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "frontend/fake_backend.h"
#include "gtest/gtest.h"

namespace virtfs::frontend {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// The test is the backend, step by step, on the pages of one ring.
class NinepfsClientTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kInCons = 0, kInProd = 4, kOutCons = 64, kOutProd = 68, kOrder = 128, kRefs = 132;

  void Start(uint32_t order = 1) {
    client_ = *NinepfsClient::Create({.rings = 1, .order = order, .max_poll = {}});
    size_ = 2048U << order;
  }
  void TearDown() override {
    if (client_) client_->Fail("the test is over");
    client_.reset();
    EXPECT_EQ(FakeBackend::granted(), 0U);
  }

  std::atomic_ref<uint32_t> Word(uint32_t offset) {
    return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(FakeBackend::Page(client_->ring_ref(0)) + offset));
  }
  // Byte `at` of a direction.
  uint8_t& Byte(bool out, uint32_t at) {
    const uint32_t offset = (at & (size_ - 1)) + (out ? size_ : 0);
    return FakeBackend::Page(Word(kRefs + 4 * (offset / 4096)).load())[offset % 4096];
  }

  std::vector<uint8_t> TakeRequest() {
    uint32_t cons = Word(kOutCons).load();
    const uint32_t there = Word(kOutProd).load() - cons;
    if (there < 7) return {};
    const uint32_t size = Byte(true, cons) | Byte(true, cons + 1) << 8U;
    std::vector<uint8_t> request;
    for (uint32_t i = 0; i < size; ++i) request.push_back(Byte(true, cons + i));
    Word(kOutCons).store(cons + size);
    return request;
  }
  void PutReply(std::span<const uint8_t> reply) {
    uint32_t prod = Word(kInProd).load();
    for (const uint8_t byte : reply) Byte(false, prod++) = byte;
    Word(kInProd).store(prod);
  }

  // A call of the test's own.
  struct Call {
    explicit Call(p9::Tag tag, std::vector<uint8_t> body = {}, size_t data_size = 0) : payload(std::move(body)) {
      head.resize(p9::kMinHeadSize<p9::Twrite>);
      p9::Encode(tag, p9::Twrite{.fid = 1, .offset = 2, .count = static_cast<uint32_t>(payload.size())}, head);
      data.resize(data_size);
      call.head = head;
      call.payload = payload;
      call.reply = reply;
      call.data = data;
    }
    std::vector<uint8_t> head, payload, data;
    std::array<uint8_t, 11> reply{};
    RingCall call;
  };
  static std::vector<uint8_t> Reply(p9::Tag tag, uint32_t size = 11, uint8_t type = p9::Rwrite::kType) {
    std::vector<uint8_t> reply(size);
    for (uint32_t i = 0; i < size; ++i) reply[i] = static_cast<uint8_t>(i * 7);
    std::memcpy(reply.data(), &size, 4);
    reply[4] = type;
    std::memcpy(&reply[5], &tag, 2);
    return reply;
  }
  bool IsDone(Call& call) { return client_->WaitUntil(call.call, steady_clock::now()); }

  std::unique_ptr<NinepfsClient> client_;
  uint32_t size_ = 0;
};

TEST_F(NinepfsClientTest, RequestsAndRepliesGoRound) {
  Start();
  EXPECT_EQ(Word(kOrder).load(), 1U);
  EXPECT_EQ(client_->max_msize(), 2048U);
  for (p9::Tag tag = 0; tag < 100; ++tag) {
    Call call(tag, std::vector<uint8_t>(37U * tag % 1900, static_cast<uint8_t>(tag)), 2000);
    client_->Submit(call.call);
    std::vector<uint8_t> whole = call.head;
    whole.insert(whole.end(), call.payload.begin(), call.payload.end());
    ASSERT_EQ(TakeRequest(), whole);
    ASSERT_FALSE(IsDone(call));
    const std::vector<uint8_t> reply = Reply(tag, 11 + 53U * tag % 1999);
    // All but the last byte of it is nothing.
    PutReply(std::span(reply).first(reply.size() - 1));
    ASSERT_FALSE(IsDone(call));
    PutReply(std::span(reply).last(1));
    ASSERT_TRUE(IsDone(call));
    ASSERT_EQ(call.call.error, 0);
    ASSERT_EQ(call.call.reply_size, reply.size());
    ASSERT_TRUE(std::equal(call.reply.begin(), call.reply.end(), reply.begin()));
    ASSERT_TRUE(std::equal(reply.begin() + 11, reply.end(), call.data.begin()));
    ASSERT_EQ(Word(kInCons).load(), Word(kInProd).load());
  }
}

// Room comes back as the backend takes requests, which it does without an event and perhaps long before it answers.
TEST_F(NinepfsClientTest, WhatHasNoRoomWaits) {
  Start();
  std::vector<std::unique_ptr<Call>> calls;
  for (p9::Tag tag = 0; tag < 5; ++tag) {
    calls.push_back(std::make_unique<Call>(tag, std::vector<uint8_t>(1500)));
    client_->Submit(calls.back()->call);
  }
  Call never(9, std::vector<uint8_t>(2040));
  client_->Submit(never.call);
  EXPECT_EQ(never.call.error, EMSGSIZE);
  for (p9::Tag tag = 0; tag < 5; ++tag) {
    std::vector<uint8_t> request;
    for (const auto end = steady_clock::now() + seconds(10); request.empty() && steady_clock::now() < end;) {
      request = TakeRequest();
      // Somebody must wait for those that are queued to move up.
      if (request.empty()) {
        EXPECT_FALSE(client_->WaitUntil(calls[4]->call, steady_clock::now() + milliseconds(2)));
      }
    }
    ASSERT_EQ(request.size(), 1523U);
    EXPECT_EQ(p9::ParseHeader(request)->tag, tag);
  }
  for (const p9::Tag tag : {4, 0, 3, 1, 2}) {
    PutReply(Reply(tag));
    EXPECT_TRUE(IsDone(*calls[tag]));
  }
}

TEST_F(NinepfsClientTest, ABackendThatBreaksTheRulesIsLeft) {
  const std::pair<const char*, std::function<void()>> cases[] = {
      {"in_prod too far", [&] { Word(kInProd).store(size_ + 1); }},
      {"in_prod far away", [&] { Word(kInProd).store(0x80000000U); }},
      {"size 6",
       [&] {
         PutReply(std::vector<uint8_t>{6, 0, 0, 0, 119, 5, 0});
       }},
      {"size of 2 GiB",
       [&] {
         PutReply(std::vector<uint8_t>{0, 0, 0, 0x80, 119, 5, 0});
       }},
      {"another tag", [&] { PutReply(Reply(6)); }},
      {"another type", [&] { PutReply(Reply(5, 11, p9::Rread::kType)); }},
      {"longer than its room", [&] { PutReply(Reply(5, 22)); }},
      {"answered twice",
       [&] {
         PutReply(Reply(5));
         PutReply(Reply(5));
       }},
  };
  for (const auto& [name, spoil] : cases) {
    SCOPED_TRACE(name);
    Start();
    Call call(5, {}, 10), other(7);
    client_->Submit(call.call);
    client_->Submit(other.call);
    spoil();
    ASSERT_TRUE(client_->WaitUntil(other.call, steady_clock::now() + seconds(10)));
    EXPECT_EQ(other.call.error, EIO);
    EXPECT_TRUE(IsDone(call));
    EXPECT_NE(client_->fault(), "");
    Call late(8);
    client_->Submit(late.call);
    EXPECT_EQ(late.call.error, EIO);
    client_.reset();
  }
  Start();
  Word(kOutCons).store(1);
  Call call(5);
  client_->Submit(call.call);
  ASSERT_TRUE(client_->WaitUntil(call.call, steady_clock::now() + seconds(10)));
  EXPECT_EQ(call.call.error, EIO);
}

// One that sends half and then takes it back.
TEST_F(NinepfsClientTest, RepliesThatGoBackAreAFault) {
  Start();
  Call call(5);
  client_->Submit(call.call);
  PutReply(Reply(5));
  ASSERT_TRUE(IsDone(call));
  Word(kInProd).store(5);
  Call next(6);
  client_->Submit(next.call);
  ASSERT_TRUE(client_->WaitUntil(next.call, steady_clock::now() + seconds(10)));
  EXPECT_EQ(next.call.error, EIO);
}

TEST_F(NinepfsClientTest, FewerGrantsMakeASmallerRing) {
  FakeBackend::LimitGrants(100);
  client_ = *NinepfsClient::Create({.rings = 1, .order = 9, .max_poll = {}});
  FakeBackend::LimitGrants(0);
  EXPECT_EQ(Word(kOrder).load(), 6U);
  EXPECT_EQ(client_->max_msize(), 64U * 1024);
}

}  // namespace
}  // namespace virtfs::frontend
