#include "frontend/p9_client.h"

#include <unistd.h>

#include <cassert>
#include <cerrno>

namespace virtfs::frontend {
namespace {

using std::chrono::steady_clock;

}  // namespace

RemoteFid& RemoteFid::operator=(RemoteFid&& other) noexcept {
  if (this != &other) {
    Reset();
    client_ = std::exchange(other.client_, nullptr);
    fid_ = other.fid_;
    session_ = other.session_;
  }
  return *this;
}

RemoteFid::RemoteFid(P9Client& client, p9::Fid fid) : client_(&client), fid_(fid), session_(client.session()) {}

P9Client* RemoteFid::TakeClient() {
  P9Client* client = std::exchange(client_, nullptr);
  return client != nullptr && client->session() == session_ ? client : nullptr;
}

void RemoteFid::Reset() {
  if (P9Client* client = TakeClient()) client->ClunkLater(fid_);
}

void RemoteFid::Forget() {
  if (P9Client* client = TakeClient()) client->ForgetFid(fid_);
}

// A Tclunk that nobody waits for.
struct P9Client::DetachedClunk {
  P9Client& client;
  p9::Fid fid;
  p9::Tag tag;
  RingCall call;
  std::array<uint8_t, p9::kMinHeadSize<p9::Tclunk>> head;
  std::array<uint8_t, p9::kErrorReplySize> reply;

