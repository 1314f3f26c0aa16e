#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "backend/link/broker_client.h"
#include "backend/link/broker_service.h"
#include "backend/link/channel.h"
#include "backend/link/session_memory.h"
#include "gtest/gtest.h"

namespace virtfs::link {
namespace {

// Keeps descriptors themselves, which is enough to see who asks for what.
class FakeBroker : public host::HandleBroker {
 public:
  Result<host::HandleToken> Keep(int fd) override {
    files_[++last_] = UniqueFd(dup(fd));
    return host::HandleToken{last_};
  }
  Result<UniqueFd> Reopen(host::HandleToken token) override {
    auto it = files_.find(static_cast<uint64_t>(token));
    if (it == files_.end()) return Errno(ESTALE);
    return UniqueFd(dup(it->second.get()));
  }
  void Drop(host::HandleToken token) override { files_.erase(static_cast<uint64_t>(token)); }
  size_t kept() const { return files_.size(); }

 private:
  std::map<uint64_t, UniqueFd> files_;
  uint64_t last_ = 1000;
};

class LinkTest : public testing::Test {
 protected:
  LinkTest() {
    auto ends = MakeLink();
    keeper_ = std::move(ends->first);
    server_ = std::move(ends->second);
    directory_ = UniqueFd(open(testing::TempDir().c_str(), O_PATH | O_DIRECTORY));
  }

