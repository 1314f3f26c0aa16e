#include "frontend/relay/relay.h"

#include <gmock/gmock.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "frontend/fake_backend.h"
#include "frontend/relay/stream_client.h"

namespace virtfs::frontend {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

constexpr p9::Fid kHeld = 77;   // What asks for it is not answered before Release.
constexpr p9::Fid kWrong = 78;  // A read of it claims more than it gives.
constexpr seconds kBound(20);

uint8_t Byte(uint64_t offset) { return static_cast<uint8_t>(offset * 13 + (offset >> 10)); }

// A link to a FakeBackend, which the test takes away and gives back.
class FakeLink : public Link {
 public:
  explicit FakeLink(uint32_t pages) : changed_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { Connect(pages); }
  ~FakeLink() override {
    // The ring's pages are the backend's until then.
    backend_.reset();
  }

  RingClient* ring() override {
    const std::lock_guard lock(mutex_);
    return up_ ? ring_.get() : nullptr;
  }
  bool session_goes_on() override {
    const std::lock_guard lock(mutex_);
    return goes_on_;
  }
  void Renew() override {
    const std::scoped_lock lock(breaking_, mutex_);
    up_ = gone_ = false;
    backend_.reset();
    ring_.reset();
    down_.notify_all();
  }
  bool gone() override {
    const std::lock_guard lock(mutex_);
    return gone_;
  }
  int changed_fd() const override { return changed_.get(); }

  // As a device's thread does that sees its backend Closed; a device joins it before the ring goes.
  void Break() {
    const std::lock_guard breaking(breaking_);
    ring()->Fail("the test says so");
  }
  bool AwaitDown() {
    std::unique_lock lock(mutex_);
    return down_.wait_for(lock, kBound, [this] { return !up_; });
  }
  void Return(bool goes_on) {
    const std::lock_guard lock(mutex_);
    goes_on_ = goes_on;
    Connect(256);
    eventfd_write(changed_.get(), 1);
  }

  void TakeAway() {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    eventfd_write(changed_.get(), 1);
  }

  FakeBackend& backend() { return *backend_; }

  // What the backend was asked, as "type fid", since the last call.
  std::vector<std::string> Asked() {
    const std::lock_guard lock(asked_mutex_);
    return std::exchange(asked_, {});
  }

 private:
  void Connect(uint32_t pages) {
    ring_ = *RingClient::Create({.max_chain_slots = 252, .persistent = true, .pages = pages});
    backend_ = std::make_unique<FakeBackend>(ring_->ring_ref(), [this](const auto& chain) { return Serve(chain); });
    up_ = true;
  }

  FakeBackend::Answer Serve(const FakeBackend::Chain& chain) {
    const p9::Header header = *p9::ParseHeader(chain.request);
    // The field behind the header is the fid, but for these; a Tflush has the tag of what it flushes there.
    const bool has_fid = header.type != p9::Tversion::kType && header.type != p9::Tflush::kType;
    p9::Fid fid = 0;
    if (has_fid) std::memcpy(&fid, chain.request.data() + p9::kHeaderSize, sizeof(fid));
    if (header.type == p9::Tflush::kType) fid = p9::Decode<p9::Tflush>(chain.request)->oldtag;
    {
      const std::lock_guard lock(asked_mutex_);
      asked_.push_back(std::to_string(header.type) + (has_fid ? " " + std::to_string(fid) : ""));
    }
    if (fid == kHeld && header.type != p9::Tclunk::kType) return {.hold = true};
    const auto answer = [&](const auto& reply) { return FakeBackend::Answer{StreamClient::Frame(header.tag, reply)}; };
    switch (header.type) {
      case p9::Tversion::kType:
        return answer(p9::Rversion{p9::Decode<p9::Tversion>(chain.request)->msize, p9::kVersion});
      case p9::Tattach::kType:
        return answer(p9::Rattach());
      case p9::Tgetattr::kType:
        return answer(p9::Rgetattr());
      case p9::Tclunk::kType:
        return answer(p9::Rclunk());
      case p9::Tflush::kType:
        return answer(p9::Rflush());
      case p9::Twrite::kType:
        return answer(p9::Rwrite{static_cast<uint32_t>(chain.request.size() - p9::kMinHeadSize<p9::Twrite>)});
      case p9::Tread::kType: {
        const p9::Tread read = *p9::Decode<p9::Tread>(chain.request);
        std::vector<uint8_t> data(read.count);
        for (size_t i = 0; i < data.size(); ++i) data[i] = Byte(read.offset + i);
        FakeBackend::Answer reply{StreamClient::Frame(header.tag, p9::Rread{read.count}, data)};
        if (fid == kWrong) reply.reply[p9::kHeaderSize] ^= 1;
        return reply;
      }
      default:
        return answer(p9::Rlerror{EOPNOTSUPP});
    }
  }

