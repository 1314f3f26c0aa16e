#include "fsops/session/session.h"

#include <algorithm>
#include <type_traits>

#include "fsops/session/gauges.h"
#include "fsops/session/image.h"
#include "fsops/session/in_flight.h"
#include "fsops/session/operations.h"
#include "protocol/codec.h"

namespace virtfs {
namespace {

using session::Context;
using session::InFlight;

// Bytes that the reply needs, as far as they are known before the operation; its payload is not counted.
template <p9::Request T>
size_t ReplySize(const T& /*request*/) {
  return p9::kMinHeadSize<typename T::Reply>;
}
size_t ReplySize(const p9::Twalk& request) {
  return p9::kMinHeadSize<p9::Rwalk> + request.wname.size() * (p9::kMinHeadSize<p9::Rattach> - p9::kHeaderSize);
}
size_t ReplySize(const p9::Tversion& /*request*/) {
  return p9::kMinHeadSize<p9::Rversion> + std::max(p9::kVersion.size(), p9::kVersionUnknown.size());
}

// Operations that open a file, and so can find a lease in their way.
template <p9::Request T>
constexpr bool kCanBlock = std::is_same_v<T, p9::Tlopen> || std::is_same_v<T, p9::Tlcreate> ||
                           std::is_same_v<T, p9::Tsetattr> || std::is_same_v<T, p9::Tlock>;

// A client forgets such a call's fid whatever the answer, or waits for such a call alone: they are carried out however
// late, also if a Tflush came first.
bool IsCarriedOut(uint8_t type) {
  return type == p9::Tclunk::kType || type == p9::Tremove::kType || type == p9::Tflush::kType ||
         type == p9::Tversion::kType;
}

}  // namespace

class Session::State {
 public:
  State(host::Export& tree, const SessionOptions& options) : options_(options), operations_(tree, options) {}

  void Arrive(Call& call);
  Outcome Serve(Call& call);
  Outcome Refuse(Call& call, Errno error);
  bool Cancelled(const Call& call);
  InFlight& in_flight() { return in_flight_; }
  Result<SessionImage> Export();
  Result<void> Import(const SessionImage& bytes);

 private:
  static InFlight::Company CompanyOf(const p9::Header& header) {
    return header.type == p9::Tversion::kType ? InFlight::Company::kAlone : InFlight::Company::kAny;
  }

  // Whether the session takes such a message at all now.
  Result<void> Admit(const p9::Header& header) const;
  template <p9::Request T>
  Outcome Handle(Call& call, p9::Tag tag, const T& request);
  p9::Rversion Negotiate(const p9::Tversion& request);
  void SetMsize(uint32_t msize) {
    msize_ = msize;
    if (options_.gauges != nullptr) options_.gauges->msize.store(msize, std::memory_order_relaxed);
  }

  // The ways out of every request.
  template <p9::Message R>
  Outcome Answer(Call& call, p9::Tag tag, const R& reply);
  Outcome Fail(Call& call, p9::Tag tag, Errno error) {
    call.payload_size = 0;
    return Answer(call, tag, p9::Rlerror{.ecode = static_cast<uint32_t>(error.value())});
  }

