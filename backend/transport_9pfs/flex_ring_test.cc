#include "backend/transport_9pfs/flex_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "backend/transport_9pfs/plain_frontend_ring.h"

namespace virtfs::backend {
namespace {

class FlexRingTest : public testing::Test {
 protected:
  static constexpr uint32_t kInCons = PlainFrontendRing::kInCons, kOutProd = PlainFrontendRing::kOutProd;

  // A ring that begins at these positions.
  void Make(uint32_t order, uint32_t start = 0, uint32_t max_message = UINT32_MAX) {
    ring_.reset();
    size_ = 2048U << order;
    interface_.assign(1024, 0);
    data_.assign(size_t{4096} << order, 0);
    guest_ = PlainFrontendRing(interface_.data(), data_.data(), size_);
    guest_.StartAt(start);
    ring_ = std::make_unique<FlexRing>(interface_.data(), data_.data(), order, std::min(max_message, size_));
  }

  static std::vector<uint8_t> Message(uint32_t size, uint8_t seed = 1) {
    std::vector<uint8_t> message(size);
    std::iota(message.begin(), message.end(), seed);
    std::memcpy(message.data(), &size, std::min<size_t>(4, message.size()));
    return message;
  }

  std::vector<uint8_t> Take() {
    p9::Header header;
    if (ring_->Next(header) != FlexRing::Taken::kMessage) return {};
    std::vector<uint8_t> message(header.size);
    ring_->Read(message);
    return message;
  }
  FlexRing::Taken Look() {
    p9::Header header;
    return ring_->Next(header);
  }

