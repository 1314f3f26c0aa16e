#include "frontend/ring_client.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "frontend/fake_backend.h"
#include "frontend/p9_client.h"
#include "frontend/remote_file.h"
#include "gtest/gtest.h"

namespace virtfs::frontend {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

Deadline In(milliseconds time) { return steady_clock::now() + time; }

template <p9::Message M>
std::vector<uint8_t> Frame(p9::Tag tag, const M& message, std::span<const uint8_t> payload = {}) {
  std::vector<uint8_t> frame(p9::EncodedSize(message));
  p9::Encode(tag, message, frame);
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

// A file of 300,007 bytes behind every fid; everything else succeeds, or is held if its fid is kHeld.
constexpr p9::Fid kHeld = 77;

std::vector<uint8_t> FileBytes() {
  std::vector<uint8_t> bytes(300'007);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7 + (i >> 12));
  return bytes;
}

FakeBackend::Answer Serve(const FakeBackend::Chain& chain) {
  static const std::vector<uint8_t> file = FileBytes();
  const p9::Header header = *p9::ParseHeader(chain.request);
  const std::span<const uint8_t> head =
      std::span(chain.request).first(p9::HeadSize(header.type, static_cast<uint32_t>(chain.request.size())));
  switch (header.type) {
    case p9::Tversion::kType:
      return {.reply = Frame(header.tag, p9::Rversion{p9::Decode<p9::Tversion>(head)->msize, p9::kVersion})};
    case p9::Tgetattr::kType: {
      const p9::Tgetattr request = *p9::Decode<p9::Tgetattr>(head);
      if (request.fid == kHeld) return {.hold = true};
      p9::Rgetattr reply;
      reply.size = request.fid;
      return {.reply = Frame(header.tag, reply)};
    }
    case p9::Tread::kType: {
      const p9::Tread request = *p9::Decode<p9::Tread>(head);
      const uint64_t from = std::min<uint64_t>(request.offset, file.size());
      const uint64_t count = std::min<uint64_t>(request.count, file.size() - from);
      return {.reply =
                  Frame(header.tag, p9::Rread{static_cast<uint32_t>(count)}, std::span(file).subspan(from, count))};
    }
    case p9::Tclunk::kType:
      return {.reply = Frame(header.tag, p9::Rclunk())};
    default:
      return {.reply = Frame(header.tag, p9::Rlerror{EOPNOTSUPP})};
  }
}

class RingClientTest : public ::testing::Test {
 protected:
  void Start(FakeBackend::Handler handler = Serve, RingOptions options = {.max_chain_slots = 252, .persistent = true}) {
    ring_ = *RingClient::Create(options);
    backend_ = std::make_unique<FakeBackend>(ring_->ring_ref(), std::move(handler));
    client_ = std::make_unique<P9Client>(*ring_, seconds(20));
  }

  void TearDown() override {
    client_.reset();
    backend_.reset();
    ring_.reset();
    FakeBackend::LimitGrants(0);
    EXPECT_EQ(FakeBackend::granted(), 0U);
  }

  std::unique_ptr<RingClient> ring_;
  std::unique_ptr<FakeBackend> backend_;
  std::unique_ptr<P9Client> client_;
};

TEST(ChainLayout, SmallExchangeTakesOnePage) {
  ChainLayout layout;
  layout.Assign({.head = 19, .reply = 160}, true);
  EXPECT_EQ(layout.request, (std::vector<Segment>{{0, 0, 19}}));
  EXPECT_EQ(layout.reply, (std::vector<Segment>{{0, 19, 160}}));
  EXPECT_EQ(layout.request_pages + layout.reply_pages, 1);
}

TEST(ChainLayout, DataLieInWholePages) {
  ChainLayout layout;
  layout.Assign({.head = 23, .reply = 11, .data = 8192}, true);
  EXPECT_EQ(layout.request, (std::vector<Segment>{{0, 0, 23}}));
  EXPECT_EQ(layout.reply, (std::vector<Segment>{{0, 23, 11}, {1, 0, 4096}, {2, 0, 4096}}));
  layout.Assign({.head = 23, .payload = 4097, .reply = 11}, true);
  EXPECT_EQ(layout.request, (std::vector<Segment>{{0, 0, 23}, {1, 0, 4096}, {2, 0, 1}}));
  EXPECT_EQ(layout.reply, (std::vector<Segment>{{2, 1, 11}}));
}

TEST(ChainLayout, HalvesShareNoPageThatIsReadOnly) {
  ChainLayout layout;
  layout.Assign({.head = 19, .reply = 160}, false);
  EXPECT_EQ(layout.request_pages, 1);
  EXPECT_EQ(layout.reply, (std::vector<Segment>{{1, 0, 160}}));
}

TEST_F(RingClientTest, LargestMessageFits) {
  for (const bool persistent : {true, false}) {
    Start(Serve, {.max_chain_slots = 252, .persistent = persistent});
    ASSERT_TRUE(client_->Version(XEN_VIRTFS_MAX_MSIZE).ok());
    EXPECT_EQ(client_->msize(), ring_->max_msize());
    std::vector<uint8_t> data(client_->msize() - p9::kIoHeaderSize);
    const Result<p9::Rread> reply = client_->Call(p9::Tread{1, 0, static_cast<uint32_t>(data.size())}, {}, data);
    ASSERT_TRUE(reply.ok());
    EXPECT_EQ(reply->count, 300'007U);
    data.resize(reply->count);
    EXPECT_EQ(data, FileBytes());
    std::vector<uint8_t> larger(client_->msize() + 4096);
    EXPECT_EQ(client_->Call(p9::Tread{1, 0, 1}, {}, larger).error(), Errno(EMSGSIZE));
    client_.reset();
    backend_.reset();
    ring_.reset();
  }
}

TEST_F(RingClientTest, GrantsAreHalvedToTheKernelsLimit) {
  FakeBackend::LimitGrants(70);
  Start();
  EXPECT_EQ(ring_->max_msize(), (64U - 3) * 4096 + 24);
  ASSERT_TRUE(client_->Version(XEN_VIRTFS_MAX_MSIZE).ok());
  EXPECT_EQ(client_->msize(), ring_->max_msize());
  FakeBackend::LimitGrants(0);
}

TEST_F(RingClientTest, NoPagesAtAllIsSaid) {
  FakeBackend::LimitGrants(5);
  EXPECT_EQ(RingClient::Create({.max_chain_slots = 252, .persistent = true}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(RingClientTest, RepliesFindTheirRequests) {
  Start();
  // More than the ring and the pool can hold at once, from several threads, large and small.
  const std::vector<uint8_t> file = FileBytes();
  std::vector<std::thread> threads;
  for (p9::Fid first = 0; first < 4; ++first) {
    threads.emplace_back([&, first] {
      std::vector<std::unique_ptr<Exchange<p9::Tgetattr>>> exchanges(100);
      std::vector<uint8_t> data(200'000);
      for (int round = 0; round < 20; ++round) {
        for (p9::Fid i = 0; i < exchanges.size(); ++i) {
          exchanges[i] = std::make_unique<Exchange<p9::Tgetattr>>(*client_);
          exchanges[i]->Start({1000 * (first + 1) + i, p9::kGetattrBasic});
        }
        const Result<p9::Rread> read = client_->Call(p9::Tread{1, first, 200'000}, {}, data);
        ASSERT_TRUE(read.ok());
        ASSERT_TRUE(std::equal(data.begin(), data.end(), file.begin() + first));
        for (p9::Fid i = 0; i < exchanges.size(); ++i) {
          const Result<p9::Rgetattr> reply = exchanges[i]->Wait();
          ASSERT_TRUE(reply.ok());
          ASSERT_EQ(reply->size, 1000 * (first + 1) + i);
        }
        client_->ClunkLater(client_->NewFid());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(RingClientTest, SmallIdleExchangesUseOnePageAndTwoSlots) {
  std::vector<xen_virtfsif_request> slots;
  Start([&](const FakeBackend::Chain& chain) {
    slots = chain.slots;
    return Serve(chain);
  });
  ASSERT_TRUE(client_->Call(p9::Tgetattr{5, p9::kGetattrBasic}).ok());
  ASSERT_EQ(slots.size(), 2U);
  EXPECT_EQ(slots[0].gref, slots[1].gref);
  EXPECT_EQ(slots[0].flags, XEN_VIRTFSF_MORE);
  EXPECT_EQ(slots[1].flags, XEN_VIRTFSF_WRITE);
}

TEST_F(RingClientTest, FullRingStillTakesFlush) {
  Start();
  std::vector<std::unique_ptr<Exchange<p9::Tgetattr>>> blocked(200);
  for (auto& exchange : blocked) {
    exchange = std::make_unique<Exchange<p9::Tgetattr>>(*client_);
    exchange->Start({kHeld, p9::kGetattrBasic});
  }
  // 252 slots of 256, two for each.
  while (backend_->held() < 126) std::this_thread::yield();
  EXPECT_EQ(client_->Call(p9::Tflush{0}).error(), Errno(EOPNOTSUPP));
  EXPECT_TRUE(client_->Call(p9::Tclunk{3}).ok());
  // One that is still in our own queue is taken back without asking anybody.
  blocked.back()->Flush();
  EXPECT_EQ(blocked.back()->Wait().error(), Errno(EINTR));
  blocked.pop_back();
  do {
    backend_->Release();
  } while (!ring_->WaitIdle(In(milliseconds(1))));
  // They are answered without the fields of an Rgetattr.
  for (auto& exchange : blocked) EXPECT_EQ(exchange->Wait().error(), Errno(EPROTO));
}

TEST_F(RingClientTest, StatusFailsTheCallOnly) {
  bool bad = true;
  Start([&](const FakeBackend::Chain& chain) -> FakeBackend::Answer {
    if (std::exchange(bad, false)) return {.status = XEN_VIRTFS_STATUS_BAD_GREF};
    return Serve(chain);
  });
  EXPECT_EQ(client_->Call(p9::Tgetattr{1, 0}).error(), Errno(EIO));
  EXPECT_TRUE(client_->Call(p9::Tgetattr{1, 0}).ok());
  EXPECT_EQ(ring_->fault(), "");
}

TEST_F(RingClientTest, BackendThatBreaksTheRulesIsLeft) {
  using Answer = FakeBackend::Answer;
  const auto reply = [](const FakeBackend::Chain& chain) { return Serve(chain).reply; };
  const std::vector<FakeBackend::Handler> handlers = {
      [&](const auto& chain) -> Answer { return {.reply = reply(chain), .wrong_id = 1}; },
      [&](const auto& chain) -> Answer { return {.reply = reply(chain), .wrong_id = 1 << 8}; },
      [&](const auto& chain) -> Answer {  // Longer than its room.
        Answer answer{.reply = reply(chain)};
        answer.reply[0]++;
        return answer;
      },
      [&](const auto& chain) -> Answer {  // Shorter than a header.
        Answer answer{.reply = reply(chain)};
        answer.reply[0] = 6;
        return answer;
      },
      [&](const auto& chain) -> Answer {  // Another tag.
        Answer answer{.reply = reply(chain)};
        answer.reply[5]++;
        return answer;
      },
      [&](const auto& chain) -> Answer {  // Another type.
        Answer answer{.reply = reply(chain)};
        answer.reply[4] = p9::Rclunk::kType;
        return answer;
      },
  };
  for (const FakeBackend::Handler& handler : handlers) {
    Start(handler);
    EXPECT_EQ(client_->Call(p9::Tgetattr{1, 0}).error(), Errno(EIO));
    EXPECT_NE(ring_->fault(), "");
    // For good.
    EXPECT_EQ(client_->Call(p9::Tgetattr{1, 0}).error(), Errno(EIO));
    client_.reset();
    backend_.reset();
    ring_.reset();
  }
}

TEST_F(RingClientTest, ResponsesThatNobodyAskedForAreAFault) {
  for (const uint32_t claim : {1U, 0xffffffffU, 0x80000000U}) {
    Start();
    {
      Exchange<p9::Tgetattr> held(*client_);
      held.Start({kHeld, 0});
      while (backend_->held() < 1) std::this_thread::yield();
      backend_->ClaimResponses(claim == 1 ? 3 : claim);
      EXPECT_EQ(held.Wait().error(), Errno(EIO));
      EXPECT_NE(ring_->fault(), "");
    }
    client_.reset();
    backend_.reset();
    ring_.reset();
  }
}

TEST_F(RingClientTest, FailureEndsEveryWait) {
  Start();
  std::vector<std::thread> threads;
  std::atomic<int> failed = 0;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      if (client_->Call(p9::Tgetattr{kHeld, 0}).error() == Errno(EIO)) ++failed;
    });
  }
  while (backend_->held() < 4) std::this_thread::yield();
  ring_->Fail("the test says so");
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 4);
  EXPECT_EQ(ring_->fault(), "the test says so");
}

// virtfs-client once ran for ten seconds after its server was killed: a thread in WaitIdle looked again and again, with
// the lock that the thread which had told the last call needed to say so.
TEST_F(RingClientTest, WhoWaitsAfterAFailureLeavesTheLockToWhoEndsIt) {
  Start();
  struct {
    std::latch told{1}, may_return{1};
  } gate;
  const std::vector<uint8_t> head = Frame(1, p9::Tgetattr{kHeld, 0});
  std::vector<uint8_t> reply(p9::kMinHeadSize<p9::Rgetattr>);
  RingCall call;
  call.head = head;
  call.reply = reply;
  call.context = &gate;
  call.on_done = [](RingCall& done) {
    auto& at = *static_cast<decltype(gate)*>(done.context);
    at.told.count_down();
    at.may_return.wait();
  };
  ring_->Submit(call);
  while (backend_->held() < 1) std::this_thread::yield();
  std::thread fails([&] { ring_->Fail("the test says so"); });
  gate.told.wait();
  std::atomic<bool> waits = false;
  std::thread waiter([&] {
    waits = true;
    EXPECT_TRUE(ring_->WaitIdle(In(seconds(10))));
  });
  while (!waits) std::this_thread::yield();
  // Each needs the lock.
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(ring_->fault(), "the test says so");
    std::this_thread::yield();
  }
  gate.may_return.count_down();
  fails.join();
  waiter.join();
}

TEST_F(RingClientTest, SessionThatGoesOnForgetsWhatWasAtStake) {
  std::vector<p9::Fid> clunked;
  std::mutex mutex;
  const auto serve = [&](const FakeBackend::Chain& chain) -> FakeBackend::Answer {
    const p9::Header header = *p9::ParseHeader(chain.request);
    if (header.type == p9::Twalk::kType) return {.hold = true};
    if (header.type == p9::Tclunk::kType) {
      const std::lock_guard lock(mutex);
      clunked.push_back(p9::Decode<p9::Tclunk>(chain.request)->fid);
    }
    return Serve(chain);
  };
  Start(serve);
  const p9::Fid lost = 0;
  std::thread walk([&] { EXPECT_EQ(client_->Walk(5).error(), Errno(EIO)); });
  while (backend_->held() < 1) std::this_thread::yield();
  ring_->Fail("upgrade");
  walk.join();
  // Until the session is known to go on, the fid that the walk may have made is not given out again.
  EXPECT_NE(client_->NewFid(), lost);
  backend_.reset();
  std::unique_ptr<RingClient> next = *RingClient::Create({.max_chain_slots = 252, .persistent = true});
  backend_ = std::make_unique<FakeBackend>(next->ring_ref(), serve);
  client_->Resume(*next, true);
  EXPECT_TRUE(next->WaitIdle(In(seconds(20))));
  EXPECT_EQ(clunked, std::vector<p9::Fid>{lost});
  EXPECT_EQ(client_->NewFid(), lost);
  client_.reset();
  backend_.reset();
}

TEST_F(RingClientTest, SlowReplyIsFlushedThenGivenUp) {
  std::atomic<bool> flushed = false;
  Start([&](const FakeBackend::Chain& chain) {
    if (p9::ParseHeader(chain.request)->type == p9::Tflush::kType) flushed = true;
    return Serve(chain);
  });
  // This backend refuses the Tflush, and answers what it names only afterwards.
  P9Client impatient(*ring_, milliseconds(20));
  Exchange<p9::Tgetattr> held(impatient);
  held.Start({kHeld, 0});
  std::thread release([&] {
    while (!flushed) std::this_thread::yield();
    backend_->Release();
  });
  EXPECT_EQ(held.Wait().error(), Errno(EPROTO));
  release.join();
}

TEST_F(RingClientTest, RemoteReaderReadsAllWhateverItExpects) {
  Start();
  const std::vector<uint8_t> file = FileBytes();
  for (const uint64_t expected :
       {uint64_t{0}, uint64_t{1}, uint64_t{300'007}, uint64_t{299'000}, uint64_t{1'000'000}}) {
    RemoteReader reader(*client_, 1, expected, {.chunk = 3000, .depth = 7});
    std::vector<uint8_t> got;
    for (;;) {
      const Result<std::span<const uint8_t>> bytes = reader.Next();
      ASSERT_TRUE(bytes.ok());
      if (bytes->empty()) break;
      got.insert(got.end(), bytes->begin(), bytes->end());
    }
    const uint64_t size = expected == 0 ? file.size() : std::min<uint64_t>(expected, file.size());
    ASSERT_EQ(got.size(), size);
    EXPECT_TRUE(std::equal(got.begin(), got.end(), file.begin()));
  }
}

}  // namespace
}  // namespace virtfs::frontend
