// virtfs-relay as a process of the guest, driven through its socket: every byte goes through the real ring and server.

#include <csignal>
#include <numeric>
#include <set>

#include "frontend/relay/stream_client.h"
#include "tests/client_fixture.h"

namespace virtfs {
namespace {

constexpr p9::Fid kFile = 7;

class RelayTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    StartGuest();
    Share("share");
    address_ = "unix:" + Path("socket");
  }

  void StartRelay(std::vector<std::string> options = {}) {
    std::vector<std::string> argv = {Program("frontend/virtfs-relay"), "share", "--listen", address_};
    argv.insert(argv.end(), options.begin(), options.end());
    relay_ = xen_->Spawn(argv, kGuest);
    ASSERT_TRUE(relay_->WaitForOutput("msize at most"));
    // The port that was found.
    const std::string output = relay_->Output();
    const size_t begin = output.find(" on ") + 4;
    address_ = output.substr(begin, output.find(',', begin) - begin);
  }

  // Makes `name` in the share and opens it as kFile.
  void Create(StreamClient& client, const std::string& name) {
    ASSERT_TRUE(client.Call(Clone(kFile)).ok());
    ASSERT_TRUE(client.Call(p9::Tlcreate{kFile, name, p9::kOpenReadWrite, 0644, 0}).ok());
  }
  static p9::Twalk Clone(p9::Fid fid) { return {.fid = 0, .newfid = fid, .wname = {}}; }