  UniqueFd changed_;
  std::mutex breaking_;
  std::mutex mutex_;
  std::condition_variable down_;
  std::unique_ptr<RingClient> ring_;
  std::unique_ptr<FakeBackend> backend_;
  bool up_ = false;
  bool goes_on_ = false;
  bool gone_ = false;
  std::mutex asked_mutex_;
  std::vector<std::string> asked_;
};

class RelayTest : public ::testing::Test {
 protected:
  void Start(uint32_t pages = 256, milliseconds patience = kBound) {
    link_ = std::make_unique<FakeLink>(pages);
    relay_ = std::make_unique<Relay>(*link_, RelayOptions{.patience = patience});
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    stream_.reset(sockets[0]);
    client_ = StreamClient(sockets[1]);
    serving_ = std::thread([this] { end_ = relay_->Serve(stream_.get(), -1); });
  }
  void StartSession() {
    Start();
    client_.Begin();
    link_->Asked();
  }
  void Stop() {
    client_.Close();
    if (serving_.joinable()) serving_.join();
  }
  void TearDown() override {
    // A request that is never answered would be waited for.
    if (link_ != nullptr && link_->ring() != nullptr) link_->backend().Release();
    Stop();
    relay_.reset();
    link_.reset();
    EXPECT_EQ(FakeBackend::granted(), 0U);
  }

  void SendGetattr(p9::Tag tag, p9::Fid fid) { client_.Send(tag, p9::Tgetattr{fid, p9::kGetattrBasic}); }
  bool AwaitHeld(size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + kBound;
    while (link_->backend().held() != count) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  std::unique_ptr<FakeLink> link_;
  std::unique_ptr<Relay> relay_;
  UniqueFd stream_;
  StreamClient client_;
  std::thread serving_;
  absl::Status end_;
};

TEST_F(RelayTest, ASessionThatGoesOnKeepsItsFidsAndLosesWhatWasInFlight) {
  StartSession();
  client_.Send(1, p9::Twalk{kHeld, 5, {}});
  client_.Send(2, p9::Tlopen{kHeld, 0});
  ASSERT_TRUE(AwaitHeld(2));
  link_->Break();
  std::vector<p9::Tag> tags;
  for (int i = 0; i < 2; ++i) {
    const std::vector<uint8_t> reply = client_.Receive();
    ASSERT_FALSE(reply.empty());
    EXPECT_EQ(p9::DecodeReply<p9::Twalk>(reply).error(), Errno(EIO));
    tags.push_back(p9::ParseHeader(reply)->tag);
  }
  EXPECT_THAT(tags, testing::UnorderedElementsAre(1, 2));
  ASSERT_TRUE(link_->AwaitDown());
  // This one comes while nobody is there, and is neither lost nor refused.
  SendGetattr(3, 9);
  link_->Asked();
  link_->Return(true);
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(3), Errno(0));
  // No Tversion; first the fids of which nobody knows what became, then what waited. Nothing is sent a second time.
  std::vector<std::string> asked = link_->Asked();
  ASSERT_EQ(asked.size(), 3U);
  std::sort(asked.begin(), asked.begin() + 2);
  EXPECT_THAT(asked, ElementsAre("120 5", "120 77", "24 9"));
}

TEST_F(RelayTest, ASessionThatIsLostAnswersEioUntilANewOneBegins) {
  StartSession();
  link_->Break();
  ASSERT_TRUE(link_->AwaitDown());
  link_->Return(false);
  SendGetattr(1, 9);
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(1), Errno(EIO));
  client_.Send(2, p9::Tclunk{9});
  EXPECT_EQ(client_.ReceiveError<p9::Tclunk>(2), Errno(0));
  client_.Send(3, p9::Tflush{9});
  EXPECT_EQ(client_.ReceiveError<p9::Tflush>(3), Errno(0));
  client_.Send(4, p9::Twrite{9, 0, 5000}, std::vector<uint8_t>(5000));
  EXPECT_EQ(client_.ReceiveError<p9::Twrite>(4), Errno(EIO));
  EXPECT_THAT(link_->Asked(), ElementsAre());
  client_.Begin();
  SendGetattr(5, 9);
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(5), Errno(0));
}

