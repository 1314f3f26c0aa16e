// What keepers tell of their shares, through the real binaries: exact figures, servers that died or were taken over.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "options/keeper_socket.h"
#include "tests/client_fixture.h"
#include "toolstack/status/keeper_query.h"
#include "toolstack/status/status_text.h"

namespace virtfs {
namespace {

using frontend::RemoteFid;
using testing::HasSubstr;
using toolstack::GuestStatus;
using toolstack::OperationStatus;
using toolstack::ShareStatus;

class StatusTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    StartGuest();
  }
  void TearDown() override {
    share_.Close();
    ClientTest::TearDown();
  }

  void Use(const std::string& options, uint32_t msize = 65536) {
    Share("share", options);
    share_ = ConnectShare("share", msize);
    ASSERT_TRUE(share_);
  }

  GuestStatus Guest() {
    auto guest = toolstack::AskKeeper(xen_->RunDirectory(), kGuest);
    EXPECT_TRUE(guest.ok()) << guest.status();
    return guest.ok() ? *std::move(guest) : GuestStatus();
  }
  // The only share there is.
  ShareStatus Status() {
    const GuestStatus guest = Guest();
    EXPECT_EQ(guest.shares.size(), 1u);
    return guest.shares.empty() ? ShareStatus() : guest.shares[0];
  }
  static uint64_t Used(const ShareStatus& share, const std::string& name) {
    for (const auto& limit : share.counters->limits) {
      if (limit.name == name) return limit.used;
    }
    ADD_FAILURE() << "no limit " << name;
    return 0;
  }
  // How many of each operation, and how many of them failed.
  static std::map<std::string, std::pair<uint64_t, uint64_t>> Counts(const ShareStatus& share) {
    std::map<std::string, std::pair<uint64_t, uint64_t>> counts;
    for (const OperationStatus& operation : share.counters->operations) {
      counts[operation.name] = {operation.count, operation.errors};
    }
    return counts;
  }
  uint64_t Open() { return toolstack::OpenFiles(xen_->RunDirectory(), kGuest, 0).value_or(UINT64_MAX); }

  frontend::P9Client& client() { return *share_.client; }
  p9::Fid root() { return share_.root.get(); }
  RemoteFid Walk(std::string_view name) {
    const std::string_view names[] = {name};
    Result<RemoteFid> fid = client().Walk(root(), names);
    EXPECT_TRUE(fid.ok()) << name;
    return fid.ok() ? *std::move(fid) : RemoteFid();
  }
  template <p9::Request T>
  Result<typename T::Reply> Call(const T& request) {
    return client().Call(request);
  }

  Connection share_;
};

