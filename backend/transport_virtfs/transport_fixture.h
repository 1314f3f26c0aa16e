// What the transport's tests have in common: a simulated guest that fills and reads the pages that its slots name, and
// a backend that serves it in one of the three ways.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "backend/transport/guest_copy.h"
#include "backend/transport_virtfs/simulated_guest.h"
#include "backend/transport_virtfs/virtfs_transport.h"
#include "protocol/codec.h"

namespace virtfs {
namespace host {

// The one who may open a Payload; here it stands in for the kernel.
class FileIo {
 public:
  static std::vector<uint8_t> Read(const Payload& payload) {
    std::vector<uint8_t> bytes(payload.size());
    ForEach(payload, [&](uint8_t* at, size_t offset, size_t count) {
      backend::CopyFromGuest({bytes.data() + offset, count}, at);
    });
    return bytes;
  }
  static void Write(const Payload& payload, std::span<const uint8_t> bytes) {
    ForEach(payload, [&](uint8_t* at, size_t offset, size_t count) {
      if (offset < bytes.size())
        backend::CopyToGuest(at, bytes.subspan(offset, std::min(count, bytes.size() - offset)));
    });
  }

 private:
  template <typename Visit>
  static void ForEach(const Payload& payload, Visit visit) {
    size_t offset = 0;
    for (const iovec& segment : payload.segments_) {
      const size_t count = std::min(segment.iov_len, payload.size_ - offset);
      visit(static_cast<uint8_t*>(segment.iov_base), offset, count);
      offset += count;
    }
    EXPECT_EQ(offset, payload.size_);
  }
};

}  // namespace host

namespace backend {

inline constexpr uint32_t kMaxChain = 252;
inline constexpr uint32_t kMaxReply = 512 * 1024;
inline constexpr uint16_t kWrite = XEN_VIRTFSF_WRITE;

struct WayCase {
  const char* name;
  Way way;
};

class TransportTest : public testing::TestWithParam<WayCase> {
 protected:
  // A backend for `guest_`, which must be there.
  void Connect(bool sized = true, uint32_t max_reply = kMaxReply, size_t max_pages = 1024) {
    transport_.reset();
    bytes_.reset();
    ring_ = std::make_unique<Ring>(guest_.ring(), 0, kMaxChain);
    bytes_ = std::make_unique<GuestBytes>(guest_.backend_grants(), SimulatedGuest::kDomid, GetParam().way, max_reply,
                                          max_pages);
    transport_ = std::make_unique<VirtfsTransport>(*ring_, *bytes_, events_, sized);
  }

  // A message of `size` bytes, of a type that may be so long: the whole of it is its head.
  static std::vector<uint8_t> Message(uint32_t size, uint8_t type = p9::Twalk::kType) {
    std::vector<uint8_t> message(size);
    std::iota(message.begin(), message.end(), uint8_t{1});
    if (size >= 4) std::memcpy(message.data(), &size, 4);
    if (size > 4) message[4] = type;
    return message;
  }

  // Puts bytes where the slots say, from the first on.
  void Fill(std::span<const Slot> slots, std::span<const uint8_t> bytes) {
    for (const Slot& slot : slots) {
      const size_t room = slot.size != 0 ? slot.size : 4096 - slot.offset;
      const size_t count = std::min(room, bytes.size());
      CopyToGuest(PageOf(slot) + slot.offset, bytes.first(count));
      bytes = bytes.subspan(count);
    }
  }
  std::vector<uint8_t> Gather(std::span<const Slot> slots, size_t size) {
    std::vector<uint8_t> bytes(size);
    size_t done = 0;
    for (const Slot& slot : slots) {
      const size_t room = slot.size != 0 ? slot.size : 4096 - slot.offset;
      const size_t count = std::min(room, size - done);
      CopyFromGuest({bytes.data() + done, count}, PageOf(slot) + slot.offset);
      done += count;
    }
    return bytes;
  }
  uint8_t* PageOf(const Slot& slot) {
    for (uint32_t i = 0;; ++i) {
      if (guest_.gref(i) == slot.gref) return guest_.page(i);
    }
  }

