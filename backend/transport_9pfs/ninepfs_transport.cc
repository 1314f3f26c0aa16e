#include "backend/transport_9pfs/ninepfs_transport.h"

#include <algorithm>
#include <utility>

#include "protocol/codec.h"
#include "protocol/messages.h"

namespace virtfs::backend {
namespace {

constexpr uint32_t kPayloadOffset = 11;      // size[4] Rread tag[2] count[4]
constexpr size_t kMaxKeptBytes = 8UL << 20;  // private memory kept for later requests

// What Linux has room for, but for Rread and Rreaddir: it drops what is longer (facts of its net/9p/client.c).
constexpr uint32_t kMaxLinkReply = 8192;
constexpr uint32_t kMaxOtherReply = 4096;

uint32_t LeastSize(std::span<const NinepfsPages> pages) {
  const auto least = std::min_element(pages.begin(), pages.end(),
                                      [](const NinepfsPages& a, const NinepfsPages& b) { return a.order < b.order; });
  return FlexRingSize(least->order);
}

// The count of a Tread or Treaddir; 0 if the message is too short to have one.
template <typename T>
uint32_t CountOf(std::span<const uint8_t> frame) {
  const Result<T> request = p9::Decode<T>(frame);
  return request.ok() ? request->count : 0;
}

}  // namespace

NinepfsTransport::NinepfsTransport(std::span<const NinepfsPages> pages, uint32_t max_message, EventChannel& events)
    : events_(events), max_message_(std::min(max_message, LeastSize(pages))), buffers_(kMaxKeptBytes) {
  for (const NinepfsPages& ring : pages) lanes_.push_back(std::make_unique<Lane>(ring, max_message_));
}

const char* NinepfsTransport::fault() const {
  for (const auto& lane : lanes_) {
    if (lane->ring.fault() != FlexFault::kNone) return Describe(lane->ring.fault());
  }
  return nullptr;
}

Transport::Taken NinepfsTransport::Take(Request*& taken) {
  if (fault() != nullptr) return Taken::kFault;
  if (MessageRequest* const sent = TakeSent()) {
    taken = sent;
    return Taken::kSent;
  }
  if (MessageRequest* const flush = TakeFlush()) {
    taken = flush;
    return Taken::kRequest;
  }
  if (HoldsBack()) return Taken::kNothing;
  for (size_t looked = 0; looked < lanes_.size(); ++looked) {
    const uint32_t ring = turn_;
    turn_ = (turn_ + 1) % static_cast<uint32_t>(lanes_.size());
    p9::Header header;
    switch (lanes_[ring]->ring.Next(header)) {
      case FlexRing::Taken::kMessage:
        return Accept(ring, header, taken);
      case FlexRing::Taken::kFault:
        return Taken::kFault;
      case FlexRing::Taken::kNothing:
        break;
    }
  }
  // Now that all have been looked at, what is left of them are parts of requests.
  if (MessageRequest* const flush = TakeFlush()) {
    taken = flush;
    return Taken::kRequest;
  }
  return Taken::kNothing;
}

Transport::Taken NinepfsTransport::Accept(uint32_t ring, const p9::Header& header, Request*& taken) {
  MessageRequest& request = requests_.Get();
  request.message = buffers_.Get(header.size);
  const std::span<uint8_t> message(request.message.data(), header.size);
  lanes_[ring]->ring.Read(message);

  request.ring = ring;
  request.size = header.size;
  request.type = header.type;
  request.fetched = false;
  request.retry_pause = {};
  const uint32_t head = p9::HeadSize(header.type, header.size);
  request.frame = message.first(head);
  // What a malformed message of any other type has behind its head is nothing to anybody.
  const uint32_t data = header.type == p9::Twrite::kType ? header.size - head : 0;
  request.data_segment = {.iov_base = message.data() + head, .iov_len = data};
  request.data = Payload({&request.data_segment, 1}, data);
  request.capacity = ReplyBound(request);
  request.held = header.size + request.capacity;
  ++out_;
  held_ += request.held;

  if (header.type != p9::Tflush::kType || lanes_.size() == 1) {
    taken = &request;
    return Taken::kRequest;
  }
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i]->ring.Published(request.behind[i])) return Taken::kFault;
  }
  flushes_.push_back(&request);
  return Taken::kAnswered;
}