  UniqueFd keeper_, server_, directory_;
};

TEST_F(LinkTest, AMessageArrivesWithItsDescriptors) {
  const UniqueFd null(open("/dev/null", O_RDONLY));
  const int both[] = {directory_.get(), null.get()};
  ASSERT_TRUE(Send(keeper_.get(), Start{.domid = 7, .options = {.max_msize = 4096}}, both).ok());
  Result<Packet> packet = Receive(server_.get());
  ASSERT_TRUE(packet.ok());
  EXPECT_FALSE(packet->As<Connect>());
  const auto start = packet->As<Start>();
  ASSERT_TRUE(start);
  EXPECT_EQ(start->domid, 7u);
  EXPECT_EQ(start->options.max_msize, 4096u);
  const std::vector<UniqueFd> fds = packet->TakeFds();
  EXPECT_EQ(fcntl(fds[0].get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(*MountIdOf(fds[0].get()), *MountIdOf(directory_.get()));
  EXPECT_EQ(*MountIdOf(fds[1].get()), *MountIdOf(null.get()));
}

TEST_F(LinkTest, AnEmptyMessageArrives) {
  ASSERT_TRUE(Send(keeper_.get(), Stop{}).ok());
  Result<Packet> packet = Receive(server_.get());
  ASSERT_TRUE(packet.ok());
  EXPECT_TRUE(packet->As<Stop>());
  EXPECT_FALSE(packet->As<Locked>());
}

TEST_F(LinkTest, AFaultKeepsItsSentenceAndCutsALongOne) {
  EXPECT_EQ(Fault("the ring is broken").sentence(), "the ring is broken");
  EXPECT_EQ(Fault(std::string(1000, 'x')).sentence(), std::string(256, 'x'));
}

TEST_F(LinkTest, AMessageWithADescriptorTooManyOrTooFewIsNotThatMessage) {
  ASSERT_TRUE(Send(keeper_.get(), Stop{}, directory_.get()).ok());
  EXPECT_FALSE(Receive(server_.get())->As<Stop>());
  ASSERT_TRUE(Send(keeper_.get(), Start{}).ok());
  EXPECT_FALSE(Receive(server_.get())->As<Start>());
  const std::vector<int> two(2, directory_.get()), three(3, directory_.get());
  for (const std::vector<int>& others : {std::vector<int>(1, directory_.get()), three}) {
    ASSERT_TRUE(Send(keeper_.get(), Start{}, others).ok());
    EXPECT_FALSE(Receive(server_.get())->As<Start>());
  }
  ASSERT_TRUE(Send(keeper_.get(), Keep{}).ok());
  EXPECT_FALSE(Receive(server_.get())->As<Keep>());
  ASSERT_TRUE(Send(keeper_.get(), Keep{}, two).ok());
  EXPECT_TRUE(Receive(server_.get())->As<Keep>());
}

TEST_F(LinkTest, OddPacketsAreErrors) {
  const char big[8192] = {};
  ASSERT_EQ(send(keeper_.get(), big, sizeof(big), 0), static_cast<ssize_t>(sizeof(big)));
  EXPECT_EQ(Receive(server_.get()).error(), Errno(EPROTO));
  ASSERT_EQ(send(keeper_.get(), big, 3, 0), 3);
  EXPECT_EQ(Receive(server_.get()).error(), Errno(EPROTO));
  EXPECT_EQ(Receive(server_.get(), Wait::kNo).error(), Errno(EAGAIN));
  keeper_.reset();
  EXPECT_EQ(Receive(server_.get()).error(), Errno(ECONNRESET));
  EXPECT_EQ(Send(server_.get(), Locked{}).error(), Errno(ECONNRESET));
}

int OpenDescriptors() {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

TEST_F(LinkTest, ACrowdOfDescriptorsIsClosed) {
  const int before = OpenDescriptors();
  for (int count : {17, 40, 250}) {
    uint32_t kind = 3;
    iovec part{&kind, sizeof(kind)};
    std::vector<char> control(CMSG_SPACE(count * sizeof(int)));
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::vector<int> fds(count, directory_.get());
    std::memcpy(CMSG_DATA(c), fds.data(), count * sizeof(int));
    ASSERT_GE(sendmsg(keeper_.get(), &message, 0), 0);
    EXPECT_EQ(Receive(server_.get()).error(), Errno(EPROTO)) << count;
    EXPECT_EQ(OpenDescriptors(), before) << count;
  }
}

// Answers broker calls as the keeper does, until the server's end is gone.
void ServeUntilClosed(int link, BrokerService& service) {
  for (;;) {
    Result<Packet> packet = Receive(link);
    if (!packet.ok()) return;
    if (!service.Serve(link, *std::move(packet)).ok()) return;
  }
}

TEST_F(LinkTest, BrokerCallsFromManyThreadsWhileOneWaitsForStop) {
  FakeBroker broker;
  BrokerService service(broker, *MountIdOf(directory_.get()));
  std::thread keeper([&] { ServeUntilClosed(keeper_.get(), service); });
  {
    BrokerClient client(std::move(server_));
    std::atomic<bool> stopped = false;
    std::thread receiver([&] {
      Result<Packet> packet = client.Next();
      stopped = packet.ok() && packet->As<Stop>().has_value();
    });
    std::vector<std::thread> workers;
    workers.reserve(8);
    for (int w = 0; w < 8; ++w) {
      workers.emplace_back([&] {
        for (int i = 0; i < 100; ++i) {
          Result<host::HandleToken> token = client.Keep(directory_.get());
          ASSERT_TRUE(token.ok());
          Result<UniqueFd> fd = client.Reopen(*token);
          ASSERT_TRUE(fd.ok());
          ASSERT_GE(fcntl(fd->get(), F_GETFD), 0);
          client.Drop(*token);
        }
      });
    }
    for (std::thread& worker : workers) worker.join();
    // More than go into one packet.
    const std::vector<int> many(2 * kMaxDescriptors + 1, directory_.get());
    for (const Result<host::HandleToken>& token : client.KeepAll(many)) {
      ASSERT_TRUE(token.ok());
      EXPECT_TRUE(client.Reopen(*token).ok());
      client.Drop(*token);
    }
    ASSERT_TRUE(Send(keeper_.get(), Stop{}).ok());
    receiver.join();
    EXPECT_TRUE(stopped);
    // Nobody is in Next now: the caller reads for itself.
    EXPECT_TRUE(client.Keep(directory_.get()).ok());
  }
  keeper.join();
  EXPECT_EQ(broker.kept(), 1u);
}

TEST_F(LinkTest, EveryWaiterLearnsThatTheKeeperIsGone) {
  BrokerClient client(std::move(server_));
  std::vector<std::thread> threads;
  threads.reserve(5);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_FALSE(client.Keep(directory_.get()).ok()); });
  }
  threads.emplace_back([&] { EXPECT_FALSE(client.Next().ok()); });
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Receive(keeper_.get()).ok());
  keeper_.reset();
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(client.Reopen(host::HandleToken{1}).ok());
}

TEST_F(LinkTest, AServerReachesOnlyItsOwnTokensAndItsOwnMount) {
  FakeBroker broker;
  BrokerService service(broker, *MountIdOf(directory_.get()));
  std::thread keeper([&] { ServeUntilClosed(keeper_.get(), service); });
  {
    BrokerClient client(std::move(server_));
    EXPECT_EQ(client.Reopen(host::HandleToken{77}).error(), Errno(ESTALE));
    client.Drop(host::HandleToken{77});
    const UniqueFd proc(open("/proc", O_PATH | O_DIRECTORY));
    EXPECT_EQ(client.Keep(proc.get()).error(), Errno(EXDEV));
    const int both[] = {directory_.get(), proc.get()};
    const std::vector<Result<host::HandleToken>> tokens = client.KeepAll(both);
    EXPECT_TRUE(tokens[0].ok());
    EXPECT_EQ(tokens[1].error(), Errno(EXDEV));
    const host::HandleToken second = *client.Keep(directory_.get());
    client.Drop(second);
    EXPECT_EQ(client.Reopen(second).error(), Errno(ESTALE));
  }
  keeper.join();
  EXPECT_EQ(broker.kept(), 1u);
}

TEST_F(LinkTest, DropsComeTogether) {
  FakeBroker broker;
  BrokerService service(broker, *MountIdOf(directory_.get()));
  std::thread keeper([&] { ServeUntilClosed(keeper_.get(), service); });
  {
    BrokerClient client(std::move(server_));
    // More than fit into two packets, of which the rest goes before the next call.
    std::vector<host::HandleToken> tokens;
    for (size_t i = 0; i < 2 * Drop::kMaxTokens + 5; ++i) tokens.push_back(*client.Keep(directory_.get()));
    for (const host::HandleToken token : tokens) client.Drop(token);
    for (const host::HandleToken token : tokens) EXPECT_EQ(client.Reopen(token).error(), Errno(ESTALE));
  }
  keeper.join();
  EXPECT_EQ(broker.kept(), 0u);
}

TEST_F(LinkTest, ADropOfMoreThanItHasIsRefused) {
  FakeBroker broker;
  BrokerService service(broker, *MountIdOf(directory_.get()));
  for (const uint64_t count : {uint64_t{Drop::kMaxTokens + 1}, ~uint64_t{0}}) {
    ASSERT_TRUE(Send(server_.get(), Drop{.count = count, .tokens = {}}).ok());
    EXPECT_EQ(service.Serve(keeper_.get(), *Receive(keeper_.get())).error(), Errno(EPROTO));
  }
}

TEST(SessionMemoryTest, ASessionTravelsThroughIt) {
  const Result<UniqueFd> memory = MakeSessionMemory();
  ASSERT_TRUE(memory.ok());
  const std::vector<host::HandleToken> tokens = {host::HandleToken{1}, host::HandleToken{~uint64_t{0}}};
  const std::vector<uint8_t> image(100'000, 7);
  ASSERT_TRUE(WriteSession(memory->get(), tokens, image).ok());
  const Result<SessionBytes> read = ReadSession(memory->get(), tokens.size(), image.size());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->tokens, tokens);
  EXPECT_EQ(read->image, image);
  EXPECT_EQ(ReadSession(memory->get(), 0, 0)->image.size(), 0u);
}

TEST(SessionMemoryTest, NobodyMakesItLongerOrIsAskedForMoreThanItHolds) {
  const Result<UniqueFd> memory = MakeSessionMemory();
  ASSERT_TRUE(memory.ok());
  EXPECT_NE(ftruncate(memory->get(), kSessionMemory + 1), 0);
  EXPECT_LT(pwrite(memory->get(), "x", 1, kSessionMemory), 0);
  const std::vector<uint8_t> image(kSessionMemory);
  const host::HandleToken token{1};
  EXPECT_EQ(WriteSession(memory->get(), {&token, 1}, image).error(), Errno(EFBIG));
  for (const uint64_t size : {kSessionMemory + 1, ~uint64_t{0}}) {
    EXPECT_EQ(ReadSession(memory->get(), 0, size).error(), Errno(EPROTO));
    EXPECT_EQ(ReadSession(memory->get(), size, 0).error(), Errno(EPROTO));
  }
  EXPECT_EQ(ReadSession(memory->get(), 1, kSessionMemory - 7).error(), Errno(EPROTO));
}

}  // namespace
}  // namespace virtfs::link
