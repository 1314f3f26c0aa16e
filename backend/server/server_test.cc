// The whole server process, locked down, between a keeper (the test) and a simulated guest (the test, too).

#include "backend/server/server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "backend/counters/counters_memory.h"
#include "backend/link/channel.h"
#include "backend/transport/guest_copy.h"
#include "backend/transport_virtfs/simulated_guest.h"
#include "protocol/codec.h"
#include "xensim/report.h"

namespace virtfs::backend {
namespace {

constexpr int kLinkFd = 3;
constexpr uint32_t kThreads = 4;
constexpr uint32_t kReplyPages = 3;

class ServerTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/virtfs-server-XXXXXX";
    directory_ = mkdtemp(name);
    std::ofstream(directory_ + "/file") << std::string(10'000, 'x') << "end";
    auto ends = link::MakeLink();
    ASSERT_TRUE(ends.ok());
    server_ = fork();
    ASSERT_GE(server_, 0);
    if (server_ == 0) {
      ends->first.reset();
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      // An exec, as by its keeper: nothing of this process' view of the simulated Xen may be there.
      dup2(ends->second.get(), kLinkFd);
      char program[] = "/proc/self/exe", flag[] = "--serve";
      char* arguments[] = {program, flag, nullptr};
      execv(program, arguments);
      _exit(127);
    }
    link_ = std::move(ends->first);
  }
  void TearDown() override {
    link_.reset();
    if (server_ > 0) {
      kill(server_, SIGKILL);
      waitpid(server_, nullptr, 0);
    }
    std::filesystem::remove_all(directory_);
  }

  void Start() {
    UniqueFd root(
        static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, directory_.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
    ASSERT_TRUE(root.ok());
    const link::Start start{.domid = SimulatedGuest::kDomid,
                            .options = {.max_msize = 65536, .max_fids = 1000},
                            .max_chain_slots = 252,
                            .max_descriptors = 512,
                            .threads = kThreads};
    UniqueFd memory;
    Result<CountersView> counters = CountersView::Make(memory);
    ASSERT_TRUE(counters.ok());
    counters_ = *std::move(counters);
    const int fds[] = {root.get(), memory.get()};
    ASSERT_TRUE(link::Send(link_.get(), start, fds).ok());
    Expect<link::Locked>();
  }
  link::Connect Ring() const {
    link::Connect connect{.event_channels = {guest_.port()}, .version = 1, .feature_persistent = GetParam() ? 1U : 0U};
    connect.ring_refs[0] = guest_.ring_ref();
    return connect;
  }
  void Connect() {
    Start();
    ASSERT_TRUE(link::Send(link_.get(), Ring()).ok());
    Expect<link::Connected>();
  }

  template <typename Message>
  Message Expect() {
    pollfd ready{.fd = link_.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&ready, 1, 10'000), 1) << "the server says nothing";
    Result<link::Packet> packet = link::Receive(link_.get(), link::Wait::kNo);
    if (!packet.ok()) {
      ADD_FAILURE() << packet.error().message();
      return {};
    }
    if (const auto fault = packet->As<link::Fault>()) sentence_ = fault->sentence();
    const auto message = packet->As<Message>();
    EXPECT_TRUE(message.has_value()) << "kind " << static_cast<uint32_t>(packet->kind()) << " " << sentence_;
    return message.value_or(Message{});
  }
  // How the server ends, within a bound.
  int ExitStatus() {
    const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, server_, 0)));
    pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&ended, 1, 10'000), 1) << "the server runs still";
    if (ended.revents == 0) kill(server_, SIGKILL);
    int status = -1;
    waitpid(std::exchange(server_, -1), &status, 0);
    return status;
  }

