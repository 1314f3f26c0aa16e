// Wire: 9P over a ring with nothing in between: every field of every request is as the test says, the whole reply is
// there to be looked at, and what no client would send can be sent as bytes.
//
// Errors: a request that is not answered in time is a failure of the test, and its reply is empty.
// Threads: one.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/call_channel.h"
#include "protocol/codec.h"
#include "tests/simulated_xen.h"

namespace virtfs {

using Bytes = std::vector<uint8_t>;

class Wire {
 public:
  static constexpr uint32_t kMsize = 64 * 1024;

  // A request on its way.
  class Pending {
   public:
    Pending(frontend::CallChannel& ring, Bytes request, size_t room)
        : ring_(ring), request_(std::move(request)), reply_(room) {
      call_.head = request_;
      call_.reply = reply_;
      // May use the slots that are kept for requests which must get through.
      call_.urgent = request_.size() > 4 && (request_[4] == p9::Tflush::kType || request_[4] == p9::Tclunk::kType);
      ring_.Submit(call_);
    }
    ~Pending() { static_cast<void>(Wait()); }
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;

    // The whole reply.
    const Bytes& Wait() {
      if (over_) return reply_;
      over_ = true;
      if (!ring_.WaitUntil(call_, std::chrono::steady_clock::now() + kBound)) {
        ADD_FAILURE() << "no reply";
        ring_.Fail("the test gives up");
        ring_.Wait(call_);
      }
      EXPECT_EQ(call_.error, 0) << "the ring, not the session, refused";
      reply_.resize(call_.error == 0 ? call_.reply_size : 0);
      return reply_;
    }
    bool IsOver() { return over_ || ring_.WaitUntil(call_, std::chrono::steady_clock::now()); }

   private:
    frontend::CallChannel& ring_;
    Bytes request_;
    Bytes reply_;
    frontend::RingCall call_;
    bool over_ = false;
  };

  explicit Wire(frontend::CallChannel& ring) : ring_(ring) {}

  std::unique_ptr<Pending> Send(Bytes request, size_t room = kMsize) {
    return std::make_unique<Pending>(ring_, std::move(request), room);
  }
  Bytes Raw(Bytes request, size_t room = kMsize) { return Send(std::move(request), room)->Wait(); }

  // The bytes of a request, with its payload.
  template <p9::Request T>
  static Bytes BytesOf(p9::Tag tag, const T& request, std::string_view payload = {}) {
    Bytes bytes(p9::EncodedSize(request));
    EXPECT_EQ(p9::Encode(tag, request, bytes), bytes.size());
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return bytes;
  }
  template <p9::Request T>
  std::unique_ptr<Pending> Start(p9::Tag tag, const T& request, std::string_view payload = {}) {
    return Send(BytesOf(tag, request, payload));
  }

  // One request and its reply. Strings in the reply, and payload(), are good until the next.
  template <p9::Request T>
  Result<typename T::Reply> operator()(const T& request, std::string_view payload = {}) {
    const p9::Tag tag = std::is_same_v<T, p9::Tversion> ? p9::kNoTag : kTag;
    last_ = Raw(BytesOf(tag, request, payload));
    const Result<p9::Header> header = p9::ParseHeader(last_);
    EXPECT_TRUE(header.ok() && header->tag == tag && header->size == last_.size()) << "the reply's header is wrong";
    const Result<typename T::Reply> reply = p9::DecodeReply<T>(last_);
    EXPECT_TRUE(reply.ok() || reply.error() != Errno(EPROTO)) << "neither Rlerror nor the reply of this request";
    if constexpr (p9::PayloadMessage<typename T::Reply>) {
      payload_ = reply.ok() ? std::string(last_.end() - reply->count, last_.end()) : std::string();
    }
    return reply;
  }
  // What the last Rread or Rreaddir brought.
  const std::string& payload() const { return payload_; }

  // A fid number that was never used.
  p9::Fid NewFid() { return next_fid_++; }

 private:
  static constexpr p9::Tag kTag = 7;

  frontend::CallChannel& ring_;
  Bytes last_;
  std::string payload_;
  p9::Fid next_fid_ = 1;
};

// The errno of an Rlerror; 0 for any other reply.
template <typename T>
int ErrorOf(const Result<T>& result) {
  return result.ok() ? 0 : result.error().value();
}
inline int ErrorOf(const Bytes& reply) {
  const Result<p9::Rlerror> error = p9::Decode<p9::Rlerror>(reply);
  return error.ok() ? static_cast<int>(error->ecode) : 0;
}

}  // namespace virtfs
