// Relay: joins a stream of 9P frames (a socket) with a share: what mount.virtfs puts between the kernel's 9p client and
// the ring, and virtfs-relay between a listening socket and the ring.
//
// Requests go onto the ring as they come, many at once, tags unchanged; replies are written whole, in the order of
// their coming. Only msize is touched: Tversion's is lowered to what the ring has room for. The data of large replies
// go from the shared pages straight into the stream; nobody looks at them.
//
//     stream -> FrameBuffer -> Call -> ring ...  backend  ... ring -> Call -> stream
//
// Memory is fixed: the buffer, kCalls calls, the ring's pages. What finds no room waits, and the stream is read no
// further; a Tflush or Tclunk passes by what waits, and a Tflush takes a request that waits out of the queue itself.
//
// When the backend goes, requests in flight are answered EIO, once and for all: none is sent twice. Those that come
// later wait for the link's next connection, up to `patience`, unless the share is gone. If the session goes on there,
// fids of unknown fate are clunked and all is as before. If not, every fid of this stream is dead: requests are
// answered EIO, clunks succeed, until a Tversion begins a new session.
//
// Errors: absl::Status for the end of a stream; everything else as Rlerror, on the stream.
// Threads: one runs Serve; completions may come on others and are handed over.
// Trust: neither side: sizes of the stream's frames are checked before use, replies by RingClient; what is in them goes
// through, both ends parse for themselves.
// Source: docs/virtfs.md, sections 10 and 13.6; docs/decisions/0012.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "frontend/relay/exchange.h"
#include "frontend/relay/frame_buffer.h"
#include "frontend/relay/link.h"
#include "frontend/ring_client.h"

namespace virtfs::frontend {

struct RelayOptions {
  // The largest msize to let through; what the ring has room for may be less.
  uint32_t max_msize = XEN_VIRTFS_MAX_MSIZE;
  // For how long requests wait for the backend to come back before they are answered EIO.
  std::chrono::milliseconds patience{10'000};
  // Told when the backend goes and comes back: a sentence.
  std::function<void(const std::string& sentence)> log = [](const std::string& /*sentence*/) {};
};

struct RelayStatistics {
  uint64_t requests = 0;
  uint64_t reconnections = 0;
};

class Relay {
 public:
  // `link` must outlive it.
  Relay(Link& link, const RelayOptions& options);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // The largest msize that a client gets, with two requests of that size in flight.
  uint32_t max_msize() const { return max_msize_; }

  // Serves a connected socket until its other end closes it (OK), `stop` is readable (Cancelled) or the client breaks
  // the rules of the stream. Then requests in flight are given up and the 9P session is ended, so that the next stream
  // finds no fid.
  absl::Status Serve(int stream, int stop);

  const RelayStatistics& statistics() const { return statistics_; }

 private:
  static constexpr size_t kCalls = 256;
  static constexpr size_t kSpareCalls = 4;  // For Tflush and Tclunk.
  static constexpr size_t kSmallRequest = 512;

  // One request, from when it is taken off the stream until its reply is written.
  struct Call {
    enum class State : uint8_t { kFree, kWaiting, kInFlight, kAnswered };

    RingCall ring;
    Relay* relay = nullptr;
    p9::Header header;
    State state = State::kFree;
    bool own = false;      // A request of the relay's; nobody reads the reply.
    bool flushed = false;  // By the relay.
    // The beginning of the frame. A longer one's rest is the payload, which lies in the buffer until it is sent.
    std::array<uint8_t, kSmallRequest> request;
    std::array<uint8_t, kSmallReply> reply;
  };

  // Of the loop.
  void Wait(int stop);
  bool InputWanted();
  void ReadStream();
  bool WriteStream();
  void TakeFrames();
  bool TakeFrame(std::span<uint8_t> frame);
  bool TakeBack(p9::Tag tag);
  void SendWaiting();
  bool SendHeld();
  void GiveUpWaiting(int error);
  void TakeAnswers();
  void FollowLink();

  // Of a request.
  Call& NewCall(std::span<const uint8_t> frame);
  void Free(Call& call);
  RingClient::Taken Send(Call& call);
  void Finish(Call& call);
  void FinishVersion(const Call& call);
  void Output(Call& call);
  void Answer(Call& call, int error);
  void AnswerUnsent(Call& call, int error);
  static void OnDone(RingCall& ring_call);

  // Of the relay's own requests.
  template <typename Message>
  bool SendOwn(p9::Tag tag, const Message& message);
  bool InFlight(p9::Tag tag) const;
  bool FlushOne();
  void Drain();
  void ClunkDoubtful();
  void EndSession();
  void Clear();

  // Requests are to wait for the link.
  bool Holding() const { return ring_ == nullptr && std::chrono::steady_clock::now() < hold_until_; }
  // A request cannot be served, now or ever.
  bool Hopeless(uint8_t type) const { return ring_ == nullptr || (lost_ && type != p9::Tversion::kType); }

  Link& link_;
  const RelayOptions options_;
  uint32_t max_msize_;
  FrameBuffer buffer_;
  UniqueFd wake_;  // Counts when another thread has put something into done_.
  std::thread::id loop_;
  const std::unique_ptr<Call[]> calls_;
  std::vector<Call*> free_;
  std::vector<Call*> waiting_;         // For room on the ring, in order.
  std::vector<Call*> output_;          // To be written, in order.
  std::vector<Call*> failed_flushes_;  // To be answered behind what they flush.
  size_t in_flight_ = 0;
  size_t written_ = 0;  // Bytes of the first of output_.
  std::vector<iovec> pieces_;

  std::mutex done_mutex_;
  std::vector<Call*> done_;
  std::vector<Call*> finishing_;

  RingClient* ring_ = nullptr;
  bool failing_ = false;  // ring_ has failed; what was in flight is being answered.
  Deadline hold_until_{};
  std::vector<p9::Fid> doubtful_;

  // Of the stream.
  int stream_ = -1;
  bool readable_ = false;
  bool blocked_ = false;          // The next frame cannot be taken now.
  bool version_pending_ = false;  // A Tversion is taken and not answered: no frame is taken beside it.
  bool session_ = false;          // A Tversion of this stream has succeeded.
  bool lost_ = false;             // And its session is gone.
  uint32_t msize_ = 0;
  std::optional<absl::Status> end_;
  RelayStatistics statistics_;
};

}  // namespace virtfs::frontend
