#include "frontend/relay/relay.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace virtfs::frontend {
namespace {

using std::chrono::steady_clock;

// Requests of the largest msize that the ring shall have room for at once: a reader need not wait for a writer.
constexpr uint32_t kAtOnce = 2;
// Reads of the stream before replies are looked at again.
constexpr int kReadsInARow = 8;
// Pieces of replies to write at once; a single reply may add as many as the ring has slots. sendmsg takes 1,024.
constexpr size_t kManyPieces = 512;

}  // namespace

Relay::Relay(Link& link, const RelayOptions& options)
    : link_(link),
      options_(options),
      max_msize_(std::min(options.max_msize, link.ring()->MaxMsize(kAtOnce))),
      buffer_(max_msize_),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      calls_(std::make_unique<Call[]>(kCalls)),
      ring_(link.ring()) {
  for (size_t i = kCalls; i > 0; --i) {
    calls_[i - 1].relay = this;
    free_.push_back(&calls_[i - 1]);
  }
  // From here on nothing grows: this may run where memory is to be had only by writing through this relay.
  for (std::vector<Call*>* list : {&waiting_, &output_, &failed_flushes_, &done_, &finishing_}) list->reserve(kCalls);
  doubtful_.reserve(2 * kCalls);
  pieces_.reserve(kManyPieces + XEN_VIRTFS_SLOTS_PER_PAGE);
}

Relay::~Relay() = default;

absl::Status Relay::Serve(int stream, int stop) {
  loop_ = std::this_thread::get_id();
  stream_ = stream;
  buffer_.Clear();
  readable_ = true;
  blocked_ = version_pending_ = session_ = lost_ = false;
  msize_ = max_msize_;
  hold_until_ = steady_clock::now() + options_.patience;
  doubtful_.clear();
  end_.reset();
  while (!end_) {
    TakeAnswers();
    FollowLink();
    SendWaiting();
    TakeFrames();
    if (readable_ && InputWanted()) ReadStream();
    // What was written gave room back to what waits.
    const bool more = WriteStream() && (blocked_ || !waiting_.empty() || !buffer_.held().empty());
    if (!end_ && !more && !(readable_ && InputWanted())) Wait(stop);
  }
  stream_ = -1;
  Clear();
  return *end_;
}

void Relay::Wait(int stop) {
  {
    const std::lock_guard lock(done_mutex_);
    if (!done_.empty()) return;
  }
  const short input = InputWanted() ? POLLIN : 0;
  const short output = output_.empty() ? 0 : POLLOUT;
  const int link = ring_ == nullptr ? link_.changed_fd() : failing_ ? -1 : ring_->failed_fd();
  std::array<pollfd, 4> fds = {{{wake_.get(), POLLIN, 0},
                                {stop, POLLIN, 0},
                                {link, POLLIN, 0},
                                {stream_, static_cast<short>(input | output), 0}}};
  const Deadline deadline = Holding() ? hold_until_ : Deadline::max();
  if (ring_ != nullptr) {
    ring_->ReceiveOr(fds, deadline);
  } else {
    poll(fds.data(), fds.size(), PollTimeout(deadline));
  }
  eventfd_t count;
  if (fds[0].revents != 0) eventfd_read(wake_.get(), &count);
  if (fds[1].revents != 0) end_ = absl::CancelledError("the relay was told to end");
  if (fds[2].revents != 0 && ring_ != nullptr) failing_ = true;
  if (fds[2].revents != 0 && ring_ == nullptr) eventfd_read(link, &count);
  if ((fds[3].revents & POLLIN) != 0) readable_ = true;
  // Nobody is there to read a reply. If input is wanted, read what there is and come to the end that way.
  if ((fds[3].revents & (POLLHUP | POLLERR)) != 0) {
    if (input == 0) end_ = absl::OkStatus();
    readable_ = true;
  }
}

// Whether more of the stream is of use now.
bool Relay::InputWanted() { return !end_ && !blocked_ && !version_pending_ && !Holding() && !buffer_.Room().empty(); }

