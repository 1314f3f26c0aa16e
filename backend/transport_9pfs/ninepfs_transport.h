// NinepfsTransport: the rings of one 9pfs device as a Transport (backend/transport/transport.h; docs/9pfs.md).
//
// A request is copied off its ring as it is taken, whole, and its bytes there are the guest's again at once; a reply is
// made in private memory and copied to the ring that its request came from when it is whole. So no request, however
// long its file system takes, keeps room on a ring that another needs.
//
// Order. Requests of one ring are taken in their order, rings in turn. A Tflush is given out only when everything is
// read that any ring held when it was found, since its target may have come on another ring. Requests behind it pass it
// by meanwhile, other Tflushes do not.
//
// Bounds, as the rings give none: kMaxRequests between Take and Recycle, kMaxHeld bytes for their messages. Beyond
// these requests stay on their rings.
//
// Errors: a FlexFault on any ring ends everything.
// Threads, trust: those of Transport.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "backend/transport/buffer_pool.h"
#include "backend/transport/event_channel.h"
#include "backend/transport/request_pool.h"
#include "backend/transport/transport.h"
#include "backend/transport_9pfs/flex_ring.h"
#include "backend/transport_9pfs/ninepfs_pages.h"

namespace virtfs::backend {

inline constexpr uint32_t kMaxNinepfsRings = 8;

// One message on its way.
struct MessageRequest final : Request {
  uint32_t ring = 0;
  uint32_t held = 0;  // bytes that count against kMaxHeld
  Buffer message;
  Buffer reply;
  iovec data_segment{};
  iovec room_segment{};
  std::array<uint32_t, kMaxNinepfsRings> behind{};  // a Tflush: positions that the rings must have been read to
};

class NinepfsTransport final : public Transport {
 public:
  static constexpr uint32_t kMaxRequests = 1024;
  static constexpr size_t kMaxHeld = 32UL << 20;

  // `pages`, one for each ring, must outlive the transport; `events` has the rings' channels in the same order.
  NinepfsTransport(std::span<const NinepfsPages> pages, uint32_t max_message, EventChannel& events);

  // kAnswered: a Tflush was put back.
  Taken Take(Request*& request) override;

  bool Waiting() const override;
  // Stock frontends send an event with every request, wanted or not.
  bool Sleepable() override { return !Waiting(); }
  void Busy() override {}
  bool Clogged() const override { return unsent_.load(std::memory_order_relaxed) > 0; }
  uint32_t max_requests() const override { return kMaxRequests; }
  uint32_t max_message() const override { return max_message_; }
  const char* fault() const override;

  bool Fetch(Request& request) override;
  bool Answer(Request& request) override;
  void Recycle(Request& request) override;

 private:
  struct Lane {
    Lane(const NinepfsPages& pages, uint32_t max_message)
        : ring(pages.interface.address(), pages.data.address(), pages.order, max_message) {}

    FlexRing ring;
    std::mutex replies;                    // Write
    std::deque<MessageRequest*> unsent;    // replies: in the order of their Answer
    std::atomic<uint32_t> first_size = 0;  // of the first of these; 0: there is none
  };

  MessageRequest* TakeSent();
  MessageRequest* TakeFlush();
  bool HoldsBack() const;
  Taken Accept(uint32_t ring, const p9::Header& header, Request*& taken);
  uint32_t ReplyBound(const MessageRequest& request) const;
  FlexRing::Sent Send(Lane& lane, const MessageRequest& request);

  EventChannel& events_;
  const uint32_t max_message_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  uint32_t turn_ = 0;                    // the lane that is looked at first
  std::deque<MessageRequest*> flushes_;  // found, and not given out yet
  std::atomic<uint32_t> unsent_ = 0;     // replies in all lanes
  std::atomic<uint32_t> out_ = 0;        // requests between Take and Recycle
  std::atomic<size_t> held_ = 0;

  BufferPool buffers_;
  RequestPool<MessageRequest> requests_;
};

}  // namespace virtfs::backend