  Slot ReadSlot(uint32_t page, uint32_t offset = 0, uint32_t size = 0) {
    return {.gref = guest_.gref(page),
            .offset = static_cast<uint16_t>(offset),
            .flags = 0,
            .id = static_cast<uint16_t>(3 * page + 7),
            .size = static_cast<uint16_t>(size)};
  }
  Slot WriteSlot(uint32_t page, uint32_t offset = 0, uint32_t size = 0) {
    Slot slot = ReadSlot(page, offset, size);
    slot.flags = kWrite;
    return slot;
  }

  // Takes and fetches a request that must be good, and compares its frame with `message`.
  Request* Take(std::span<const uint8_t> message) {
    Request* request = nullptr;
    EXPECT_EQ(transport_->Take(request), Transport::Taken::kRequest);
    if (request == nullptr) return nullptr;
    EXPECT_EQ(request->frame.size(), 7u);
    EXPECT_EQ(std::memcmp(request->frame.data(), message.data(), 7), 0);
    if (!transport_->Fetch(*request)) {
      transport_->Recycle(*request);
      return nullptr;
    }
    const uint32_t head = p9::HeadSize(message[4], static_cast<uint32_t>(message.size()));
    EXPECT_EQ(request->frame.size(), head);
    EXPECT_EQ(std::memcmp(request->frame.data(), message.data(), head), 0);
    EXPECT_EQ(host::FileIo::Read(request->data), std::vector<uint8_t>(message.begin() + head, message.end()));
    return request;
  }

  // Answers with `head` bytes of head and then `payload` of payload.
  void Answer(Request& request, std::span<const uint8_t> head, std::span<const uint8_t> payload = {}) {
    std::memcpy(request.scratch.data(), head.data(), head.size());
    if (!payload.empty()) host::FileIo::Write(request.room, payload);
    request.head_size = static_cast<uint32_t>(head.size());
    request.payload_size = static_cast<uint32_t>(payload.size());
    EXPECT_TRUE(transport_->Answer(request));
    transport_->Recycle(request);
  }

  void ExpectIds(std::span<const Slot> slots) {
    ASSERT_EQ(guest_.last_ids().size(), slots.size());
    for (size_t i = 0; i < slots.size(); ++i) ASSERT_EQ(guest_.last_ids()[i], slots[i].id);
  }

  // One exchange over `read` and `write`, whole replies included.
  void Exchange(const std::vector<Slot>& read, const std::vector<Slot>& write, std::span<const uint8_t> message,
                std::span<const uint8_t> reply) {
    std::vector<Slot> slots = read;
    slots.insert(slots.end(), write.begin(), write.end());
    Fill(read, message);
    guest_.Publish(slots);
    Request* request = Take(message);
    ASSERT_NE(request, nullptr);
    Answer(*request, reply);
    ASSERT_EQ(guest_.Status(slots.size()), XEN_VIRTFS_STATUS_OKAY);
    ExpectIds(slots);
    ASSERT_EQ(Gather(write, reply.size()), std::vector<uint8_t>(reply.begin(), reply.end()));
  }

  // A chain that is answered with `status`, at Take or at Fetch; then a good one is served.
  void ExpectStatus(std::span<const Slot> slots, int16_t status) {
    guest_.Publish(slots);
    Request* request = nullptr;
    const Transport::Taken taken = transport_->Take(request);
    if (taken == Transport::Taken::kRequest) {
      EXPECT_FALSE(transport_->Fetch(*request));
      transport_->Recycle(*request);
    } else {
      EXPECT_EQ(taken, Transport::Taken::kAnswered);
    }
    EXPECT_EQ(guest_.Status(slots.size()), status);
    ExpectIds(slots);
    Exchange({ReadSlot(100, 0, 50)}, {WriteSlot(101)}, Message(50), Message(20));
  }

  SimulatedGuest guest_;
  EventChannel events_;
  std::unique_ptr<Ring> ring_;
  std::unique_ptr<GuestBytes> bytes_;
  std::unique_ptr<VirtfsTransport> transport_;
};

}  // namespace backend
}  // namespace virtfs