void Relay::ReadStream() {
  for (int i = 0; i < kReadsInARow && InputWanted(); ++i) {
    const std::span<uint8_t> room = buffer_.Room();
    const ssize_t got = recv(stream_, room.data(), room.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      readable_ = false;
      return;
    }
    if (got <= 0) {
      if (got < 0) {
        end_ = absl::UnavailableError(absl::StrCat("the client's connection broke: ", Errno::Last().message()));
      } else if (buffer_.partial()) {
        end_ = absl::InvalidArgumentError("the client closed the stream within a message");
      } else {
        end_ = absl::OkStatus();
      }
      return;
    }
    buffer_.Filled(static_cast<size_t>(got));
    TakeFrames();
    if (static_cast<size_t>(got) < room.size()) {
      readable_ = false;
      return;
    }
  }
}

// Takes frames off the buffer until one cannot be taken now.
void Relay::TakeFrames() {
  blocked_ = false;
  while (!end_ && !version_pending_ && !Holding()) {
    const absl::StatusOr<std::span<uint8_t>> frame = buffer_.Next(session_ ? msize_ : max_msize_);
    if (!frame.ok()) {
      end_ = frame.status();
      return;
    }
    if (frame->empty()) return;
    if (!TakeFrame(*frame)) {
      blocked_ = true;
      return;
    }
  }
}

bool Relay::TakeFrame(std::span<uint8_t> frame) {
  const uint8_t type = p9::ParseHeader(frame)->type;
  const bool urgent = IsUrgent(type);
  if (type == p9::Tversion::kType) {
    GiveUpWaiting(EINTR);
    Drain();
  }
  // Two: a Tflush, and the answer to what it takes back.
  if (free_.size() < (urgent ? 2 : kSpareCalls + 1)) return false;
  if (type == p9::Tflush::kType) TakeBack(OldTag(frame));
  Call& call = NewCall(frame);
  if (Hopeless(type)) {
    buffer_.Take(frame.size());
    AnswerUnsent(call, EIO);
    return true;
  }
  version_pending_ = type == p9::Tversion::kType;
  const bool in_turn = urgent || (waiting_.empty() && buffer_.held().empty());
  if (in_turn && Send(call) == RingClient::Taken::kYes) {
    buffer_.Take(frame.size());
    return true;
  }
  if (call.ring.payload.empty()) {
    call.state = Call::State::kWaiting;
    waiting_.push_back(&call);
    buffer_.Take(frame.size());
    return true;
  }
  Free(call);
  version_pending_ = false;
  if (!buffer_.held().empty()) return false;
  buffer_.Hold(frame.size());
  return true;
}

// Answers a request that was not sent yet, if there is one with this tag. The Tflush itself goes on to the backend.
bool Relay::TakeBack(p9::Tag tag) {
  const auto found =
      std::find_if(waiting_.begin(), waiting_.end(), [&](Call* call) { return call->header.tag == tag; });
  if (found != waiting_.end()) {
    Call& call = **found;
    waiting_.erase(found);
    AnswerUnsent(call, EINTR);
    return true;
  }
  const std::span<uint8_t> held = buffer_.held();
  if (held.empty() || p9::ParseHeader(held)->tag != tag) return false;
  Call& call = NewCall(held);
  buffer_.DropHeld();
  AnswerUnsent(call, EINTR);
  return true;
}

void Relay::SendWaiting() {
  if (Holding()) return;
  if (Hopeless(0)) GiveUpWaiting(EIO);
  if (ring_ == nullptr) return;
  bool room = SendHeld();
  for (auto next = waiting_.begin(); next != waiting_.end();) {
    Call& call = **next;
    if (!room && !call.ring.urgent) {
      ++next;
      continue;
    }
    switch (Send(call)) {
      case RingClient::Taken::kYes:
        next = waiting_.erase(next);
        break;
      case RingClient::Taken::kNoRoom:
        room = room && call.ring.urgent;
        ++next;
        break;
      case RingClient::Taken::kOver:
        return;
    }
  }
}

