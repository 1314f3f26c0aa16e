// P9Client, Exchange: typed 9P2000.L over a CallChannel: tags, fids, timeouts.
//
//     Exchange<p9::Tread> read(client);          one request; several can be in flight
//     read.Start({fid, offset, count}, {}, data);
//     Result<p9::Rread> reply = read.Wait();
//
//     client.Call(p9::Tgetattr{fid, mask})       the same in one step
//
// Errors: the Errno that the server named; EPROTO for a reply that is malformed; EIO when the connection has ended;
// ETIMEDOUT for a request that took longer than the reply timeout and was flushed; EMSGSIZE for what cannot be sent.
// Threads: a P9Client from any thread; an Exchange from one at a time.
// Trust: replies are well-formed, no more: the server chose every name, number and byte in them.
// Source: docs/virtfs.md, sections 10 and 13.6; diod's protocol.md.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "frontend/call_channel.h"
#include "protocol/codec.h"
#include "xen/io/virtfs.h"

namespace virtfs::frontend {

class P9Client;

// A fid of the server's that is ours, clunked when this goes, if its session still stands. Clunking is not waited for.
class RemoteFid {
 public:
  RemoteFid() = default;
  RemoteFid(P9Client& client, p9::Fid fid);
  RemoteFid(RemoteFid&& other) noexcept
      : client_(std::exchange(other.client_, nullptr)), fid_(other.fid_), session_(other.session_) {}
  RemoteFid& operator=(RemoteFid&& other) noexcept;
  ~RemoteFid() { Reset(); }

  p9::Fid get() const { return fid_; }
  void Reset();
  // The fid is not on the server (any more): it is free for the next.
  void Forget();

 private:
  // The client, if the fid means something to it still.
  P9Client* TakeClient();

  P9Client* client_ = nullptr;
  p9::Fid fid_ = p9::kNoFid;
  uint32_t session_ = 0;
};

class P9Client {
 public:
  // `ring` must outlive the client. A request that takes longer than `reply_timeout` is flushed.
  P9Client(CallChannel& ring, std::chrono::milliseconds reply_timeout);
  ~P9Client();
  P9Client(const P9Client&) = delete;
  P9Client& operator=(const P9Client&) = delete;

  // Begins a session: all fids of an earlier one are gone. msize() is at most `max_msize`.
  Result<void> Version(uint32_t max_msize);
  uint32_t msize() const { return msize_; }
  // What one Tread, Twrite or Treaddir can carry: whole pages, if it is one at least.
  uint32_t max_data() const {
    const uint32_t size = msize_ - p9::kIoHeaderSize;
    return size < XEN_VIRTFS_PAGE_SIZE ? size : size / XEN_VIRTFS_PAGE_SIZE * XEN_VIRTFS_PAGE_SIZE;
  }

  // The root of the tree.
  Result<RemoteFid> Attach(std::string_view aname = "");

  // Goes on over a new connection. If the session goes on too (its session-id is the one that was known) fids stand;
  // those that were at stake when the old connection ended are clunked. Otherwise Version is to be called, and all fids
  // are dead. No exchange may be in flight.
  void Resume(CallChannel& ring, bool session_goes_on);

  // One request whose reply has no string.
  template <p9::Request T>
  Result<typename T::Reply> Call(const T& request, std::span<const uint8_t> payload = {}, std::span<uint8_t> data = {});

  // A new fid for what lies along `names` (at most 16) from `from`, or for `from` itself; ENOENT if a name is missing.
  Result<RemoteFid> Walk(p9::Fid from, std::span<const std::string_view> names = {});
  Result<std::string> ReadLink(p9::Fid fid);

  // A fid number that is in use nowhere.
  p9::Fid NewFid();
  void ForgetFid(p9::Fid fid);
  // Ends the fid, without waiting for the reply.
  void ClunkLater(p9::Fid fid);
  // Sessions that were begun on this client, for telling their fids apart.
  uint32_t session();

  CallChannel& ring() const { return *ring_; }

 private:
  friend class ExchangeBase;
  struct DetachedClunk;

  p9::Tag NewTag();
  void ForgetTag(p9::Tag tag);
  // What became of the fid is not known: not to be used before it was clunked in a session that goes on.
  void Doubt(p9::Fid fid);

  CallChannel* ring_;
  const std::chrono::milliseconds reply_timeout_;
  uint32_t msize_ = p9::kMinMsize;

