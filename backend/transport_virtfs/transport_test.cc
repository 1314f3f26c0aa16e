// The transport on simulated guests: every way to reach their pages, every layout of a chain, and every status.

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "backend/transport_virtfs/transport_fixture.h"
#include "xensim/report.h"

namespace virtfs::backend {
namespace {

TEST_P(TransportTest, EveryNumberOfSlots) {
  Connect();
  std::vector<uint32_t> lengths = {50, 79, 108, 137, 166, 195, 224, 251, kMaxChain};
  for (uint32_t length = 2; length < 24; ++length) lengths.push_back(length);
  for (const uint32_t length : lengths) {
    for (uint32_t reads : {1u, length / 2, length - 1}) {
      std::vector<Slot> read, write;
      for (uint32_t i = 0; i < length; ++i)
        (i < reads ? read : write).push_back(i < reads ? ReadSlot(i) : WriteSlot(i));
      const uint32_t reply = std::min<uint32_t>(4096 * (length - reads), kMaxReply);
      Exchange(read, write, Message(4096 * reads), Message(reply));
      if (HasFatalFailure()) FAIL() << length << " slots, " << reads << " of them read";
    }
  }
}

TEST_P(TransportTest, EveryOffsetAndAnySize) {
  Connect();
  for (uint32_t offset = 0; offset < 4096 - 11; offset += offset < 20 || offset > 4070 ? 1 : 97) {
    for (uint32_t size : {0u, 11u, 12u, 500u, 4096 - offset}) {
      if (offset + size > 4096) continue;
      const uint32_t room = size == 0 ? 4096 - offset : size;
      Exchange({ReadSlot(1, offset, size)}, {WriteSlot(2, offset, size)}, Message(room), Message(room));
      // Cut in two, anywhere.
      Exchange({ReadSlot(1, offset, 3), ReadSlot(2, offset, 9)}, {WriteSlot(3, offset, 5), WriteSlot(4, offset, 8)},
               Message(12), Message(13));
      if (HasFatalFailure()) FAIL() << "at " << offset << ", " << size << " bytes";
    }
  }
}

TEST_P(TransportTest, SlotsOfOneByte) {
  Connect();
  std::vector<Slot> read, write;
  for (uint32_t i = 0; i < 100; ++i) read.push_back(ReadSlot(i % 7, i, 1));
  for (uint32_t i = 0; i < 100; ++i) write.push_back(WriteSlot(7 + i % 7, 4095 - i, 1));
  Exchange(read, write, Message(100), Message(100));
}

TEST_P(TransportTest, WithoutVersionSizesDoNotCount) {
  Connect(false);
  const std::vector<Slot> read = {ReadSlot(1, 4000, 5), ReadSlot(2, 0, 65535)};
  const std::vector<Slot> slots = {read[0], read[1], WriteSlot(3, 96, 1)};
  const std::vector<uint8_t> message = Message(96 + 4096), reply = Message(4000);
  Fill(std::vector{ReadSlot(1, 4000), ReadSlot(2)}, message);
  guest_.Publish(slots);
  Request* request = Take(message);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(request->capacity, 4000u);
  Answer(*request, reply);
  ASSERT_EQ(guest_.Status(3), XEN_VIRTFS_STATUS_OKAY);
  EXPECT_EQ(Gather(std::vector{WriteSlot(3, 96)}, 4000), reply);
}

TEST_P(TransportTest, EveryCapacity) {
  constexpr uint32_t kMsize = 16384;
  Connect(true, kMsize);
  for (uint32_t capacity = 1; capacity <= kMsize + 4096; capacity += capacity < 100 ? 1 : 331) {
    std::vector<Slot> slots = {ReadSlot(0, 0, 30)};
    for (uint32_t left = capacity, page = 1; left > 0; ++page) {
      const uint32_t size = std::min(left, 4096u);
      slots.push_back(WriteSlot(page, 4096 - size, size));
      left -= size;
    }
    Fill({slots.data(), 1}, Message(30));
    guest_.Publish(slots);
    if (capacity < 11) {
      Request* request = nullptr;
      ASSERT_EQ(transport_->Take(request), Transport::Taken::kAnswered);
      ASSERT_EQ(guest_.Status(slots.size()), XEN_VIRTFS_STATUS_NO_ROOM);
      continue;
    }
    Request* request = Take(Message(30));
    ASSERT_NE(request, nullptr);
    ASSERT_EQ(request->capacity, capacity);
    ASSERT_EQ(request->scratch.size(), std::min(capacity, kMsize));
    ASSERT_EQ(request->room.size(), request->scratch.size() - 11);
    // A Rread that fills it.
    const std::vector<uint8_t> head = Message(11), payload = Message(static_cast<uint32_t>(request->room.size()));
    Answer(*request, head, payload);
    ASSERT_EQ(guest_.Status(slots.size()), XEN_VIRTFS_STATUS_OKAY);
    std::vector<uint8_t> reply = head;
    reply.insert(reply.end(), payload.begin(), payload.end());
    ASSERT_EQ(Gather(std::span(slots).subspan(1), reply.size()), reply) << capacity;
  }
}

TEST_P(TransportTest, DataOfTwriteStaysOpaque) {
  Connect();
  for (uint32_t size : {23u, 24u, 100u, 4096u, 4097u, 100'000u}) {
    std::vector<Slot> read;
    for (uint32_t left = size, page = 0; left > 0; ++page) {
      const uint32_t here = std::min(left, page == 0 ? 20u : 4096u);
      read.push_back(ReadSlot(page, 4096 - here, here));
      left -= here;
    }
    Exchange(read, {WriteSlot(200)}, Message(size, p9::Twrite::kType), Message(11));
  }
}

TEST_P(TransportTest, EveryStatusAndOnItGoes) {
  Connect();
  Slot flag = ReadSlot(0);
  for (uint32_t bit = 2; bit < 16; ++bit) {
    flag.flags = static_cast<uint16_t>(1 << bit);
    ExpectStatus(std::vector{flag, WriteSlot(1)}, XEN_VIRTFS_STATUS_BAD_FLAGS);
    ExpectStatus(std::vector{ReadSlot(0), WriteSlot(1), flag}, XEN_VIRTFS_STATUS_BAD_FLAGS);
  }
  ExpectStatus(std::vector{WriteSlot(0)}, XEN_VIRTFS_STATUS_BAD_ORDER);
  ExpectStatus(std::vector{WriteSlot(0), ReadSlot(1)}, XEN_VIRTFS_STATUS_BAD_ORDER);
  ExpectStatus(std::vector{ReadSlot(0), WriteSlot(1), ReadSlot(2), WriteSlot(3)}, XEN_VIRTFS_STATUS_BAD_ORDER);
  ExpectStatus(std::vector{ReadSlot(0, 4096), WriteSlot(1)}, XEN_VIRTFS_STATUS_BAD_EXTENT);
  ExpectStatus(std::vector{ReadSlot(0, 1, 4096), WriteSlot(1)}, XEN_VIRTFS_STATUS_BAD_EXTENT);
  ExpectStatus(std::vector{ReadSlot(0), WriteSlot(1, 4090, 7)}, XEN_VIRTFS_STATUS_BAD_EXTENT);
  ExpectStatus(std::vector{ReadSlot(0)}, XEN_VIRTFS_STATUS_NO_ROOM);
  ExpectStatus(std::vector{ReadSlot(0), WriteSlot(1, 0, 10)}, XEN_VIRTFS_STATUS_NO_ROOM);
  ExpectStatus(std::vector{ReadSlot(0, 0, 6), WriteSlot(1)}, XEN_VIRTFS_STATUS_SHORT_REQUEST);
  for (uint32_t claimed : {0u, 6u, 51u, 4096u, UINT32_MAX}) {
    std::vector<uint8_t> message = Message(50);
    std::memcpy(message.data(), &claimed, 4);
    Fill(std::vector{ReadSlot(0)}, message);
    ExpectStatus(std::vector{ReadSlot(0, 0, 50), WriteSlot(1)}, XEN_VIRTFS_STATUS_SHORT_REQUEST);
  }

  // Pages that are not there: first, in the middle, last; in either half.
  Fill(std::vector{ReadSlot(0)}, Message(4096 * 3));
  for (size_t bad = 0; bad < 6; ++bad) {
    std::vector<Slot> slots = {ReadSlot(0), ReadSlot(1), ReadSlot(2), WriteSlot(3), WriteSlot(4), WriteSlot(5)};
    slots[bad].gref = 0x7fffffff;
    if (GetParam().way == Way::kCopy && bad > 2) {
      // Found out when the reply is brought.
      guest_.Publish(slots);
      Fill(std::vector{slots[0], slots[1], slots[2]}, Message(4096 * 3));
      Request* request = nullptr;
      ASSERT_EQ(transport_->Take(request), Transport::Taken::kRequest);
      ASSERT_TRUE(transport_->Fetch(*request));
      Answer(*request, Message(4096 * 3));
      EXPECT_EQ(guest_.Status(6), XEN_VIRTFS_STATUS_BAD_GREF);
    } else {
      ExpectStatus(slots, XEN_VIRTFS_STATUS_BAD_GREF);
    }
  }
}

TEST_P(TransportTest, ARevokedGrantCostsItsChainOnly) {
  Connect();
  Fill(std::vector{ReadSlot(9)}, Message(40));
  guest_.Revoke(9);
  ExpectStatus(std::vector{ReadSlot(9, 0, 40), WriteSlot(1)}, XEN_VIRTFS_STATUS_BAD_GREF);

  // One that was mapped before: persistent mappings stay; what is not kept fails.
  Exchange({ReadSlot(10)}, {WriteSlot(11)}, Message(4096), Message(30));
  guest_.Revoke(10);
  if (GetParam().way == Way::kPersistent) {
    Exchange({ReadSlot(10)}, {WriteSlot(11)}, Message(4096), Message(30));
  } else {
    ExpectStatus(std::vector{ReadSlot(10), WriteSlot(11)}, XEN_VIRTFS_STATUS_BAD_GREF);
  }
}

TEST_P(TransportTest, CallsOfXenCanFail) {
  Connect();
  Fill(std::vector{ReadSlot(20)}, Message(40));
  const std::vector<Slot> slots = {ReadSlot(20, 0, 40), WriteSlot(21)};
  const bool copies = GetParam().way == Way::kCopy;
  for (int64_t half = 0; half < 2; ++half) {
    // The read half's call, then the write half's.
    ASSERT_TRUE(
        xensim::AddFault(guest_.world(), copies ? xensim::Call::kCopy : xensim::Call::kMap, 0, half, 1, ENOMEM));
    guest_.Publish(slots);
    Request* request = nullptr;
    const Transport::Taken taken = transport_->Take(request);
    ASSERT_EQ(taken, half == 0 ? Transport::Taken::kAnswered : Transport::Taken::kRequest);
    if (half == 1) {
      ASSERT_EQ(transport_->Fetch(*request), copies);
      if (copies) Answer(*request, Message(11));
    }
    EXPECT_EQ(guest_.Status(2), XEN_VIRTFS_STATUS_BAD_GREF);
    xensim::ClearFaults(guest_.world());
    if (half == 0 && GetParam().way == Way::kPersistent) {
      // So that the write half's page is the only one to be mapped next time.
      Exchange({slots[0]}, {WriteSlot(22)}, Message(40), Message(11));
      half = 0;
      ASSERT_TRUE(xensim::AddFault(guest_.world(), xensim::Call::kMap, 0, 0, 1, ENOMEM));
      guest_.Publish(slots);
      ASSERT_EQ(transport_->Take(request), Transport::Taken::kRequest);
      ASSERT_FALSE(transport_->Fetch(*request));
      transport_->Recycle(*request);
      EXPECT_EQ(guest_.Status(2), XEN_VIRTFS_STATUS_BAD_GREF);
      break;
    }
  }
  xensim::ClearFaults(guest_.world());
  Exchange({slots[0]}, {slots[1]}, Message(40), Message(11));
}

TEST_P(TransportTest, AnsweredInAnyOrder) {
  Connect();
  std::vector<Request*> requests;
  for (uint32_t i = 0; i < 60; ++i) {
    Fill(std::vector{ReadSlot(i)}, Message(20 + i));
    guest_.Publish(std::vector{ReadSlot(i), WriteSlot(64 + i)});
    requests.push_back(Take(Message(20 + i)));
    ASSERT_NE(requests.back(), nullptr);
  }
  for (uint32_t i = 60; i-- > 0;) {
    Answer(*requests[i], Message(11 + i));
    ASSERT_EQ(guest_.Status(2), XEN_VIRTFS_STATUS_OKAY);
    ExpectIds(std::vector{ReadSlot(i), WriteSlot(64 + i)});
    ASSERT_EQ(Gather(std::vector{WriteSlot(64 + i)}, 11 + i), Message(11 + i));
  }
}

TEST_P(TransportTest, OnlyTheReplyIsWritten) {
  Connect();
  for (uint32_t page : {1u, 2u}) std::memset(guest_.page(page), 0xaa, 4096);
  Exchange({ReadSlot(0)}, {WriteSlot(1, 100, 10), WriteSlot(2, 50, 1000)}, Message(30), Message(15));
  EXPECT_EQ(guest_.page(1)[99], 0xaa);
  EXPECT_EQ(guest_.page(1)[110], 0xaa);
  EXPECT_EQ(guest_.page(2)[49], 0xaa);
  EXPECT_EQ(guest_.page(2)[55], 0xaa);
}

// The guest rewrites its pages all the time: what was copied stays as it was checked.
TEST_P(TransportTest, AHostileWriterChangesNothingThatWasCopied) {
  Connect();
  std::atomic<bool> stop = false;
  const std::vector<uint8_t> message = Message(50);
  Fill(std::vector{ReadSlot(0)}, message);
  std::thread hostile([&] {
    std::atomic_ref<uint32_t> size(*reinterpret_cast<uint32_t*>(guest_.page(0)));
    for (uint32_t i = 0; !stop; ++i) size.store(i % 3 == 0 ? 50 : i % 3 == 1 ? 51 : 7, std::memory_order_relaxed);
  });
  for (int i = 0; i < 2000; ++i) {
    guest_.Publish(std::vector{ReadSlot(0, 0, 50), WriteSlot(1)});
    Request* request = nullptr;
    if (transport_->Take(request) == Transport::Taken::kAnswered) {
      ASSERT_EQ(guest_.Status(2), XEN_VIRTFS_STATUS_SHORT_REQUEST);
      continue;
    }
    ASSERT_TRUE(transport_->Fetch(*request));
    ASSERT_TRUE(request->frame.size() == 50 || request->frame.size() == 7);
    uint32_t size;
    std::memcpy(&size, request->frame.data(), 4);
    ASSERT_EQ(size, request->frame.size());
    Answer(*request, Message(11));
    ASSERT_EQ(guest_.Status(2), XEN_VIRTFS_STATUS_OKAY);
  }
  stop = true;
  hostile.join();
}

TEST_P(TransportTest, NothingStaysMappedOfRequestsThatWereNeverAnswered) {
  Connect();
  Fill(std::vector{ReadSlot(0)}, Message(50));
  guest_.Publish(std::vector{ReadSlot(0), WriteSlot(1)});
  ASSERT_NE(Take(Message(50)), nullptr);
  transport_.reset();
  bytes_.reset();
  for (const xensim::Holding& holding : xensim::HoldingsOf(guest_.world(), 0)) EXPECT_EQ(holding.mapped_pages, 0u);
}

INSTANTIATE_TEST_SUITE_P(Ways, TransportTest,
                         testing::Values(WayCase{"Persistent", Way::kPersistent}, WayCase{"Copy", Way::kCopy},
                                         WayCase{"Map", Way::kMap}),
                         [](const auto& info) { return info.param.name; });

class PersistentTest : public TransportTest {};

TEST_P(PersistentTest, ASeenPageCostsNoCall) {
  Connect();
  const auto calls = [&] {
    return xensim::CountOf(guest_.world(), 0, xensim::Call::kMap).calls +
           xensim::CountOf(guest_.world(), 0, xensim::Call::kUnmap).calls +
           xensim::CountOf(guest_.world(), 0, xensim::Call::kCopy).calls;
  };
  std::vector<Slot> read, write;
  for (uint32_t i = 0; i < 100; ++i) read.push_back(ReadSlot(i));
  for (uint32_t i = 100; i < 200; ++i) write.push_back(WriteSlot(i));
  Exchange(read, write, Message(4096 * 100), Message(4096 * 100));
  EXPECT_EQ(bytes_->mapped_pages(), 200u);
  const uint64_t before = calls();
  for (int i = 0; i < 10; ++i) Exchange(read, write, Message(4096 * 100), Message(4096 * 100));
  EXPECT_EQ(calls(), before);
}

TEST_P(PersistentTest, MappingsAreBounded) {
  Connect(true, kMaxReply, 64);
  for (uint32_t round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < 256; i += 2) {
      Exchange({ReadSlot(i)}, {WriteSlot(i + 1)}, Message(4096), Message(4096));
      ASSERT_LE(bytes_->mapped_pages(), 64u);
    }
  }
  // A request that needs more gets it, and it goes again.
  std::vector<Slot> read;
  for (uint32_t i = 0; i < 200; ++i) read.push_back(ReadSlot(i));
  Exchange(read, {WriteSlot(201)}, Message(4096 * 200), Message(4096));
  Exchange({ReadSlot(230)}, {WriteSlot(231)}, Message(4096), Message(4096));
  EXPECT_LE(bytes_->mapped_pages(), 64u);
}

TEST_P(PersistentTest, APageMayBeNamedTwice) {
  Connect();
  Exchange({ReadSlot(0, 0, 10), ReadSlot(1, 0, 10), ReadSlot(0, 10, 10)}, {WriteSlot(2, 0, 10), WriteSlot(2, 10, 10)},
           Message(30), Message(20));
  EXPECT_EQ(bytes_->mapped_pages(), 3u);
}

INSTANTIATE_TEST_SUITE_P(Ways, PersistentTest, testing::Values(WayCase{"Persistent", Way::kPersistent}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace virtfs::backend