// The first Tflush, if everything has been read that was there when it was found.
MessageRequest* NinepfsTransport::TakeFlush() {
  if (flushes_.empty()) return nullptr;
  MessageRequest* const flush = flushes_.front();
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i]->ring.Reached(flush->behind[i])) return nullptr;
  }
  flushes_.pop_front();
  return flush;
}

bool NinepfsTransport::HoldsBack() const {
  return out_.load(std::memory_order_relaxed) >= kMaxRequests || held_.load(std::memory_order_relaxed) >= kMaxHeld;
}

bool NinepfsTransport::Waiting() const {
  const bool holds_back = HoldsBack();
  return std::any_of(lanes_.begin(), lanes_.end(), [holds_back](const std::unique_ptr<Lane>& lane) {
    const uint32_t first = lane->first_size.load(std::memory_order_relaxed);
    if (first != 0 && lane->ring.HasRoom(first)) return true;
    return holds_back ? lane->ring.fault() != FlexFault::kNone : lane->ring.Waiting();
  });
}

// How long a reply a frontend can be expected to take, so that memory is spent on what was asked for.
uint32_t NinepfsTransport::ReplyBound(const MessageRequest& request) const {
  uint64_t bound = kMaxOtherReply;
  if (request.type == p9::Tread::kType) {
    bound = uint64_t{kPayloadOffset} + CountOf<p9::Tread>(request.frame);
  } else if (request.type == p9::Treaddir::kType) {
    bound = uint64_t{kPayloadOffset} + CountOf<p9::Treaddir>(request.frame);
  } else if (request.type == p9::Treadlink::kType) {
    bound = kMaxLinkReply;
  }
  return static_cast<uint32_t>(std::min<uint64_t>(bound, max_message_));
}

bool NinepfsTransport::Fetch(Request& fetched) {
  MessageRequest& request = static_cast<MessageRequest&>(fetched);
  request.reply = buffers_.Get(request.capacity);
  request.scratch = {request.reply.data(), request.capacity};
  const size_t room = request.capacity - kPayloadOffset;
  request.room_segment = {.iov_base = request.reply.data() + kPayloadOffset, .iov_len = room};
  request.room = Payload({&request.room_segment, 1}, room);
  request.head_size = 0;
  request.payload_size = 0;
  request.fetched = true;
  return true;
}

FlexRing::Sent NinepfsTransport::Send(Lane& lane, const MessageRequest& request) {
  return lane.ring.Write({request.reply.data(), size_t{request.head_size} + request.payload_size});
}

bool NinepfsTransport::Answer(Request& answered) {
  MessageRequest& request = static_cast<MessageRequest&>(answered);
  Lane& lane = *lanes_[request.ring];
  {
    std::lock_guard lock(lane.replies);
    const FlexRing::Sent sent = lane.unsent.empty() ? Send(lane, request) : FlexRing::Sent::kNoRoom;
    if (sent == FlexRing::Sent::kNoRoom) {
      if (lane.unsent.empty()) lane.first_size = request.head_size + request.payload_size;
      lane.unsent.push_back(&request);
      ++unsent_;
      return false;
    }
    // After a fault nobody reads replies.
    if (sent == FlexRing::Sent::kFault) return true;
  }
  events_.Notify(request.ring);
  return true;
}

// Sends the first reply that waits and for which there is room by now.
MessageRequest* NinepfsTransport::TakeSent() {
  if (unsent_ == 0) return nullptr;
  for (const auto& lane : lanes_) {
    std::unique_lock lock(lane->replies);
    if (lane->unsent.empty()) continue;
    MessageRequest* const request = lane->unsent.front();
    if (Send(*lane, *request) != FlexRing::Sent::kSent) continue;
    lane->unsent.pop_front();
    --unsent_;
    const MessageRequest* const next = lane->unsent.empty() ? nullptr : lane->unsent.front();
    lane->first_size = next == nullptr ? 0 : next->head_size + next->payload_size;
    lock.unlock();
    events_.Notify(request->ring);
    return request;
  }
  return nullptr;
}

void NinepfsTransport::Recycle(Request& recycled) {
  MessageRequest& request = static_cast<MessageRequest&>(recycled);
  request.message.Reset();
  request.reply.Reset();
  --out_;
  held_ -= request.held;
  requests_.Put(request);
}

}  // namespace virtfs::backend
