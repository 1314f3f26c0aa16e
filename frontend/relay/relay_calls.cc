// A Relay's requests, one by one: those of the stream from frame to answer, and the relay's own.

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "frontend/relay/relay.h"

namespace virtfs::frontend {
namespace {

using std::chrono::steady_clock;

// For requests that are given up to be answered.
constexpr std::chrono::seconds kDrainTime(10);

}  // namespace

Relay::Call& Relay::NewCall(std::span<const uint8_t> frame) {
  Call& call = *free_.back();
  free_.pop_back();
  call.header = *p9::ParseHeader(frame);
  call.own = call.flushed = false;
  const size_t head =
      std::min<size_t>(p9::HeadSize(call.header.type, static_cast<uint32_t>(frame.size())), kSmallRequest);
  std::memcpy(call.request.data(), frame.data(), head);
  call.ring.head = std::span(call.request).first(head);
  call.ring.payload = frame.subspan(head);
  const size_t room = ReplyRoom(call.header, call.ring.head, msize_);
  const size_t copied = room <= kSmallReply ? room : p9::kErrorReplySize;
  call.ring.reply = std::span(call.reply).first(copied);
  call.ring.lend = static_cast<uint32_t>(room - copied);
  call.ring.urgent = IsUrgent(call.header.type);
  call.ring.on_done = OnDone;
  call.ring.context = &call;
  call.ring.error = 0;
  call.ring.reply_size = 0;
  if (call.header.type == p9::Tversion::kType) {
    if (Result<p9::Tversion> version = p9::Decode<p9::Tversion>(frame); version.ok()) {
      version->msize = std::min(version->msize, max_msize_);
      p9::Encode(call.header.tag, *version, call.request);
    }
  }
  return call;
}

void Relay::Free(Call& call) {
  if (call.ring.lent()) ring_->Return(call.ring);
  call.state = Call::State::kFree;
  free_.push_back(&call);
}

RingClient::Taken Relay::Send(Call& call) {
  const Call::State before = std::exchange(call.state, Call::State::kInFlight);
  const RingClient::Taken taken = ring_->TrySubmit(call.ring);
  if (taken == RingClient::Taken::kYes) {
    ++in_flight_;
    ++statistics_.requests;
  } else {
    call.state = before;
  }
  return taken;
}

void Relay::OnDone(RingCall& ring_call) {
  Call& call = *static_cast<Call*>(ring_call.context);
  Relay& relay = *call.relay;
  const std::lock_guard lock(relay.done_mutex_);
  relay.done_.push_back(&call);
  if (std::this_thread::get_id() != relay.loop_) eventfd_write(relay.wake_.get(), 1);
}

void Relay::Finish(Call& call) {
  --in_flight_;
  const int error = call.ring.error;
  if (call.own) return Free(call);
  if (error == 0) {
    if (call.header.type == p9::Tversion::kType) FinishVersion(call);
    if (CountIsRight(call.ring.reply)) return Output(call);
    ring_->Return(call.ring);
    return Answer(call, EIO);
  }
  if (!ring_->fault().empty()) {
    if (call.header.type == p9::Tversion::kType) session_ = lost_ = true;
    if (const p9::Fid fid = FidAtStake(call.header, call.ring.head); fid != p9::kNoFid) doubtful_.push_back(fid);
  }
  if (call.header.type == p9::Tflush::kType) {
    call.state = Call::State::kAnswered;
    failed_flushes_.push_back(&call);
  } else {
    Answer(call, error);
  }
}

void Relay::FinishVersion(const Call& call) {
  const Result<p9::Rversion> reply = p9::Decode<p9::Rversion>(call.ring.reply.first(call.ring.reply_size));
  // An Rlerror: nothing was done.
  if (!reply.ok()) return;
  session_ = reply->version == p9::kVersion;
  lost_ = false;
  msize_ = std::min(reply->msize, max_msize_);
}

void Relay::Output(Call& call) {
  if (call.header.type == p9::Tversion::kType) version_pending_ = false;
  call.state = Call::State::kAnswered;
  if (stream_ < 0) return Free(call);
  output_.push_back(&call);
}

// An Rlerror; without an error the reply of the request's type, which has no fields.
void Relay::Answer(Call& call, int error) {
  if (error != 0) {
    call.ring.reply_size =
        static_cast<uint32_t>(p9::Encode(call.header.tag, p9::Rlerror{static_cast<uint32_t>(error)}, call.reply));
  } else {
    const p9::Header& request = call.header;
    call.ring.reply_size =
        static_cast<uint32_t>(request.type == p9::Tclunk::kType ? p9::Encode(request.tag, p9::Rclunk(), call.reply)
                                                                : p9::Encode(request.tag, p9::Rflush(), call.reply));
  }
  Output(call);
}

// A request that the backend never saw. Its session, if it goes on, must hear of fids that the client thinks are gone.
void Relay::AnswerUnsent(Call& call, int error) {
  const uint8_t type = call.header.type;
  if (type == p9::Tclunk::kType || type == p9::Tremove::kType) {
    const p9::Fid fid = FidAtStake(call.header, call.ring.head);
    if (fid != p9::kNoFid && !lost_ && doubtful_.size() < doubtful_.capacity()) doubtful_.push_back(fid);
  }
  Answer(call, IsUrgent(type) ? 0 : error);
}

template <typename Message>
bool Relay::SendOwn(p9::Tag tag, const Message& message) {
  if (free_.empty()) return false;
  std::array<uint8_t, 64> frame;
  Call& call = NewCall(std::span(frame).first(p9::Encode(tag, message, frame)));
  call.own = true;
  if (Send(call) == RingClient::Taken::kYes) return true;
  Free(call);
  return false;
}

bool Relay::InFlight(p9::Tag tag) const {
  return std::any_of(calls_.get(), calls_.get() + kCalls,
                     [&](const Call& call) { return call.state == Call::State::kInFlight && call.header.tag == tag; });
}

// Asks the backend to give up one request of the client's that is in flight.
bool Relay::FlushOne() {
  for (size_t i = 0; i < kCalls; ++i) {
    Call& call = calls_[i];
    if (call.state != Call::State::kInFlight || call.own || call.flushed) continue;
    if (call.header.type == p9::Tflush::kType) continue;
    p9::Tag unused = 0;
    while (InFlight(unused)) ++unused;
    call.flushed = SendOwn(unused, p9::Tflush{call.header.tag});
    return call.flushed;
  }
  return false;
}

// Gives up all requests in flight and waits until they are answered; at last by the end of the connection.
void Relay::Drain() {
  Deadline deadline = steady_clock::now() + kDrainTime;
  for (;;) {
    TakeAnswers();
    static_cast<void>(WriteStream());
    if (in_flight_ == 0) return;
    while (FlushOne()) {
    }
    if (steady_clock::now() >= deadline) {
      deadline = Deadline::max();
      ring_->Fail("it did not give up a request in time");
      continue;
    }
    std::array<pollfd, 2> fds = {{{wake_.get(), POLLIN, 0}, {stream_, POLLOUT, 0}}};
    const bool writes = !end_ && !output_.empty();
    ring_->ReceiveOr(std::span(fds).first(writes ? 2 : 1), deadline);
    eventfd_t count;
    if (fds[0].revents != 0) eventfd_read(wake_.get(), &count);
  }
}

// The session goes on in a new connection: nobody knows whether these fids exist.
void Relay::ClunkDoubtful() {
  for (const p9::Fid fid : doubtful_) {
    while (!SendOwn(0, p9::Tclunk{fid})) Drain();
  }
  Drain();
}

// Leaves the backend without a session, so without fids and locks: no version that anybody knows makes none
// (docs/virtfs.md, section 10.1).
void Relay::EndSession() {
  if (SendOwn(p9::kNoTag, p9::Tversion{p9::kMinMsize, p9::kVersionUnknown})) Drain();
}

// The stream is over.
void Relay::Clear() {
  for (std::vector<Call*>* list : {&waiting_, &output_, &failed_flushes_}) {
    for (Call* call : *list) Free(*call);
    list->clear();
  }
  written_ = 0;
  buffer_.Clear();
  if (ring_ == nullptr) return;
  Drain();
  if (session_ && !lost_) EndSession();
}

}  // namespace virtfs::frontend