TEST_F(RelayTest, PatienceEndsAndFidsThatWereGivenUpMeanwhileAreClunkedLater) {
  Start(256, milliseconds(50));
  client_.Begin();
  link_->Break();
  ASSERT_TRUE(link_->AwaitDown());
  SendGetattr(1, 9);
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(1), Errno(EIO));
  client_.Send(2, p9::Tclunk{9});
  EXPECT_EQ(client_.ReceiveError<p9::Tclunk>(2), Errno(0));
  link_->Asked();
  link_->Return(true);
  // The session goes on, and now without fid 9.
  const auto deadline = std::chrono::steady_clock::now() + kBound;
  std::vector<std::string> asked;
  while (asked.empty() && std::chrono::steady_clock::now() < deadline) asked = link_->Asked();
  EXPECT_THAT(asked, ElementsAre("120 9"));
  SendGetattr(3, 10);
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(3), Errno(0));
}

TEST_F(RelayTest, NobodyWaitsForAShareThatIsGone) {
  Start(256, std::chrono::hours(1));
  client_.Begin();
  link_->Break();
  ASSERT_TRUE(link_->AwaitDown());
  SendGetattr(1, 9);
  link_->TakeAway();
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(1), Errno(EIO));
  SendGetattr(2, 9);
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(2), Errno(EIO));
  // Should another come, the session is not its.
  link_->Return(false);
  client_.Begin();
  SendGetattr(3, 9);
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(3), Errno(0));
}

TEST_F(RelayTest, AFlushThatFailsIsAnsweredBehindWhatItFlushes) {
  StartSession();
  // Two at once, so that the ring's chains 0 and 1 are free in this order, and the last one freed is used first.
  std::vector<uint8_t> two = StreamClient::Frame(10, p9::Tgetattr{9, p9::kGetattrBasic});
  const std::vector<uint8_t> second = StreamClient::Frame(11, p9::Tgetattr{9, p9::kGetattrBasic});
  two.insert(two.end(), second.begin(), second.end());
  client_.SendBytes(two);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(client_.ReceiveHeader().type, p9::Rgetattr::kType);
  SendGetattr(kHeld, kHeld);
  client_.Send(1, p9::Tflush{kHeld});
  ASSERT_TRUE(AwaitHeld(2));
  link_->Break();
  // Chain by chain they fail in the other order. Linux's client ends a connection on which a reply comes behind the
  // Rflush.
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(kHeld), Errno(EIO));
  EXPECT_EQ(client_.ReceiveError<p9::Tflush>(1), Errno(0));
}