  uint32_t size_ = 0;
  std::vector<uint32_t> interface_;
  std::vector<uint8_t> data_;
  std::unique_ptr<FlexRing> ring_;
  PlainFrontendRing guest_;
};

// Every order; positions such that a message goes round the end of the ring, and the indices round 2^32.
TEST_F(FlexRingTest, MessagesGoRound) {
  for (uint32_t order = 0; order <= 9; ++order) {
    SCOPED_TRACE(order);
    // Large ones take long under sanitizers.
    std::vector<uint32_t> starts = {(2048U << order) - 3U};
    if (order < 4) starts.insert(starts.end(), {0U, UINT32_MAX - 4U, UINT32_MAX - 2000U});
    for (const uint32_t start : starts) {
      Make(order, start);
      for (const uint32_t size : {7U, 8U, 23U, size_ / 2 + 1, size_, size_ - 1, 1000U}) {
        const std::vector<uint8_t> message = Message(size);
        guest_.Put(message);
        guest_.Publish();
        ASSERT_TRUE(ring_->Waiting());
        ASSERT_EQ(Take(), message);
        ASSERT_EQ(guest_.Word(PlainFrontendRing::kOutCons).load(), guest_.prod());
        ASSERT_FALSE(ring_->Waiting());

        ASSERT_TRUE(ring_->HasRoom(size));
        ASSERT_EQ(ring_->Write(message), FlexRing::Sent::kSent);
        ASSERT_EQ(guest_.Take(), message);
      }
    }
  }
}

TEST_F(FlexRingTest, SeveralAreTakenInOrder) {
  Make(1);
  for (uint8_t i = 1; i <= 10; ++i) guest_.Put(Message(7U + i, i));
  guest_.Publish();
  for (uint8_t i = 1; i <= 10; ++i) EXPECT_EQ(Take(), Message(7U + i, i));
  EXPECT_EQ(Look(), FlexRing::Taken::kNothing);
}

// Byte by byte: nothing is found before the last one. What was read of the header holds, whatever becomes of it.
TEST_F(FlexRingTest, APartOfAMessageWaits) {
  Make(0, UINT32_MAX - 10);
  const std::vector<uint8_t> message = Message(300);
  for (size_t i = 0; i < message.size(); ++i) {
    EXPECT_FALSE(ring_->Waiting() && i != 7) << i;
    EXPECT_EQ(Look(), FlexRing::Taken::kNothing) << i;
    EXPECT_EQ(guest_.Word(PlainFrontendRing::kOutCons).load(), UINT32_MAX - 10) << i;
    guest_.Put({&message[i], 1});
    guest_.Publish();
    if (i == 20) {
      const uint32_t header_at = size_ + ((UINT32_MAX - 10) & (size_ - 1));
      data_[header_at] = 8;  // a size of 8 now
    }
  }
  EXPECT_TRUE(ring_->Waiting());
  EXPECT_EQ(Take(), message);
}

struct HostileCase {
  const char* name;
  uint32_t word;
  uint32_t value;
  FlexFault fault;
};

TEST_F(FlexRingTest, HostileIndicesAreFaults) {
  const HostileCase cases[] = {
      {"one more than there is room for", kOutProd, 4096 + 1 + 100, FlexFault::kOverflow},
      {"before what was read", kOutProd, 99, FlexFault::kOverflow},
      {"far away", kOutProd, 0x80000000U, FlexFault::kOverflow},
      {"the last number", kOutProd, UINT32_MAX, FlexFault::kOverflow},
      {"more than there was", kInCons, 101, FlexFault::kUnderflow},
      {"a ring's length back and more", kInCons, 100U - 4096 - 1, FlexFault::kUnderflow},
      {"the other half of all numbers", kInCons, 0x80000064U, FlexFault::kUnderflow},
  };
  for (const HostileCase& test : cases) {
    SCOPED_TRACE(test.name);
    Make(1, 100);
    guest_.Word(test.word).store(test.value);
    const bool reads = test.word == kOutProd;
    EXPECT_TRUE(reads ? Look() == FlexRing::Taken::kFault : ring_->Write(Message(7)) == FlexRing::Sent::kFault);
    EXPECT_EQ(ring_->fault(), test.fault);
    EXPECT_TRUE(ring_->Waiting());
    // It stays, though all is well again.
    guest_.Word(test.word).store(100);
    EXPECT_EQ(Look(), FlexRing::Taken::kFault);
  }
}

TEST_F(FlexRingTest, AnIndexThatGoesBackIsAFault) {
  Make(1);
  guest_.Put(Message(100));
  guest_.Word(kOutProd).store(50);
  EXPECT_EQ(Look(), FlexRing::Taken::kNothing);
  guest_.Word(kOutProd).store(20);
  EXPECT_EQ(Look(), FlexRing::Taken::kFault);
  EXPECT_EQ(ring_->fault(), FlexFault::kOverflow);
}

TEST_F(FlexRingTest, HostileSizesAreFaults) {
  const std::pair<uint32_t, FlexFault> cases[] = {
      {0, FlexFault::kShortMessage},   {6, FlexFault::kShortMessage},          {2001, FlexFault::kLongMessage},
      {2049, FlexFault::kLongMessage}, {0x7fffffffU, FlexFault::kLongMessage}, {UINT32_MAX, FlexFault::kLongMessage},
  };
  for (const auto& [size, fault] : cases) {
    SCOPED_TRACE(size);
    Make(0, 5, 2000);
    std::vector<uint8_t> message = Message(7);
    std::memcpy(message.data(), &size, 4);
    guest_.Put(message);
    guest_.Publish();
    EXPECT_EQ(Look(), FlexRing::Taken::kFault);
    EXPECT_EQ(ring_->fault(), fault);
  }
}

// Full is not empty, though the masked indices are the same.
TEST_F(FlexRingTest, AFullRingHasNoRoomUntilTheGuestMakesSome) {
  Make(0);
  EXPECT_EQ(ring_->Write(Message(2000)), FlexRing::Sent::kSent);
  EXPECT_EQ(ring_->Write(Message(48)), FlexRing::Sent::kSent);
  EXPECT_FALSE(ring_->HasRoom(7));
  EXPECT_EQ(ring_->Write(Message(7)), FlexRing::Sent::kNoRoom);
  EXPECT_EQ(guest_.Take(), Message(2000));
  EXPECT_TRUE(ring_->HasRoom(2000));
  EXPECT_FALSE(ring_->HasRoom(2001));
  EXPECT_EQ(ring_->Write(Message(2000)), FlexRing::Sent::kSent);
  EXPECT_EQ(guest_.Take(), Message(48));
  EXPECT_EQ(guest_.Take(), Message(2000));
  guest_.Put(Message(2048));
  guest_.Publish();
  EXPECT_EQ(Take(), Message(2048));
}

TEST_F(FlexRingTest, ReachedCountsWholeMessages) {
  Make(0);
  uint32_t position = 1;
  ASSERT_TRUE(ring_->Published(position));
  EXPECT_TRUE(ring_->Reached(position));
  guest_.Put(Message(40));
  guest_.Put(Message(9, 3));
  const std::vector<uint8_t> part = Message(30);
  guest_.Put(std::span(part).first(10));
  guest_.Publish();
  ASSERT_TRUE(ring_->Published(position));
  EXPECT_EQ(position, 59U);
  EXPECT_FALSE(ring_->Reached(position));
  EXPECT_EQ(Take(), Message(40));
  EXPECT_FALSE(ring_->Reached(position));
  EXPECT_EQ(Take(), Message(9, 3));
  // Ten bytes of thirty: known once their header has been read.
  EXPECT_EQ(Look(), FlexRing::Taken::kNothing);
  EXPECT_TRUE(ring_->Reached(position));
  EXPECT_FALSE(ring_->Reached(position + 20));
}

// A frontend and a backend at once, many times round: what a reader sees is whole.
TEST_F(FlexRingTest, BothEndsAtOnce) {
  Make(0, UINT32_MAX - 5000);
  constexpr int kMessages = 2000;
  std::thread backend([&] {
    for (int done = 0; done < kMessages;) {
      std::vector<uint8_t> message = Take();
      if (message.empty()) {
        std::this_thread::yield();
        continue;
      }
      while (ring_->Write(message) == FlexRing::Sent::kNoRoom) std::this_thread::yield();
      ++done;
    }
  });
  std::mt19937 random(2);
  std::vector<uint32_t> sizes;
  int sent = 0, received = 0;
  while (received < kMessages) {
    const uint32_t size = sent < kMessages ? 7 + random() % 600 : 0;
    if (size != 0 && size <= guest_.room()) {
      guest_.Put(Message(size, static_cast<uint8_t>(sent)));
      guest_.Publish();
      sizes.push_back(size);
      ++sent;
    }
    if (guest_.queued() > 0) {
      ASSERT_EQ(guest_.Take(), Message(sizes[static_cast<size_t>(received)], static_cast<uint8_t>(received)));
      ++received;
    }
  }
  backend.join();
  EXPECT_EQ(ring_->fault(), FlexFault::kNone);
}

}  // namespace
}  // namespace virtfs::backend