TEST_F(StatusTest, CountersAreExact) {
  ASSERT_NO_FATAL_FAILURE(Use(",max-files=10,max-space=1M"));
  WriteFile("share/file", std::string(5000, 'f'));
  RemoteFid file = Walk("file");
  ASSERT_TRUE(Call(p9::Tlopen{file.get(), p9::kOpenReadWrite}).ok());
  std::vector<uint8_t> data(4096, 'x');
  for (const uint32_t count : {4096U, 1000U, 7U}) {
    ASSERT_TRUE(client().Call(p9::Tread{file.get(), 0, count}, {}, data).ok());
  }
  ASSERT_EQ(client().Call(p9::Tread{file.get(), 4990, 4096}, {}, data)->count, 10u);
  for (const uint64_t offset : {uint64_t{0}, uint64_t{20'000}}) {
    ASSERT_TRUE(client().Call(p9::Twrite{file.get(), offset, 3000}, std::vector<uint8_t>(3000)).ok());
  }
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Call(p9::Tgetattr{root(), p9::kGetattrBasic}).ok());
  EXPECT_FALSE(Call(p9::Tgetattr{999, p9::kGetattrBasic}).ok());
  ASSERT_TRUE(Call(p9::Tmkdir{root(), "directory", 0755, 0}).ok());
  EXPECT_FALSE(Call(p9::Tmkdir{root(), "directory", 0755, 0}).ok());
  for (const uint64_t start : {100, 300}) {
    ASSERT_TRUE(
        Call(p9::Tlock{.fid = file.get(), .type = p9::kLockWrite, .start = start, .length = 9, .client_id = "me"})
            .ok());
  }

  const ShareStatus share = Status();
  EXPECT_EQ(share.tag, "share");
  EXPECT_EQ(share.path, Path("share"));
  EXPECT_EQ(share.transport, "virtfs");
  EXPECT_EQ(share.state, "Serving");
  EXPECT_EQ(share.session, xen_->Read(Backend(kGuest, 0, "session-id")));
  EXPECT_EQ(share.error, "");
  ASSERT_TRUE(share.pid);
  EXPECT_EQ(std::vector<int>{static_cast<int>(*share.pid)}, ChildrenOf(keeper_->pid()));
  // As ps and systemd show it; it was "exe".
  std::string name;
  std::getline(std::ifstream("/proc/" + std::to_string(*share.pid) + "/comm"), name);
  EXPECT_EQ(name, "xen-virtfsd");
  ASSERT_TRUE(share.connected_since);
  EXPECT_LE(*share.connected_since, time(nullptr));
  EXPECT_GT(*share.connected_since, time(nullptr) - 3600);
  ASSERT_TRUE(share.counters);
  using Expected = std::map<std::string, std::pair<uint64_t, uint64_t>>;
  EXPECT_EQ(Counts(share), (Expected{{"Tversion", {1, 0}},
                                     {"Tattach", {1, 0}},
                                     {"Twalk", {1, 0}},
                                     {"Tlopen", {1, 0}},
                                     {"Tread", {4, 0}},
                                     {"Twrite", {2, 0}},
                                     {"Tgetattr", {6, 1}},
                                     {"Tmkdir", {2, 1}},
                                     {"Tlock", {2, 0}}}));
  EXPECT_EQ(share.counters->msize, client().msize());
  EXPECT_EQ(share.counters->bytes_read, 4096u + 1000 + 7 + 10);
  EXPECT_EQ(share.counters->bytes_written, 6000u);
  EXPECT_EQ(share.counters->refused_requests, 0u);
  EXPECT_EQ(share.counters->throttles, 0u);
  EXPECT_EQ(Used(share, "requests"), 0u);
  EXPECT_EQ(Used(share, "fids"), 2u);
  EXPECT_EQ(Used(share, "open_files"), 2u) << "one of them for the locks";
  EXPECT_EQ(Used(share, "locks"), 2u);
  EXPECT_EQ(Used(share, "files"), 1u) << "what the host made is not seen";
  EXPECT_EQ(Used(share, "space"), 24'576u - 8192) << "nor how large it was";
  for (const OperationStatus& operation : share.counters->operations) {
    EXPECT_GT(operation.longest, 0u) << operation.name;
    EXPECT_LE(operation.Percentile(0.5), operation.Percentile(0.99)) << operation.name;
    EXPECT_LE(operation.Percentile(0.99), operation.longest) << operation.name;
  }
  EXPECT_THAT(toolstack::StatusTable(Guest(), "", time(nullptr)), HasSubstr("Tgetattr                6        1"));

  EXPECT_EQ(Open(), 2u);
  ASSERT_TRUE(Call(p9::Tclunk{file.get()}).ok());
  file.Forget();
  EXPECT_EQ(Open(), 0u);
  EXPECT_EQ(Used(Status(), "locks"), 0u);
  EXPECT_EQ(Used(Status(), "fids"), 1u);
}

TEST_F(StatusTest, WhatIsRefusedAndWhatIsThrottled) {
  ASSERT_NO_FATAL_FAILURE(Use(",throttle-ops=100,throttle-ops-burst=1"));
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Call(p9::Tgetattr{root(), p9::kGetattrBasic}).ok());
  const auto took = std::chrono::steady_clock::now() - start;
  const ShareStatus share = Status();
  EXPECT_GE(share.counters->throttles, 10u);
  EXPECT_GE(share.counters->throttled_nanoseconds, 100'000'000u);
  // The next one's debt may be in it already, and those of Tversion and Tattach.
  EXPECT_LE(std::chrono::nanoseconds(share.counters->throttled_nanoseconds), took + std::chrono::milliseconds(50));
}

TEST_F(StatusTest, ADeadServersFiguresStayUntilTheNextOne) {
  ASSERT_NO_FATAL_FAILURE(Use(""));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Call(p9::Tgetattr{root(), p9::kGetattrBasic}).ok());
  const std::vector<int> servers = ChildrenOf(keeper_->pid());
  ASSERT_EQ(servers.size(), 1u);
  ASSERT_EQ(kill(servers[0], SIGKILL), 0);
  ASSERT_TRUE(WaitForState(kGuest, 0, kClosed));
  ShareStatus share = Status();
  EXPECT_FALSE(share.pid);
  EXPECT_FALSE(share.connected_since);
  EXPECT_THAT(share.error, HasSubstr("was killed by signal 9"));
  ASSERT_TRUE(share.counters);
  EXPECT_EQ(Counts(share)["Tgetattr"].first, 3u);
  EXPECT_EQ(Open(), 0u);

  const absl::Status again = [&] {
    const AsDomain guest(*xen_, kGuest);
    return share_.device->Reconnect();
  }();
  ASSERT_TRUE(again.ok()) << again;
  client().Resume(share_.device->channel(), false);
  ASSERT_TRUE(client().Version(65536).ok());
  share = Status();
  EXPECT_TRUE(share.pid);
  EXPECT_EQ(share.error, "");
  EXPECT_EQ(Counts(share), (std::map<std::string, std::pair<uint64_t, uint64_t>>{{"Tversion", {1, 0}}}));
}