  // Sends a request.
  template <p9::Request T>
  void Post(p9::Tag tag, const T& message) {
    uint8_t bytes[256];
    const size_t size = p9::Encode(tag, message, bytes);
    const uint32_t page = (1 + kReplyPages) * (tag % 16U);
    const auto id = static_cast<uint16_t>(next_id_);
    next_id_ += 1 + kReplyPages;
    posted_[id] = page;
    guest_.Send({bytes, size}, page, kReplyPages);
  }
  // The next reply, which tells its tag.
  std::vector<uint8_t> Reply() {
    const auto first = guest_.Response();
    if (!first || !posted_.contains(first->id)) {
      ADD_FAILURE() << "no reply";
      return {};
    }
    EXPECT_EQ(first->status, 0);
    EXPECT_EQ(guest_.Status(kReplyPages), 0);
    std::vector<uint8_t> reply(size_t{4096} * kReplyPages);
    for (uint32_t i = 0; i < kReplyPages; ++i) {
      CopyFromGuest({reply.data() + size_t{4096} * i, 4096}, guest_.page(posted_[first->id] + 1 + i));
    }
    posted_.erase(first->id);
    const auto header = p9::ParseHeader(reply);
    EXPECT_TRUE(header.ok() && header->size <= reply.size());
    reply.resize(header.ok() ? header->size : 0);
    return reply;
  }
  template <p9::Request T>
  Result<typename T::Reply> Ask(const T& message) {
    Post(1, message);
    last_ = Reply();
    return p9::DecodeReply<T>(last_);
  }
  void Attach() {
    ASSERT_TRUE(Ask(p9::Tversion{.msize = 65536, .version = "9P2000.L"}).ok());
    ASSERT_TRUE(Ask(p9::Tattach{.fid = 0, .uname = "", .aname = "", .n_uname = 0}).ok());
  }
  void WalkToFile(p9::Fid newfid) {
    p9::Twalk walk{.fid = 0, .newfid = newfid, .wname = {}};
    walk.wname.push_back("file");
    ASSERT_TRUE(Ask(walk).ok());
  }

  uint32_t MappedPages() {
    uint32_t pages = 0;
    for (const xensim::Holding& holding : xensim::HoldingsOf(guest_.world(), 0)) pages += holding.mapped_pages;
    return pages;
  }

  SimulatedGuest guest_{128};
  std::string directory_;
  pid_t server_ = -1;
  UniqueFd link_;
  CountersView counters_;
  std::string sentence_;
  uint32_t next_id_ = 0;
  std::map<uint16_t, uint32_t> posted_;  // first id: page
  std::vector<uint8_t> last_;
};