  // Whatever the server answered, the fid is gone; if the connection ended, nobody knows.
  static void Done(RingCall& call) {
    const std::unique_ptr<DetachedClunk> clunk(static_cast<DetachedClunk*>(call.context));
    clunk->client.ForgetTag(clunk->tag);
    if (call.error == 0) {
      clunk->client.ForgetFid(clunk->fid);
    } else {
      clunk->client.Doubt(clunk->fid);
    }
  }
};

P9Client::P9Client(CallChannel& ring, std::chrono::milliseconds reply_timeout)
    : ring_(&ring), reply_timeout_(reply_timeout) {}

P9Client::~P9Client() {
  // Clunks in flight refer to this client.
  if (!ring_->WaitIdle(steady_clock::now() + reply_timeout_)) {
    ring_->Fail("it does not answer");
    static_cast<void>(ring_->WaitIdle(Deadline::max()));
  }
}

Result<void> P9Client::Version(uint32_t max_msize) {
  const uint32_t wanted = std::min(max_msize, ring_->max_msize());
  Exchange<p9::Tversion> version(*this);
  version.Start({wanted, p9::kVersion});
  const Result<p9::Rversion> reply = version.Wait();
  if (!reply.ok()) return reply.error();
  if (reply->version != p9::kVersion || reply->msize > wanted || reply->msize < p9::kMinMsize) return Errno(EPROTO);
  msize_ = reply->msize;
  const std::lock_guard lock(mutex_);
  ++session_;
  next_fid_ = 0;
  free_fids_.clear();
  doubtful_fids_.clear();
  return {};
}

Result<RemoteFid> P9Client::Attach(std::string_view aname) {
  const p9::Fid fid = NewFid();
  const Result<p9::Rattach> reply = Call(p9::Tattach{fid, p9::kNoFid, "", aname, 0});
  if (reply.ok()) return RemoteFid(*this, fid);
  ForgetFid(fid);
  return reply.error();
}

void P9Client::Resume(CallChannel& ring, bool session_goes_on) {
  ring_ = &ring;
  if (!session_goes_on) return;
  std::vector<p9::Fid> fids;
  {
    const std::lock_guard lock(mutex_);
    fids.swap(doubtful_fids_);
  }
  for (const p9::Fid fid : fids) ClunkLater(fid);
}

Result<RemoteFid> P9Client::Walk(p9::Fid from, std::span<const std::string_view> names) {
  assert(names.size() <= p9::kMaxWalk);
  p9::Twalk request{from, NewFid(), {}};
  for (const std::string_view name : names) request.wname.push_back(name);
  const Result<p9::Rwalk> reply = Call(request);
  if (reply.ok() && reply->wqid.size() == names.size()) return RemoteFid(*this, request.newfid);
  ForgetFid(request.newfid);
  if (!reply.ok()) return reply.error();
  return Errno(reply->wqid.size() < names.size() ? ENOENT : EPROTO);
}

Result<std::string> P9Client::ReadLink(p9::Fid fid) {
  Exchange<p9::Treadlink> exchange(*this);
  exchange.Start({fid});
  const Result<p9::Rreadlink> reply = exchange.Wait();
  if (!reply.ok()) return reply.error();
  return std::string(reply->target);
}

uint32_t P9Client::session() {
  const std::lock_guard lock(mutex_);
  return session_;
}

p9::Fid P9Client::NewFid() {
  const std::lock_guard lock(mutex_);
  if (free_fids_.empty()) return next_fid_++;
  const p9::Fid fid = free_fids_.back();
  free_fids_.pop_back();
  return fid;
}

void P9Client::ForgetFid(p9::Fid fid) {
  const std::lock_guard lock(mutex_);
  // Doubtful numbers come back when they have been clunked.
  if (std::find(doubtful_fids_.begin(), doubtful_fids_.end(), fid) == doubtful_fids_.end()) free_fids_.push_back(fid);
}

void P9Client::Doubt(p9::Fid fid) {
  const std::lock_guard lock(mutex_);
  doubtful_fids_.push_back(fid);
}

void P9Client::ClunkLater(p9::Fid fid) {
  auto* clunk = new DetachedClunk{*this, fid, NewTag(), {}, {}, {}};
  p9::Encode(clunk->tag, p9::Tclunk{fid}, clunk->head);
  clunk->call.head = clunk->head;
  clunk->call.reply = clunk->reply;
  clunk->call.urgent = true;
  clunk->call.on_done = &DetachedClunk::Done;
  clunk->call.context = clunk;
  ring_->Submit(clunk->call);
}

p9::Tag P9Client::NewTag() {
  const std::lock_guard lock(mutex_);
  if (free_tags_.empty()) {
    assert(next_tag_ != p9::kNoTag);
    return next_tag_++;
  }
  const p9::Tag tag = free_tags_.back();
  free_tags_.pop_back();
  return tag;
}

void P9Client::ForgetTag(p9::Tag tag) {
  const std::lock_guard lock(mutex_);
  free_tags_.push_back(tag);
}

std::span<uint8_t> ExchangeBase::Room(size_t size) {
  if (size <= small_.size()) return small_;
  large_.resize(size);
  return large_;
}

void ExchangeBase::TakeTag() {
  if (tag_ == p9::kNoTag) tag_ = client_.NewTag();
}

void ExchangeBase::Submit(std::span<const uint8_t> head, std::span<const uint8_t> payload, std::span<uint8_t> data,
                          bool urgent) {
  assert(!started_);
  started_ = true;
  call_.head = head;
  call_.payload = payload;
  call_.reply = reply_;
  call_.data = data;
  call_.urgent = urgent;
  client_.ring_->Submit(call_);
}

void ExchangeBase::Refuse(int error) {
  call_.error = error;
  started_ = false;
}

Result<std::span<const uint8_t>> ExchangeBase::WaitForReply() {
  bool timed_out = false;
  if (started_) {
    timed_out = !client_.ring_->WaitUntil(call_, steady_clock::now() + client_.reply_timeout_);
    if (timed_out) Flush();
    started_ = false;
    if (call_.error == EIO && fid_at_stake_ != p9::kNoFid) client_.Doubt(fid_at_stake_);
  }
  if (call_.error != 0) return Errno(timed_out ? ETIMEDOUT : call_.error);
  const std::span<const uint8_t> frame = reply_.first(std::min<size_t>(reply_.size(), call_.reply_size));
  // It may have been answered just before it was flushed: then that counts.
  if (timed_out && frame[4] == p9::Rlerror::kType) return Errno(ETIMEDOUT);
  return frame;
}

void ExchangeBase::Flush() {
  if (!started_) return;
  CallChannel& ring = *client_.ring_;
  if (ring.Cancel(call_)) return;
  bool answered = false;
  if (tag_ != p9::kNoTag) {
    Exchange<p9::Tflush> flush(client_);
    flush.Start({tag_});
    ExchangeBase& base = flush;
    answered = ring.WaitUntil(base.call_, steady_clock::now() + client_.reply_timeout_);
    if (!answered) ring.Fail("it answers neither a request nor its Tflush");
    ring.Wait(base.call_);
    base.started_ = false;
  }
  if (!answered) ring.Fail("it does not answer");
  // The flushed call is answered before its Tflush, so this does not wait.
  ring.Wait(call_);
}

}  // namespace virtfs::frontend