// True if no frame is held any more.
bool Relay::SendHeld() {
  const std::span<uint8_t> held = buffer_.held();
  if (held.empty()) return true;
  if (free_.size() <= kSpareCalls) return false;
  Call& call = NewCall(held);
  if (Send(call) != RingClient::Taken::kYes) {
    Free(call);
    return false;
  }
  buffer_.DropHeld();
  return true;
}

// Answers all that was not sent.
void Relay::GiveUpWaiting(int error) {
  for (Call* call : waiting_) AnswerUnsent(*call, error);
  waiting_.clear();
  if (const std::span<uint8_t> held = buffer_.held(); !held.empty() && !free_.empty()) {
    Call& call = NewCall(held);
    buffer_.DropHeld();
    AnswerUnsent(call, error);
  }
}

// Puts what is done into the output.
void Relay::TakeAnswers() {
  {
    const std::lock_guard lock(done_mutex_);
    std::swap(done_, finishing_);
  }
  for (Call* call : finishing_) Finish(*call);
  finishing_.clear();
  // A client takes an Rflush for the end of the request that was flushed.
  std::erase_if(failed_flushes_, [this](Call* call) {
    if (InFlight(OldTag(call->ring.head))) return false;
    Answer(*call, 0);
    return true;
  });
}

// Goes from one connection of the link to the next.
void Relay::FollowLink() {
  if (failing_ && in_flight_ == 0 &&
      std::none_of(output_.begin(), output_.end(), [](const Call* call) { return call->ring.lent(); })) {
    options_.log(absl::StrCat("the backend has ended the connection: ", ring_->fault()));
    failing_ = false;
    ring_ = nullptr;
    hold_until_ = steady_clock::now() + options_.patience;
    link_.Renew();
  }
  if (ring_ != nullptr) return;
  ring_ = link_.ring();
  if (ring_ == nullptr) {
    if (link_.gone()) hold_until_ = {};
    return;
  }
  ++statistics_.reconnections;
  if (session_ && !link_.session_goes_on()) lost_ = true;
  options_.log(lost_ ? "the backend is back without the session: what its client has open answers EIO until it mounts "
                       "or connects anew"
                     : "the backend is back");
  if (session_ && !lost_) ClunkDoubtful();
  // One that an earlier stream left.
  if (!session_ && link_.session_goes_on()) EndSession();
  doubtful_.clear();
}

// Writes replies as far as the stream takes them. True if any is written and its room free.
bool Relay::WriteStream() {
  size_t freed = 0;
  while (!end_ && !output_.empty()) {
    pieces_.clear();
    for (const Call* call : output_) {
      pieces_.push_back(
          {const_cast<uint8_t*>(call->reply.data()), std::min<size_t>(call->ring.reply_size, call->ring.reply.size())});
      if (call->ring.lent()) ring_->LentTo(call->ring, pieces_);
      if (pieces_.size() >= kManyPieces) break;
    }
    size_t skip = written_;
    iovec* first = pieces_.data();
    for (; skip >= first->iov_len; ++first) skip -= first->iov_len;
    first->iov_base = static_cast<uint8_t*>(first->iov_base) + skip;
    first->iov_len -= skip;
    msghdr message = {};
    message.msg_iov = first;
    message.msg_iovlen = pieces_.size() - static_cast<size_t>(first - pieces_.data());
    const ssize_t sent = sendmsg(stream_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      // A client that goes is no error; reading finds out how.
      if (errno != EAGAIN && errno != EWOULDBLOCK) end_ = absl::OkStatus();
      break;
    }
    written_ += static_cast<size_t>(sent);
    auto next = output_.begin();
    for (; next != output_.end() && written_ >= (*next)->ring.reply_size; ++next) {
      written_ -= (*next)->ring.reply_size;
      Free(**next);
      ++freed;
    }
    output_.erase(output_.begin(), next);
  }
  return freed > 0;
}

}  // namespace virtfs::frontend