  const SessionOptions options_;
  // 0: no version agreed on. Written by Tversion, which is alone; InFlight's lock shows it to the calls after it.
  uint32_t msize_ = 0;
  InFlight in_flight_;
  session::Operations operations_;
};

void Session::State::Arrive(Call& call) {
  const Result<p9::Header> header = p9::ParseHeader(call.frame);
  if (header.ok()) in_flight_.Arrive(call, header->tag, CompanyOf(*header));
}

Outcome Session::State::Refuse(Call& call, Errno error) {
  const Result<p9::Header> header = p9::ParseHeader(call.frame);
  return Fail(call, header.ok() ? header->tag : p9::kNoTag, error);
}

Outcome Session::State::Serve(Call& call) {
  call.head_size = 0;
  call.payload_size = 0;
  const Result<p9::Header> header = p9::ParseHeader(call.frame);
  if (!header.ok()) return Fail(call, p9::kNoTag, header.error());
  const p9::Tag tag = header->tag;
  switch (in_flight_.Begin(call, tag, CompanyOf(*header))) {
    case InFlight::Turn::kWait:
      return Outcome::kWaiting;
    case InFlight::Turn::kCancelled:
      if (!IsCarriedOut(header->type)) return Fail(call, tag, Errno(EINTR));
      break;
    case InFlight::Turn::kRun:
      break;
  }
  if (Result<void> admitted = Admit(*header); !admitted.ok()) return Fail(call, tag, admitted.error());
  const Result<Outcome> outcome =
      p9::VisitRequest(call.frame, [&](const auto& request) { return Handle(call, tag, request); });
  return outcome.ok() ? *outcome : Fail(call, tag, outcome.error());
}

bool Session::State::Cancelled(const Call& call) {
  const Result<p9::Header> header = p9::ParseHeader(call.frame);
  return header.ok() && !IsCarriedOut(header->type) && in_flight_.Cancelled(call);
}

Result<void> Session::State::Admit(const p9::Header& header) const {
  if (header.type == p9::Tversion::kType) return {};
  if (msize_ == 0 || header.tag == p9::kNoTag) return Errno(EINVAL);
  if (header.size > msize_) return Errno(EMSGSIZE);
  return {};
}

template <p9::Request T>
Outcome Session::State::Handle(Call& call, p9::Tag tag, const T& request) {
  constexpr bool kIsVersion = std::is_same_v<T, p9::Tversion>;
  const uint32_t limit = kIsVersion ? call.capacity : std::min(msize_, call.capacity);
  if (ReplySize(request) > std::min<size_t>(limit, call.scratch.size())) return Fail(call, tag, Errno(EMSGSIZE));

  if constexpr (kIsVersion) {
    if (request.msize < p9::kMinMsize) return Fail(call, tag, Errno(EMSGSIZE));
    return Answer(call, tag, Negotiate(request));
  } else if constexpr (std::is_same_v<T, p9::Tflush>) {
    if (!in_flight_.Flush(call, request.oldtag)) return Outcome::kWaiting;
    return Answer(call, tag, p9::Rflush{});
  } else {
    Context context = {.call = call, .limit = limit, .text = {}};
    const Result<typename T::Reply> reply = operations_.Do(request, context);
    if (reply.ok()) return Answer(call, tag, *reply);
    if (!kCanBlock<T> || reply.error() != Errno(EWOULDBLOCK)) return Fail(call, tag, reply.error());
    const auto now = std::chrono::steady_clock::now();
    auto& since = call.notes.blocked_since;
    if (since.time_since_epoch().count() == 0) since = now;
    if (now - since > options_.longest_block) return Fail(call, tag, reply.error());
    return in_flight_.Block(call) ? Outcome::kBlocked : Fail(call, tag, Errno(EINTR));
  }
}

p9::Rversion Session::State::Negotiate(const p9::Tversion& request) {
  operations_.Reset();
  const uint32_t msize = std::min(request.msize, options_.max_msize);
  const bool known = request.version == p9::kVersion;
  SetMsize(known ? msize : 0);
  return {.msize = msize, .version = known ? p9::kVersion : p9::kVersionUnknown};
}

template <p9::Message R>
Outcome Session::State::Answer(Call& call, p9::Tag tag, const R& reply) {
  const size_t limit = std::min<size_t>(call.scratch.size(), call.capacity);
  const size_t head = p9::Encode(tag, reply, call.scratch.first(limit));
  if constexpr (!std::is_same_v<R, p9::Rlerror>) {
    // Only a string can still be too long, and what returns strings changes nothing.
    const bool fits = head != 0 && (msize_ == 0 || head <= msize_);
    if (!fits) return Fail(call, tag, Errno(EMSGSIZE));
  }
  call.head_size = static_cast<uint32_t>(head);
  if constexpr (std::is_same_v<R, p9::Rreaddir>) call.head_size += reply.count;
  return Outcome::kAnswered;
}

Result<SessionImage> Session::State::Export() {
  if (!in_flight_.Idle()) return Errno(EBUSY);
  session::Image image;
  image.msize = msize_;
  if (Result<void> saved = operations_.Save(image); !saved.ok()) return saved.error();
  return SessionImage{
      .bytes = session::Serialize(image), .tokens = std::move(image.tokens), .lock_files = std::move(image.lock_files)};
}

Result<void> Session::State::Import(const SessionImage& bytes) {
  if (!in_flight_.Idle() || msize_ != 0) return Errno(EBUSY);
  Result<session::Image> image = session::Parse(bytes.bytes);
  if (!image.ok()) return image.error();
  if (!bytes.lock_files.empty() && bytes.lock_files.size() != image->locked.size()) return Errno(EINVAL);
  image->tokens = bytes.tokens;
  image->lock_files = bytes.lock_files;
  const bool usable_msize = image->msize == 0 || image->msize >= p9::kMinMsize;
  if (!usable_msize || image->msize > options_.max_msize) return Errno(EINVAL);
  if (Result<void> restored = operations_.Restore(*image); !restored.ok()) return restored;
  SetMsize(image->msize);
  return {};
}

Session::Session(host::Export& tree, const SessionOptions& options) : state_(std::make_unique<State>(tree, options)) {}
Session::~Session() = default;

void Session::Arrive(Call& call) { state_->Arrive(call); }
Outcome Session::Serve(Call& call) { return state_->Serve(call); }
Outcome Session::Refuse(Call& call, Errno error) { return state_->Refuse(call, error); }
bool Session::Cancelled(const Call& call) { return state_->Cancelled(call); }
std::vector<Call*> Session::Finish(Call& call) { return state_->in_flight().Finish(call); }
void Session::GiveUp() { state_->in_flight().GiveUp(); }
Result<SessionImage> Session::Export() { return state_->Export(); }
Result<void> Session::Import(const SessionImage& image) { return state_->Import(image); }

}  // namespace virtfs
