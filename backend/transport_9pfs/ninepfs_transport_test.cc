#include "backend/transport_9pfs/ninepfs_transport.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "backend/transport/xen_libraries.h"
#include "backend/transport_9pfs/simulated_ninepfs_guest.h"
#include "protocol/messages.h"

namespace virtfs {
namespace host {

// The one who may open a Payload; here it stands in for the kernel.
class FileIo {
 public:
  static std::span<uint8_t> Bytes(const Payload& payload) {
    EXPECT_EQ(payload.segments_.size(), 1U);
    return {static_cast<uint8_t*>(payload.segments_[0].iov_base), payload.size_};
  }
};

}  // namespace host

namespace backend {
namespace {

using Guest = SimulatedNinepfsGuest;
using Taken = Transport::Taken;

class NinepfsTransportTest : public testing::Test {
 protected:
  void Connect(uint32_t rings, uint32_t order, uint32_t max_message = 1 << 20, uint32_t start = 0) {
    guest_ = std::make_unique<Guest>(rings, order, start);
    ASSERT_TRUE(events_.Open(Guest::kDomid));
    for (uint32_t i = 0; i < rings; ++i) {
      auto pages = NinepfsPages::Map(guest_->backend_grants(), Guest::kDomid, guest_->ring_ref(i));
      ASSERT_TRUE(pages.ok()) << pages.status();
      pages_.push_back(*std::move(pages));
      ASSERT_TRUE(events_.Bind(guest_->port(i)));
    }
    transport_ = std::make_unique<NinepfsTransport>(pages_, max_message, events_);
  }
  void TearDown() override {
    transport_.reset();
    pages_.clear();
    events_.Unbind();
  }

  template <p9::Request T>
  void Send(uint32_t ring, p9::Tag tag, const T& message) {
    std::vector<uint8_t> bytes(p9::EncodedSize(message));
    ASSERT_EQ(p9::Encode(tag, message, bytes), bytes.size());
    guest_->Send(ring, bytes);
  }

  // The next request, served as far as its reply's room.
  Request* Take() {
    for (;;) {
      Request* request = nullptr;
      switch (transport_->Take(request)) {
        case Taken::kRequest:
          EXPECT_TRUE(transport_->Fetch(*request));
          return request;
        case Taken::kAnswered:
          continue;
        default:
          return nullptr;
      }
    }
  }
  p9::Tag TakeTag() {
    Request* const request = Take();
    if (request == nullptr) return p9::kNoTag;
    const p9::Tag tag = p9::ParseHeader(request->frame)->tag;
    transport_->Recycle(*request);
    return tag;
  }

  // A reply of `size` bytes with the request's tag.
  bool Answer(Request& request, uint32_t size) {
    const p9::Header header = *p9::ParseHeader(request.frame);
    std::iota(request.scratch.begin(), request.scratch.begin() + size, uint8_t{9});
    std::memcpy(request.scratch.data(), &size, 4);
    request.scratch[4] = header.type + 1;
    std::memcpy(request.scratch.data() + 5, &header.tag, 2);
    request.head_size = std::min(size, 11U);
    request.payload_size = size - request.head_size;
    if (!transport_->Answer(request)) return false;
    transport_->Recycle(request);
    return true;
  }
  static p9::Tag TagOf(const std::vector<uint8_t>& reply) {
    return reply.empty() ? p9::kNoTag : p9::ParseHeader(reply)->tag;
  }