TEST_P(ServerTest, ServesAFileAndStops) {
  Connect();
  ASSERT_EQ(kill(server_, SIGTERM), 0);  // as a service manager does to the whole service
  Attach();
  WalkToFile(1);
  ASSERT_TRUE(Ask(p9::Tlopen{.fid = 1, .flags = 0}).ok());
  const auto read = Ask(p9::Tread{.fid = 1, .offset = 3, .count = 11'000});
  ASSERT_TRUE(read.ok());
  ASSERT_EQ(read->count, 10'000u);
  EXPECT_EQ(std::string(last_.begin() + 11, last_.end()), std::string(9'997, 'x') + "end");

  ASSERT_TRUE(link::Send(link_.get(), link::Stop{}).ok());
  EXPECT_EQ(ExitStatus(), 0);
  EXPECT_EQ(MappedPages(), 0u);
}

TEST_P(ServerTest, StatusesLeaveTheShareAlone) {
  Connect();
  Attach();
  const Slot good{.gref = guest_.gref(100), .offset = 0, .flags = 0, .id = 9, .size = 0};
  Slot bad = good;
  bad.flags = 0x10;
  guest_.Publish(std::vector{bad});
  EXPECT_EQ(guest_.Status(1), XEN_VIRTFS_STATUS_BAD_FLAGS);
  bad = good;
  bad.gref = 0xfffffff;
  guest_.Publish(std::vector{bad, Slot{good.gref, 0, XEN_VIRTFSF_WRITE, 3, 0}});
  EXPECT_EQ(guest_.Status(2), XEN_VIRTFS_STATUS_BAD_GREF);
  // Malformed 9P in a good chain is no more than an Rlerror.
  const auto refused = Ask(p9::Tread{.fid = 77, .offset = 0, .count = 1});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error(), Errno(EBADF));
  WalkToFile(1);
}

TEST_P(ServerTest, LeasesBlockNobodyElse) {
  // The server's first own thread count of opens, and all but one of its bound.
  Connect();
  Attach();
  const UniqueFd holder(open((directory_ + "/file").c_str(), O_RDWR));
  signal(SIGIO, SIG_IGN);
  ASSERT_EQ(fcntl(holder.get(), F_SETLEASE, F_WRLCK), 0);
  constexpr p9::Tag kBlocked = 12;
  for (p9::Fid fid = 2; fid < 2 + kBlocked; ++fid) WalkToFile(fid);
  for (p9::Tag i = 0; i < kBlocked; ++i) Post(static_cast<p9::Tag>(2 + i), p9::Tlopen{.fid = 2U + i, .flags = 0});
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Ask(p9::Tgetattr{.fid = 0, .request_mask = 0x7ff}).ok());

  // A Tflush of each: EINTR for the request, and then the Rflush.
  for (p9::Tag tag = 2; tag < 2 + kBlocked; ++tag) {
    Post(1, p9::Tflush{.oldtag = tag});
    const std::vector<uint8_t> cancelled = Reply();
    ASSERT_EQ(p9::ParseHeader(cancelled)->tag, tag);
    ASSERT_EQ(p9::Decode<p9::Rlerror>(cancelled)->ecode, static_cast<uint32_t>(EINTR));
    ASSERT_TRUE(p9::Decode<p9::Rflush>(Reply()).ok());
  }

  // One more, which ends with the lease.
  Post(5, p9::Tlopen{.fid = 2, .flags = 0});
  ASSERT_TRUE(Ask(p9::Tgetattr{.fid = 0, .request_mask = 0x7ff}).ok());
  ASSERT_EQ(fcntl(holder.get(), F_SETLEASE, F_UNLCK), 0);
  EXPECT_TRUE(p9::Decode<p9::Rlopen>(Reply()).ok());
}

TEST_P(ServerTest, AStopDoesNotWaitForALease) {
  Connect();
  Attach();
  WalkToFile(1);
  const UniqueFd holder(open((directory_ + "/file").c_str(), O_RDWR));
  signal(SIGIO, SIG_IGN);
  ASSERT_EQ(fcntl(holder.get(), F_SETLEASE, F_WRLCK), 0);
  Post(2, p9::Tlopen{.fid = 1, .flags = 0});
  ASSERT_TRUE(Ask(p9::Tgetattr{.fid = 0, .request_mask = 0x7ff}).ok());
  ASSERT_TRUE(link::Send(link_.get(), link::Stop{}).ok());
  EXPECT_EQ(ExitStatus(), 0);
  EXPECT_EQ(MappedPages(), 0u);
}

TEST_P(ServerTest, ABrokenRingIsToldOnceAndEndsIt) {
  Connect();
  Attach();
  guest_.Word(SimulatedGuest::kReqProd).store(0x12345678);
  guest_.Notify();
  EXPECT_EQ(Expect<link::Fault>().sentence(), "the guest published more requests than its ring has slots");
  EXPECT_EQ(ExitStatus(), 1 << 8);
  EXPECT_EQ(MappedPages(), 0u);
  EXPECT_EQ(link::Receive(link_.get()).error(), Errno(ECONNRESET));
}

TEST_P(ServerTest, ItsKeepersDeathEndsIt) {
  Connect();
  Attach();
  link_.reset();
  EXPECT_EQ(ExitStatus(), 0);
  EXPECT_EQ(MappedPages(), 0u);
}

TEST_P(ServerTest, ItCanBeStoppedBeforeItIsConnected) {
  Start();
  ASSERT_TRUE(link::Send(link_.get(), link::Stop{}).ok());
  EXPECT_EQ(ExitStatus(), 0);
}

TEST_P(ServerTest, AGuestsBadNumbersAreNamed) {
  Start();
  link::Connect connect = Ring();
  connect.ring_refs[0] = 0x7ffffff;
  ASSERT_TRUE(link::Send(link_.get(), connect).ok());
  EXPECT_NE(Expect<link::Fault>().sentence().find("cannot map the guest's ring"), std::string::npos);
  EXPECT_EQ(ExitStatus(), 1 << 8);
}

TEST_P(ServerTest, ABadPortIsNamed) {
  Start();
  link::Connect connect = Ring();
  connect.event_channels[0] = 999;
  ASSERT_TRUE(link::Send(link_.get(), connect).ok());
  EXPECT_NE(Expect<link::Fault>().sentence().find("cannot bind"), std::string::npos);
  EXPECT_EQ(ExitStatus(), 1 << 8);
  EXPECT_EQ(MappedPages(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Grants, ServerTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Persistent" : "Copied"; });

}  // namespace
}  // namespace virtfs::backend

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "--serve") == 0) {
    _exit(virtfs::backend::RunServer(virtfs::UniqueFd(virtfs::backend::kLinkFd)));
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