TEST_F(RelayTest, WhatStandsBehindTwoMessagesWithoutRoomIsServedInTheEnd) {
  // Room for 6 requests that wait, two more for Tflush and Tclunk.
  Start(8);
  client_.Begin();
  link_->Asked();
  constexpr p9::Tag kFull = 6;
  for (p9::Tag tag = 0; tag < kFull; ++tag) SendGetattr(tag, kHeld);
  ASSERT_TRUE(AwaitHeld(kFull));
  client_.Send(20, p9::Twrite{1, 0, 4000}, std::vector<uint8_t>(4000));
  SendGetattr(21, 1);
  client_.Send(22, p9::Twrite{1, 0, 4000}, std::vector<uint8_t>(4000));
  // One message without room is held, behind the second nothing is looked at.
  client_.Send(30, p9::Tflush{20});
  link_->backend().Release();
  std::vector<p9::Tag> tags;
  for (int i = 0; i < kFull + 4; ++i) {
    const std::vector<uint8_t> reply = client_.Receive();
    ASSERT_FALSE(reply.empty());
    tags.push_back(p9::ParseHeader(reply)->tag);
  }
  EXPECT_THAT(tags, testing::UnorderedElementsAre(0, 1, 2, 3, 4, 5, 20, 21, 22, 30));
}

TEST_F(RelayTest, FlushPassesByAMessageThatIsHeld) {
  Start(8);
  client_.Begin();
  constexpr p9::Tag kFull = 6;
  for (p9::Tag tag = 0; tag < kFull; ++tag) SendGetattr(tag, kHeld);
  ASSERT_TRUE(AwaitHeld(kFull));
  // No room: the first stays in the buffer, the second in the queue. Both were never sent.
  client_.Send(20, p9::Twrite{1, 0, 4000}, std::vector<uint8_t>(4000));
  SendGetattr(21, 1);
  client_.Send(30, p9::Tflush{21});
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(21), Errno(EINTR));
  EXPECT_EQ(client_.ReceiveError<p9::Tflush>(30), Errno(0));
  client_.Send(31, p9::Tflush{20});
  EXPECT_EQ(client_.ReceiveError<p9::Twrite>(20), Errno(EINTR));
  EXPECT_EQ(client_.ReceiveError<p9::Tflush>(31), Errno(0));
}

TEST_F(RelayTest, LargeRepliesComeWholeThroughASmallSocket) {
  StartSession();
  const int small = 4096;
  ASSERT_EQ(setsockopt(stream_.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
  constexpr uint32_t kSize = 300'001;
  for (p9::Tag tag = 0; tag < 20; ++tag) client_.Send(tag, p9::Tread{1, tag * uint64_t{1000}, kSize});
  for (int i = 0; i < 20; ++i) {
    const std::vector<uint8_t> reply = client_.Receive();
    ASSERT_EQ(reply.size(), p9::kMinHeadSize<p9::Rread> + kSize);
    const uint64_t offset = p9::ParseHeader(reply)->tag * uint64_t{1000};
    for (size_t k = 0; k < kSize; ++k) {
      ASSERT_EQ(reply[p9::kMinHeadSize<p9::Rread> + k], Byte(offset + k)) << k;
    }
  }
}

TEST_F(RelayTest, AReadThatLiesAboutItsDataIsAnError) {
  StartSession();
  for (const uint32_t count : {100U, 100'000U}) {
    client_.Send(1, p9::Tread{kWrong, 0, count});
    EXPECT_EQ(client_.ReceiveError<p9::Tread>(1), Errno(EIO));
  }
  client_.Send(2, p9::Tread{1, 0, 100'000});
  EXPECT_EQ(client_.ReceiveHeader().tag, 2);
}

TEST_F(RelayTest, TheEndOfAStreamEndsTheSession) {
  StartSession();
  SendGetattr(1, 9);
  EXPECT_EQ(client_.ReceiveError<p9::Tgetattr>(1), Errno(0));
  link_->Asked();
  Stop();
  EXPECT_TRUE(end_.ok()) << end_;
  EXPECT_THAT(link_->Asked(), ElementsAre("100"));
}

}  // namespace
}  // namespace virtfs::frontend