  std::unique_ptr<Guest> guest_;
  std::vector<NinepfsPages> pages_;
  EventChannel events_;
  std::unique_ptr<NinepfsTransport> transport_;
};

TEST_F(NinepfsTransportTest, EachReplyGoesToTheRingOfItsRequest) {
  Connect(8, 1, 1 << 20, UINT32_MAX - 20);
  EXPECT_EQ(transport_->max_message(), 4096U);
  for (uint32_t ring = 0; ring < 8; ++ring) Send(ring, static_cast<p9::Tag>(ring), p9::Tclunk{ring});
  std::vector<Request*> requests;
  for (uint32_t i = 0; i < 8; ++i) requests.push_back(Take());
  EXPECT_EQ(Take(), nullptr);
  for (uint32_t i = 8; i-- > 0;) ASSERT_TRUE(Answer(*requests[i], 7 + i));
  for (uint32_t ring = 0; ring < 8; ++ring) {
    const std::vector<uint8_t> reply = (*guest_)[ring].Take();
    ASSERT_EQ(reply.size(), 7 + ring);
    EXPECT_EQ(TagOf(reply), ring);
    EXPECT_EQ((*guest_)[ring].queued(), 0U);
  }
}

// Requests are the guest's to overwrite as soon as they are taken; payloads of both ways go round the ring's end.
TEST_F(NinepfsTransportTest, MessagesAreCopiedWhole) {
  Connect(1, 2, 8192, 8192 - 500);
  std::vector<uint8_t> data(3000);
  std::iota(data.begin(), data.end(), uint8_t{1});
  std::vector<uint8_t> message(23);
  ASSERT_EQ(p9::Encode(5, p9::Twrite{.fid = 1, .offset = 2, .count = 3000}, message), 23U);
  message.insert(message.end(), data.begin(), data.end());
  guest_->Send(0, message);
  Request* const request = Take();
  ASSERT_NE(request, nullptr);
  guest_->Send(0, std::vector<uint8_t>(5000, 0xff));  // over the same place
  EXPECT_EQ(request->frame.size(), 23U);
  EXPECT_EQ(std::memcmp(request->frame.data(), message.data(), 23), 0);
  const auto bytes = host::FileIo::Bytes(request->data);
  EXPECT_EQ(std::vector<uint8_t>(bytes.begin(), bytes.end()), data);
  EXPECT_EQ(request->capacity, 4096U);
  ASSERT_TRUE(Answer(*request, 4096));
  EXPECT_EQ((*guest_)[0].Take().size(), 4096U);
}

TEST_F(NinepfsTransportTest, TheRoomForAReplyIsWhatWasAskedFor) {
  Connect(1, 3, 10000);
  EXPECT_EQ(transport_->max_message(), 10000U);
  Send(0, 1, p9::Tread{.fid = 1, .offset = 0, .count = 5000});
  Send(0, 2, p9::Tread{.fid = 1, .offset = 0, .count = 0});
  Send(0, 3, p9::Tread{.fid = 1, .offset = 0, .count = UINT32_MAX});
  Send(0, 4, p9::Treaddir{.fid = 1, .offset = 0, .count = 9989});
  Send(0, 5, p9::Treadlink{.fid = 1});
  Send(0, 6, p9::Tgetattr{.fid = 1, .request_mask = 0});
  for (const uint32_t capacity : {5011U, 11U, 10000U, 10000U, 8192U, 4096U}) {
    Request* const request = Take();
    ASSERT_NE(request, nullptr);
    EXPECT_EQ(request->capacity, capacity);
    EXPECT_EQ(request->scratch.size(), capacity);
    EXPECT_EQ(request->room.size(), capacity - 11);
    transport_->Recycle(*request);
  }
}

TEST_F(NinepfsTransportTest, RepliesThatFindNoRoomWaitInOrder) {
  Connect(2, 1);
  for (p9::Tag tag = 0; tag < 4; ++tag) Send(0, tag, p9::Tread{.fid = 1, .offset = 0, .count = 3000});
  Send(1, 9, p9::Tclunk{1});
  std::vector<Request*> requests;
  requests.reserve(5);
  for (int i = 0; i < 5; ++i) requests.push_back(Take());
  const auto find = [&](p9::Tag tag) -> Request& {
    for (Request* request : requests) {
      if (p9::ParseHeader(request->frame)->tag == tag) return *request;
    }
    ADD_FAILURE();
    return *requests[0];
  };
  EXPECT_TRUE(Answer(find(0), 3000));
  EXPECT_FALSE(transport_->Clogged());
  EXPECT_FALSE(Answer(find(1), 2000));
  EXPECT_FALSE(Answer(find(2), 11));  // There is room, but another is first.
  EXPECT_TRUE(transport_->Clogged());
  EXPECT_FALSE(transport_->Waiting());
  EXPECT_TRUE(Answer(find(9), 7));  // The other ring is free.
  Request* sent = nullptr;
  EXPECT_EQ(transport_->Take(sent), Taken::kNothing);

  EXPECT_EQ(TagOf((*guest_)[0].Take()), 0);
  EXPECT_TRUE(transport_->Waiting());
  for (const p9::Tag tag : {p9::Tag{1}, p9::Tag{2}}) {
    ASSERT_EQ(transport_->Take(sent), Taken::kSent);
    EXPECT_EQ(p9::ParseHeader(sent->frame)->tag, tag);
    transport_->Recycle(*sent);
    EXPECT_EQ(TagOf((*guest_)[0].Take()), tag);
  }
  EXPECT_FALSE(transport_->Clogged());
  EXPECT_EQ(transport_->Take(sent), Taken::kNothing);
  EXPECT_TRUE(Answer(find(3), 4000));
}

// The target was published before, on another ring that is read later.
TEST_F(NinepfsTransportTest, AFlushComesBehindWhatWasThereOnAllRings) {
  Connect(3, 1);
  Send(2, 12, p9::Tclunk{1});
  Send(2, 15, p9::Tclunk{1});
  Send(2, 18, p9::Tclunk{1});
  Send(0, 3, p9::Tflush{.oldtag = 18});
  Send(0, 6, p9::Tclunk{1});
  Send(1, 1, p9::Tflush{.oldtag = 6});
  std::vector<p9::Tag> tags;
  tags.reserve(6);
  for (int i = 0; i < 6; ++i) tags.push_back(TakeTag());
  EXPECT_EQ(TakeTag(), p9::kNoTag);
  const auto place = [&](p9::Tag tag) { return std::find(tags.begin(), tags.end(), tag) - tags.begin(); };
  EXPECT_LT(place(18), place(3));
  EXPECT_LT(place(6), place(1));
  EXPECT_LT(place(3), place(1)) << "flushes keep their order";
}

// Half a request on another ring is nothing that a Tflush could be for.
TEST_F(NinepfsTransportTest, AFlushDoesNotWaitForAPart) {
  Connect(2, 1);
  std::vector<uint8_t> part(11);
  ASSERT_EQ(p9::Encode(2, p9::Tclunk{1}, part), 11U);
  guest_->Send(0, std::span(part).first(9));
  Send(1, 1, p9::Tflush{.oldtag = 2});
  EXPECT_EQ(TakeTag(), 1);
  guest_->Send(0, std::span(part).last(2));
  EXPECT_EQ(TakeTag(), 2);
}

TEST_F(NinepfsTransportTest, WhatIsHeldIsBounded) {
  Connect(2, 9);
  std::vector<Request*> requests;
  const auto fill = [&](auto message) {
    for (uint32_t i = 0; i < 2000; ++i) Send(i % 2, static_cast<p9::Tag>(i), message);
    while (Request* request = Take()) requests.push_back(request);
  };
  const auto free_all = [&] {
    for (Request* request : requests) transport_->Recycle(*request);
    requests.clear();
  };
  fill(p9::Tclunk{1});
  EXPECT_EQ(requests.size(), NinepfsTransport::kMaxRequests);
  EXPECT_FALSE(transport_->Waiting());
  EXPECT_TRUE(transport_->Sleepable());
  transport_->Recycle(*requests.back());
  requests.pop_back();
  EXPECT_TRUE(transport_->Waiting());
  free_all();
  while (Request* request = Take()) requests.push_back(request);
  free_all();

  fill(p9::Tread{.fid = 1, .offset = 0, .count = 512 * 1024 - 11});
  EXPECT_EQ(requests.size(), NinepfsTransport::kMaxHeld / (size_t{512} * 1024));
  free_all();
}

TEST_F(NinepfsTransportTest, AFaultOnOneRingEndsAll) {
  Connect(2, 1);
  Send(0, 1, p9::Tclunk{1});
  Request* const request = Take();
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(transport_->fault(), nullptr);
  (*guest_)[1].Word(PlainFrontendRing::kOutProd).store(5000);
  EXPECT_TRUE(transport_->Waiting());
  Request* none = nullptr;
  EXPECT_EQ(transport_->Take(none), Taken::kFault);
  EXPECT_STREQ(transport_->fault(), Describe(FlexFault::kOverflow));
  EXPECT_EQ(transport_->Take(none), Taken::kFault);
  EXPECT_TRUE(Answer(*request, 7));
}

TEST_F(NinepfsTransportTest, AnIndexThatAReplyMeetsIsFoundByTheNextTake) {
  Connect(2, 1);
  Send(0, 1, p9::Tclunk{1});
  Request* const request = Take();
  ASSERT_NE(request, nullptr);
  (*guest_)[0].Word(PlainFrontendRing::kInCons).store(77);
  EXPECT_TRUE(Answer(*request, 7));
  EXPECT_EQ((*guest_)[0].Word(PlainFrontendRing::kInProd).load(), 0U);
  Request* none = nullptr;
  EXPECT_TRUE(transport_->Waiting());
  EXPECT_EQ(transport_->Take(none), Taken::kFault);
  EXPECT_STREQ(transport_->fault(), Describe(FlexFault::kUnderflow));
}

TEST_F(NinepfsTransportTest, PagesAreMappedByOrder) {
  for (uint32_t order = 1; order <= 9; ++order) {
    SCOPED_TRACE(order);
    Guest guest(1, order);
    const auto pages = NinepfsPages::Map(guest.backend_grants(), Guest::kDomid, guest.ring_ref(0));
    ASSERT_TRUE(pages.ok()) << pages.status();
    EXPECT_EQ(pages->order, order);
  }
  for (const uint32_t order : {0U, 10U, 31U, UINT32_MAX}) {
    SCOPED_TRACE(order);
    Guest guest(1, 1);
    guest[0].Word(PlainFrontendRing::kOrder).store(order);
    EXPECT_FALSE(NinepfsPages::Map(guest.backend_grants(), Guest::kDomid, guest.ring_ref(0)).ok());
  }
  Guest guest(1, 2);
  guest[0].Word(PlainFrontendRing::kRefs + 4).store(0x7fffffff);
  EXPECT_FALSE(NinepfsPages::Map(guest.backend_grants(), Guest::kDomid, guest.ring_ref(0)).ok());
  EXPECT_FALSE(NinepfsPages::Map(guest.backend_grants(), Guest::kDomid, 0x7fffffff).ok());
}

}  // namespace
}  // namespace backend
}  // namespace virtfs