  std::mutex mutex_;
  uint32_t session_ = 0;  // How many were begun here.
  p9::Fid next_fid_ = 0;
  std::vector<p9::Fid> free_fids_;
  std::vector<p9::Fid> doubtful_fids_;
  p9::Tag next_tag_ = 0;
  std::vector<p9::Tag> free_tags_;
};

// What is the same in every Exchange.
class ExchangeBase {
 public:
  ExchangeBase(const ExchangeBase&) = delete;
  ExchangeBase& operator=(const ExchangeBase&) = delete;

  bool started() const { return started_; }

  // Asks the server to give the request up, and waits until it is over: Wait then returns its reply, or EINTR.
  void Flush();

 protected:
  ExchangeBase(P9Client& client, std::span<uint8_t> reply) : client_(client), reply_(reply) {}
  ~ExchangeBase() {
    if (started_) Flush();
    if (tag_ != p9::kNoTag) client_.ForgetTag(tag_);
  }

  p9::Tag tag() const { return tag_; }
  // Room for a request of `size` bytes.
  std::span<uint8_t> Room(size_t size);
  void TakeTag();
  void Submit(std::span<const uint8_t> head, std::span<const uint8_t> payload, std::span<uint8_t> data, bool urgent);
  // The request cannot be encoded.
  void Refuse(int error);
  // The frame in private memory, its payload left out.
  Result<std::span<const uint8_t>> WaitForReply();

  P9Client& client_;
  p9::Fid fid_at_stake_ = p9::kNoFid;

 private:
  std::span<uint8_t> reply_;
  RingCall call_;
  std::array<uint8_t, 512> small_;
  std::vector<uint8_t> large_;
  p9::Tag tag_ = p9::kNoTag;
  bool started_ = false;  // And not waited for.
};

template <p9::Request T>
class Exchange : public ExchangeBase {
 public:
  using Reply = typename T::Reply;

  explicit Exchange(P9Client& client) : ExchangeBase(client, room_) {}

  // Not while started(). `payload` (of a Twrite) and `data` (for the payload of an Rread or Rreaddir) must stay until
  // Wait has returned.
  void Start(const T& request, std::span<const uint8_t> payload = {}, std::span<uint8_t> data = {}) {
    if constexpr (!std::is_same_v<T, p9::Tversion>) TakeTag();
    fid_at_stake_ = FidAtStake(request);
    data_size_ = data.size();
    const std::span<uint8_t> room = Room(p9::EncodedSize(request));
    const size_t size = p9::Encode(tag(), request, room);
    if (size == 0) return Refuse(ENAMETOOLONG);
    constexpr bool kUrgent = std::is_same_v<T, p9::Tflush> || std::is_same_v<T, p9::Tclunk>;
    Submit(room.first(size), payload, data, kUrgent);
  }

  // The reply, once it is here. Strings in it stay valid until the next Start.
  Result<Reply> Wait() {
    const Result<std::span<const uint8_t>> frame = WaitForReply();
    if (!frame.ok()) return frame.error();
    Result<Reply> reply = p9::DecodeReply<T>(*frame);
    if constexpr (p9::PayloadMessage<Reply>) {
      if (reply.ok() && reply->count > data_size_) return Errno(EPROTO);
    }
    return reply;
  }

 private:
  // Linux's longest symlink target; no string in a reply that we use is longer.
  static constexpr size_t kMaxReply = 9 + 4095;
  static constexpr size_t kRoom = std::max(p9::kErrorReplySize, std::min(p9::kMaxHeadSize<Reply>, kMaxReply));

  // docs/virtfs.md, section 13.6: whether this fid exists is unknown if the reply is lost.
  static p9::Fid FidAtStake(const T& request) {
    if constexpr (requires { request.newfid; }) {
      return request.newfid;
    } else if constexpr (std::is_same_v<T, p9::Tattach> || std::is_same_v<T, p9::Tclunk> ||
                         std::is_same_v<T, p9::Tremove> || std::is_same_v<T, p9::Tlopen> ||
                         std::is_same_v<T, p9::Tlcreate> || std::is_same_v<T, p9::Txattrcreate>) {
      return request.fid;
    } else {
      return p9::kNoFid;
    }
  }

  std::array<uint8_t, kRoom> room_;
  size_t data_size_ = 0;
};

template <p9::Request T>
Result<typename T::Reply> P9Client::Call(const T& request, std::span<const uint8_t> payload, std::span<uint8_t> data) {
  static_assert(p9::kMaxHeadSize<typename T::Reply> <= 256, "the strings of this reply would be gone on return");
  Exchange<T> exchange(*this);
  exchange.Start(request, payload, data);
  return exchange.Wait();
}

}  // namespace virtfs::frontend