// What a server that was taken over could do to its counters.
TEST_F(StatusTest, GarbageFromAServerIsBoundedAndCostsTheKeeperNothing) {
  ASSERT_NO_FATAL_FAILURE(Use(""));
  const std::vector<int> servers = ChildrenOf(keeper_->pid());
  ASSERT_EQ(servers.size(), 1u);
  const std::string process = "/proc/" + std::to_string(servers[0]);
  uint64_t begin = 0, end = 0;
  FILE* maps = fopen((process + "/maps").c_str(), "re");
  ASSERT_NE(maps, nullptr);
  for (char line[512]; fgets(line, sizeof(line), maps) != nullptr;) {
    if (strstr(line, "memfd:xen-virtfs-counters") == nullptr) continue;
    ASSERT_EQ(sscanf(line, "%" SCNx64 "-%" SCNx64, &begin, &end), 2);
  }
  fclose(maps);
  ASSERT_LT(begin, end);

  char range[64];
  snprintf(range, sizeof(range), "/map_files/%" PRIx64 "-%" PRIx64, begin, end);
  const UniqueFd memory(open((process + range).c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(memory.ok()) << strerror(errno);
  struct stat status;
  ASSERT_EQ(fstat(memory.get(), &status), 0);
  EXPECT_EQ(ftruncate(memory.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(memory.get(), 1 << 30), -1);
  EXPECT_EQ(errno, EPERM);

  ASSERT_EQ(kill(servers[0], SIGSTOP), 0);
  for (const uint8_t byte : {0xff, 0x80, 0x01}) {
    const std::vector<uint8_t> garbage(static_cast<size_t>(status.st_size), byte);
    EXPECT_EQ(pwrite(memory.get(), garbage.data(), garbage.size(), 0), status.st_size);
    const ShareStatus share = Status();
    EXPECT_EQ(share.state, "Serving");
    if (!share.counters) break;
    EXPECT_LE(share.counters->operations.size(), 29u);
    EXPECT_LT(toolstack::StatusTable(Guest(), "", 0).size(), 10'000u);
    EXPECT_EQ(Open(), byte * 0x0101010101010101U);
  }
  // A hole: zeros, no fault.
  ASSERT_EQ(fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
  EXPECT_TRUE(Status().counters->operations.empty());
  ASSERT_EQ(kill(servers[0], SIGCONT), 0);

  EXPECT_TRUE(keeper_->Running());
  Share("other");
  EXPECT_EQ(Guest().shares.size(), 2u);
  EXPECT_TRUE(Call(p9::Tgetattr{root(), p9::kGetattrBasic}).ok());
}

TEST_F(StatusTest, SharesOfBothTransportsAndThoseThatWait) {
  Share("first");
  Share("second", ",transport=9pfs,readonly");
  const GuestStatus guest = Guest();
  EXPECT_EQ(guest.domid, kGuest);
  EXPECT_EQ(guest.backend_domid, 0u);
  EXPECT_EQ(guest.pid, keeper_->pid());
  ASSERT_EQ(guest.shares.size(), 2u);
  EXPECT_EQ(guest.shares[0].tag, "first");
  EXPECT_EQ(guest.shares[0].state, "Waiting");
  EXPECT_FALSE(guest.shares[0].pid);
  EXPECT_FALSE(guest.shares[0].counters);
  EXPECT_EQ(guest.shares[1].tag, "second");
  EXPECT_EQ(guest.shares[1].transport, "9pfs");
  EXPECT_TRUE(guest.shares[1].readonly);
  EXPECT_EQ(guest.shares[1].session, "");

  Connection second = ConnectShare("second");
  ASSERT_TRUE(second);
  const ShareStatus share = Guest().shares[1];
  EXPECT_EQ(share.state, "Serving");
  ASSERT_TRUE(share.counters);
  EXPECT_EQ(share.counters->msize, second.client->msize());
  EXPECT_EQ(Counts(share)["Tattach"].first, 1u);
  second.Close();
}

TEST_F(StatusTest, TheCommandShowsIt) {
  const auto status = [&](const std::vector<std::string>& arguments, int expected) {
    std::vector<std::string> argv = {Program("toolstack/cli/xl-virtfs"), "status", "--run", xen_->RunDirectory()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const auto command = xen_->Spawn(argv);
    EXPECT_EQ(command->Wait(), expected) << command->Output();
    return command->Output();
  };
  ASSERT_NO_FATAL_FAILURE(Use(""));
  ASSERT_TRUE(xen_->Write("/local/domain/1/name", "guest"));
  for (const std::string& output : {status({}, 0), status({"guest"}, 0), status({"1"}, 0)}) {
    EXPECT_THAT(output, HasSubstr("domain 1 (guest), served by process "));
    EXPECT_THAT(output, HasSubstr("share 0 share: " + Path("share") + "\n  virtfs, Serving for "));
    EXPECT_THAT(output, HasSubstr("Tattach                 1        0"));
  }
  EXPECT_THAT(status({"--json"}, 0), HasSubstr("\"Tattach\": {\n              \"count\": 1,"));
  EXPECT_THAT(status({"2"}, 1), HasSubstr("domain 2"));
  ASSERT_TRUE(xen_->AddDomain(2));
  EXPECT_THAT(status({"2"}, 1), HasSubstr("no xen-virtfsd serves domain 2 from this domain"));
  share_.Close();
  keeper_->Kill(SIGKILL);
  EXPECT_THAT(status({}, 0), HasSubstr("no guest has shares that are served from this domain"));
  EXPECT_EQ(status({"--json"}, 0), "[]\n");
}

TEST_F(StatusTest, TheSocketComesAndGoesWithItsKeeper) {
  const std::string socket = options::KeeperSocket(xen_->RunDirectory(), kGuest);
  Share("share");
  struct stat status;
  ASSERT_EQ(stat(socket.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_THAT(toolstack::GuestsWithKeepers(xen_->RunDirectory()), testing::ElementsAre(kGuest));
  keeper_->Kill(SIGKILL);
  EXPECT_EQ(toolstack::AskKeeper(xen_->RunDirectory(), kGuest).status().code(), absl::StatusCode::kNotFound);

  keeper_ = xen_->Spawn({Program("backend/xen-virtfsd"), "--domid", std::to_string(kGuest)});
  ASSERT_TRUE(keeper_->WaitForOutput("waits for the guest"));
  EXPECT_EQ(Status().state, "Waiting");
  keeper_->Kill(SIGTERM);
  EXPECT_FALSE(std::filesystem::exists(socket));
  EXPECT_TRUE(toolstack::GuestsWithKeepers(xen_->RunDirectory()).empty());

  // Where it cannot be made, shares are served all the same.
  const std::string file = directory_ + "/file";
  WriteFile("file", "");
  keeper_ = xen_->Spawn({Program("backend/xen-virtfsd"), "--domid", std::to_string(kGuest), "--run", file});
  ASSERT_TRUE(keeper_->WaitForOutput("nobody can ask for status"));
  ASSERT_TRUE(WaitForState(kGuest, 0, kInitWait));
}

}  // namespace
}  // namespace virtfs
