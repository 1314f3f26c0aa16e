// A Call with everything that it points to. For tests and fuzzers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fsops/session/call.h"
#include "protocol/codec.h"

namespace virtfs {

// One request as a transport would hold it, with everything it points to.
class TestCall {
 public:
  static constexpr uint32_t kMsize = 64 * 1024;

  explicit TestCall(std::vector<uint8_t> frame, std::string_view data = {}, uint32_t capacity = kMsize)
      : frame_(std::move(frame)), data_(data), scratch_(capacity), room_(capacity) {
    call_.frame = frame_;
    data_segment_ = {data_.data(), data_.size()};
    call_.data = Payload({&data_segment_, 1}, data_.size());
    const size_t head = std::min<size_t>(p9::kMinHeadSize<p9::Rread>, capacity);
    room_segment_ = {room_.data() + head, room_.size() - head};
    call_.room = Payload({&room_segment_, 1}, room_.size() - head);
    call_.capacity = capacity;
    call_.scratch = scratch_;
  }
  template <p9::Request T>
  TestCall(p9::Tag tag, const T& request, std::string_view data = {}, uint32_t capacity = kMsize)
      : TestCall(FrameOf(tag, request), data, capacity) {}
  TestCall(const TestCall&) = delete;
  TestCall& operator=(const TestCall&) = delete;

  template <p9::Request T>
  static std::vector<uint8_t> FrameOf(p9::Tag tag, const T& request) {
    std::vector<uint8_t> frame(p9::EncodedSize(request));
    frame.resize(p9::Encode(tag, request, frame));
    return frame;
  }

  Call& call() { return call_; }

  // The reply's bytes, after kAnswered.
  std::vector<uint8_t> Reply() const {
    std::vector<uint8_t> reply(scratch_.begin(), scratch_.begin() + call_.head_size);
    const uint8_t* payload = static_cast<const uint8_t*>(room_segment_.iov_base);
    reply.insert(reply.end(), payload, payload + call_.payload_size);
    return reply;
  }
  p9::Tag tag() const { return p9::ParseHeader(frame_)->tag; }

 private:
  std::vector<uint8_t> frame_;
  std::string data_;
  std::vector<uint8_t> scratch_;
  std::vector<uint8_t> room_;
  iovec data_segment_;
  iovec room_segment_;
  Call call_;
};

}  // namespace virtfs