  // A host's process that holds the file until Release: opening it waits.
  void Lease(const std::string& name) {
    signal(SIGIO, SIG_IGN);
    leased_.reset(open(Path(name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(fcntl(leased_.get(), F_SETLEASE, F_WRLCK), 0) << strerror(errno);
  }

  static std::vector<uint8_t> Pattern(size_t size) {
    std::vector<uint8_t> bytes(size);
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + (i >> 12));
    return bytes;
  }

  std::shared_ptr<Process> relay_;
  std::string address_;
  UniqueFd leased_;
};

TEST_F(RelayTest, PassesSmallAndLargeRequestsOverTcp) {
  address_ = "tcp:127.0.0.1:0";
  StartRelay();
  EXPECT_EQ(address_.find(":0"), address_.npos) << address_;
  StreamClient client = StreamClient::Connect(address_);
  const uint32_t msize = client.Begin(4 << 20);
  // Lowered to what two requests have room for, with whole pages of data.
  EXPECT_GE(msize, 256U * 1024);
  EXPECT_LE(msize, 512U * 1024);
  EXPECT_EQ((msize - p9::kIoHeaderSize) % 4096, 0U);
  EXPECT_EQ(client.Begin(8192), 8192U);
  ASSERT_EQ(client.Begin(msize), msize);
  Create(client, "file");
  const std::vector<uint8_t> bytes = Pattern(msize - p9::kIoHeaderSize);
  const auto size = static_cast<uint32_t>(bytes.size());
  ASSERT_TRUE(client.Call(p9::Twrite{kFile, 0, size}, bytes).ok());
  const Result<p9::Rread> read = client.Call(p9::Tread{kFile, 0, size});
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->count, size);
  EXPECT_TRUE(std::ranges::equal(client.Data(), bytes));
  EXPECT_EQ(ReadFile("share/file"), std::string(bytes.begin(), bytes.end()));
  // At the end of the file, and of odd sizes.
  EXPECT_EQ(client.Call(p9::Tread{kFile, size, 100})->count, 0U);
  for (const uint32_t count : {1U, 244U, 245U, 246U, 4097U, 70'000U}) {
    ASSERT_EQ(client.Call(p9::Tread{kFile, 3, count})->count, count);
    EXPECT_TRUE(std::ranges::equal(client.Data(), std::span(bytes).subspan(3, count)));
  }
}

TEST_F(RelayTest, ManyRequestsAreOnTheirWayAtOnceAndTagsComeBack) {
  StartRelay();
  StreamClient client = StreamClient::Connect(address_);
  client.Begin();
  Create(client, "file");
  // More than there are slots, calls and pages: 1,000 writes of 20,000 bytes, then as many reads.
  constexpr uint32_t kSize = 20'000;
  constexpr p9::Tag kCount = 1000;
  const std::vector<uint8_t> bytes = Pattern(kSize + kCount);
  const auto block = [&](p9::Tag tag) { return std::span(bytes).subspan(tag, kSize); };
  std::thread writer([&] {
    for (p9::Tag tag = 0; tag < kCount; ++tag)
      client.Send(tag, p9::Twrite{kFile, uint64_t{tag} * kSize, kSize}, block(tag));
  });
  std::set<p9::Tag> tags;
  for (p9::Tag i = 0; i < kCount; ++i) {
    const std::vector<uint8_t> reply = client.Receive();
    ASSERT_FALSE(reply.empty());
    const Result<p9::Rwrite> write = p9::DecodeReply<p9::Twrite>(reply);
    ASSERT_TRUE(write.ok()) << write.error().message();
    EXPECT_EQ(write->count, kSize);
    tags.insert(p9::ParseHeader(reply)->tag);
  }
  writer.join();
  EXPECT_EQ(tags.size(), kCount);
  // No reply is read before all are asked for: the relay must not need that.
  std::vector<uint8_t> reads;
  for (p9::Tag tag = 0; tag < kCount; ++tag) {
    const std::vector<uint8_t> read = StreamClient::Frame(tag, p9::Tread{kFile, uint64_t{tag} * kSize, kSize});
    reads.insert(reads.end(), read.begin(), read.end());
  }
  client.SendBytes(reads);
  for (p9::Tag i = 0; i < kCount; ++i) {
    const std::vector<uint8_t> reply = client.Receive();
    ASSERT_EQ(reply.size(), p9::kMinHeadSize<p9::Rread> + kSize);
    EXPECT_TRUE(
        std::ranges::equal(std::span(reply).subspan(p9::kMinHeadSize<p9::Rread>), block(p9::ParseHeader(reply)->tag)));
  }
}

TEST_F(RelayTest, FlushEndsARequestThatWaits) {
  Lease("share/leased");
  StartRelay();
  StreamClient client = StreamClient::Connect(address_);
  client.Begin();
  ASSERT_TRUE(client.Walk(kFile, "leased").ok());
  client.Send(20, p9::Tlopen{kFile, p9::kOpenReadWrite});
  // Others go on meanwhile.
  ASSERT_TRUE(client.Call(p9::Tgetattr{0, p9::kGetattrBasic}).ok());
  client.Send(21, p9::Tflush{20});
  // The reply to the flushed request comes before that to the flush.
  EXPECT_EQ(client.ReceiveError<p9::Tlopen>(20), Errno(EINTR));
  EXPECT_EQ(client.ReceiveError<p9::Tflush>(21), Errno(0));
  client.Send(22, p9::Tflush{99});
  EXPECT_EQ(client.ReceiveError<p9::Tflush>(22), Errno(0));
}

TEST_F(RelayTest, FlushPassesARingFullOfRequestsThatWait) {
  Lease("share/leased");
  StartRelay();
  StreamClient client = StreamClient::Connect(address_);
  client.Begin();
  // Some are on the ring, some wait in the backend, some in the relay.
  constexpr p9::Tag kCount = 200;
  for (p9::Tag tag = 0; tag < kCount; ++tag) {
    ASSERT_TRUE(client.Walk(kFile + tag, "leased").ok());
  }
  for (p9::Tag tag = 0; tag < kCount; ++tag) client.Send(tag, p9::Tlopen{kFile + tag, p9::kOpenReadWrite});
  for (const p9::Tag tag : {p9::Tag{kCount - 1}, p9::Tag{0}, p9::Tag{100}}) {
    client.Send(1000, p9::Tflush{tag});
    bool flushed = false;
    bool answered = false;
    while (!flushed) {
      const std::vector<uint8_t> reply = client.Receive();
      ASSERT_FALSE(reply.empty());
      const p9::Header header = *p9::ParseHeader(reply);
      flushed = header.tag == 1000;
      answered |= header.tag == tag;
    }
    EXPECT_TRUE(answered) << tag;
  }
}

TEST_F(RelayTest, AClientThatGoesLeavesNoFidAndNoRequest) {
  Lease("share/leased");
  WriteFile("share/file", "content");
  StartRelay();
  {
    StreamClient client = StreamClient::Connect(address_);
    client.Begin();
    ASSERT_TRUE(client.Walk(kFile, "file").ok());
    ASSERT_TRUE(client.Call(p9::Tlopen{kFile, p9::kOpenReadOnly}).ok());
    ASSERT_TRUE(client.Walk(kFile + 1, "leased").ok());
    client.Send(20, p9::Tlopen{kFile + 1, p9::kOpenReadWrite});
    // And in the middle of a message.
    std::vector<uint8_t> part = StreamClient::Frame(3, p9::Twrite{kFile, 0, 5000}, Pattern(5000));
    part.pop_back();
    client.SendBytes(part);
  }
  EXPECT_TRUE(relay_->WaitForOutput("the client closed the stream within a message"));
  StreamClient next = StreamClient::Connect(address_);
  // Not even a session: the first request must be a Tversion.
  EXPECT_EQ(next.Call(p9::Tgetattr{kFile, p9::kGetattrBasic}).error(), Errno(EINVAL));
  next.Begin();
  EXPECT_EQ(next.Call(p9::Tgetattr{kFile, p9::kGetattrBasic}).error(), Errno(EBADF));
  ASSERT_TRUE(next.Walk(kFile, "file").ok());
}

TEST_F(RelayTest, BytesThatAreNoMessageEndTheirConnectionOnly) {
  StartRelay();
  const std::pair<std::vector<uint8_t>, const char*> bad[] = {
      {{6, 0, 0, 0, 120, 1, 0}, "the client sent a message of 6 bytes"},
      {{0xff, 0xff, 0xff, 0xff, 120, 1, 0}, "the client sent a message of 4294967295 bytes"},
      {{0x01, 0x10, 0, 0, 120, 1, 0}, "the client sent a message of 4097 bytes; 7 to 4096 are possible"},
  };
  for (const auto& [bytes, sentence] : bad) {
    StreamClient client = StreamClient::Connect(address_);
    EXPECT_EQ(client.Begin(4096), 4096U);
    client.SendBytes(bytes);
    EXPECT_TRUE(client.Receive().empty());
    EXPECT_TRUE(relay_->WaitForOutput(sentence));
  }
  // Good frames around bad 9P go through to the backend, which answers them.
  StreamClient client = StreamClient::Connect(address_);
  client.Begin();
  client.SendBytes(std::vector<uint8_t>{9, 0, 0, 0, p9::Twalk::kType, 5, 0, 1, 2});
  EXPECT_EQ(client.ReceiveError<p9::Twalk>(5), Errno(EINVAL));
  client.SendBytes(std::vector<uint8_t>{7, 0, 0, 0, 99, 6, 0});
  EXPECT_EQ(client.ReceiveError<p9::Twalk>(6), Errno(EOPNOTSUPP));
  EXPECT_TRUE(client.Call(p9::Tgetattr{0, p9::kGetattrBasic}).ok());
}

TEST_F(RelayTest, WhenTheServerDiesTheStreamLivesAndANewSessionCanBegin) {
  Lease("share/leased");
  StartRelay();
  StreamClient client = StreamClient::Connect(address_);
  client.Begin();
  ASSERT_TRUE(client.Walk(kFile, "leased").ok());
  client.Send(20, p9::Tlopen{kFile, p9::kOpenReadWrite});
  ASSERT_TRUE(client.Call(p9::Tgetattr{0, p9::kGetattrBasic}).ok());
  const std::vector<int> servers = ChildrenOf(keeper_->pid());
  ASSERT_EQ(servers.size(), 1U);
  ASSERT_EQ(kill(servers[0], SIGKILL), 0);
  EXPECT_EQ(client.ReceiveError<p9::Tlopen>(20), Errno(EIO));
  // It waits for the backend, which has forgotten the session: what the client held is over, and can be let go.
  EXPECT_EQ(client.Call(p9::Tgetattr{0, p9::kGetattrBasic}).error(), Errno(EIO));
  EXPECT_TRUE(client.Call(p9::Tclunk{kFile}).ok());
  client.Begin();
  EXPECT_TRUE(client.Call(p9::Tgetattr{0, p9::kGetattrBasic}).ok());
}

// A program on a share that was detached used to hang for as long as the relay waits for a backend to come back.
TEST_F(RelayTest, ADetachedShareIsNotWaitedFor) {
  StartRelay({"--timeout", "86400"});
  StreamClient client = StreamClient::Connect(address_);
  client.Begin();
  ASSERT_EQ(xen_->Spawn({Program("toolstack/virtfs-attach"), "--domid", "1", "--detach", "0"})->Wait(), 0);
  EXPECT_EQ(client.Call(p9::Tgetattr{0, p9::kGetattrBasic}).error(), Errno(EIO));
  // Another of the same tag is another session.
  ASSERT_GE(AttachPath(kGuest, "share", Path("share")), 0);
  ASSERT_TRUE(relay_->WaitForOutput("the backend is back without the session"));
  client.Begin();
  EXPECT_TRUE(client.Call(p9::Tgetattr{0, p9::kGetattrBasic}).ok());
}

TEST_F(RelayTest, EndsInOrderWhenToldTo) {
  StartRelay();
  StreamClient client = StreamClient::Connect(address_);
  client.Begin();
  relay_->Kill(SIGTERM);
  EXPECT_EQ(relay_->Wait(), 0);
  EXPECT_TRUE(client.Receive().empty());
  EXPECT_TRUE(xen_->Holdings(kGuest).empty());
  EXPECT_TRUE(WaitForState(kGuest, 0, kInitWait));
  EXPECT_EQ(access(Path("socket").c_str(), F_OK), -1);
}

TEST_F(RelayTest, AShareThatComesLateIsWaitedFor) {
  relay_ = xen_->Spawn({Program("frontend/virtfs-relay"), "late", "--listen", address_}, kGuest);
  Share("late");
  ASSERT_TRUE(relay_->WaitForOutput("share 'late' on unix:"));
  StreamClient client = StreamClient::Connect(address_);
  client.Begin();
}

TEST_F(RelayTest, FewPagesMakeASmallMsize) {
  StartRelay({"--pages", "32", "--once"});
  {
    StreamClient client = StreamClient::Connect(address_);
    const uint32_t msize = client.Begin();
    EXPECT_LE(msize, 15U * 4096 + p9::kIoHeaderSize);
    Create(client, "file");
    const std::vector<uint8_t> bytes = Pattern(msize - p9::kIoHeaderSize);
    const auto size = static_cast<uint32_t>(bytes.size());
    for (p9::Tag tag = 0; tag < 20; ++tag) client.Send(tag, p9::Twrite{kFile, tag * uint64_t{size}, size}, bytes);
    for (p9::Tag tag = 0; tag < 20; ++tag) EXPECT_EQ(client.ReceiveHeader().type, p9::Rwrite::kType);
  }
  EXPECT_EQ(relay_->Wait(), 0);
}

TEST_F(RelayTest, MistakesAreNamed) {
  const auto run = [&](const std::vector<std::string>& arguments, int status, const std::string& sentence) {
    std::vector<std::string> argv = {Program("frontend/virtfs-relay")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const std::shared_ptr<Process> relay = xen_->Spawn(argv, kGuest);
    EXPECT_EQ(relay->Wait(), status);
    EXPECT_THAT(relay->Output(), testing::HasSubstr(sentence));
  };
  run({}, 2, "give the tag of one share");
  run({"share"}, 2, "say where to listen");
  run({"share", "--listen", "5640"}, 2, "write tcp:127.0.0.1:5640");
  run({"share", "--listen", "tcp:localhost:5640"}, 2, "write tcp:127.0.0.1:5640");
  run({"share", "--listen", "unix:/nowhere/socket"}, 1, "cannot listen on unix:/nowhere/socket: No such file");
  run({"other", "--listen", address_, "--timeout", "1"}, 1, "no share with the tag 'other'; this guest has: share");
  run({"--help"}, 0, "usage: virtfs-relay TAG");
}

}  // namespace
}  // namespace virtfs
