// xl-virtfs save and restore of a guest that uses a share: what it has open goes on.

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "frontend/relay/stream_client.h"
#include "tests/used_share_fixture.h"

namespace virtfs {
namespace {

using testing::HasSubstr;

constexpr uint32_t kRestored = 2;
constexpr p9::Fid kFile = 7;

class SaveTest : public UsedShareTest {
 protected:
  void SetUp() override {
    UsedShareTest::SetUp();
    WriteFile("docs/file", "first second");
    ASSERT_NO_FATAL_FAILURE(AttachDocs());
  }
  void TearDown() override {
    watch_.reset();
    // Of the watch: nobody's children here.
    if (const auto claim = xen_->Read("/local/domain/0/virtfs/2/keeper")) kill(atoi(claim->c_str()), SIGKILL);
    UsedShareTest::TearDown();
  }

  std::string SessionId(uint32_t domid) { return xen_->Read(Backend(domid, 0, "session-id")).value_or("none"); }
  bool HasSessions() const { return std::filesystem::exists(Path("web.save.virtfs")); }

  // In a process of the guest, which ends with its domain: the file as kFile, its first word read, a byte locked.
  void UseTheShareAndSave() {
    const std::string address = "unix:" + Path("socket");
    auto relay = xen_->Spawn({Program("frontend/virtfs-relay"), "docs", "--listen", address}, kGuest);
    ASSERT_TRUE(relay->WaitForOutput("msize at most"));
    StreamClient client = StreamClient::Connect(address);
    client.Begin();
    ASSERT_TRUE(client.Walk(kFile, "file").ok());
    ASSERT_TRUE(client.Call(p9::Tlopen{kFile, p9::kOpenReadWrite}).ok());
    ASSERT_TRUE(client.Call(p9::Tread{kFile, 0, 6}).ok());
    ASSERT_TRUE(client
                    .Call(p9::Tlock{.fid = kFile,
                                    .type = p9::kLockWrite,
                                    .flags = 0,
                                    .start = 0,
                                    .length = 1,
                                    .proc_id = 1,
                                    .client_id = "guest"})
                    .ok());
    session_ = SessionId(kGuest);
    const auto [saved, output] = Run({"save", "web", Path("web.save")});
    ASSERT_EQ(saved, 0) << output;
    ASSERT_TRUE(HasSessions());
    EXPECT_EQ(keeper_->Wait(), 0);
  }
  std::pair<int, std::string> Restore(const std::vector<std::string>& more = {}) {
    watch_ = Start({"watch", "--keeper", Program("backend/xen-virtfsd")});
    EXPECT_TRUE(watch_->WaitForOutput("ready"));
    std::vector<std::string> arguments = {"restore", Path("web.save")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Run(arguments);
  }
  // As the restored guest's relay would: it knows its fids and sends no Tversion.
  Connection ConnectAgain() {
    Connection connection;
    auto device = [&] {
      const AsDomain guest(*xen_, kRestored);
      return frontend::Device::Connect({.tag = "docs"});
    }();
    EXPECT_TRUE(device.ok()) << device.status();
    if (!device.ok()) return connection;
    connection.device = *std::move(device);
    connection.client = std::make_unique<frontend::P9Client>(connection.device->channel(), kBound);
    return connection;
  }
  static Result<std::string> Read(Connection& guest, p9::Fid fid, uint64_t offset) {
    std::array<uint8_t, 100> data;
    const Result<p9::Rread> read = guest.client->Call(p9::Tread{fid, offset, data.size()}, {}, data);
    if (!read.ok()) return read.error();
    return std::string(data.begin(), data.begin() + read->count);
  }
  int HostLock(const std::string& name) {
    const UniqueFd file(open(Path(name).c_str(), O_RDWR | O_CLOEXEC));
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_len = 1;
    return fcntl(file.get(), F_OFD_SETLK, &lock) == 0 ? 0 : errno;
  }

  std::shared_ptr<Process> watch_;
  std::string session_;
};

// fake_xl refuses while the guest has an event channel, as a real one would die of it.
TEST_F(SaveTest, WhatAFailedSaveClosedGoesOn) {
  Connection guest = ConnectShare("docs");
  ASSERT_TRUE(guest);
  frontend::RemoteFid file = OpenFile(guest);
  ASSERT_EQ(*Read(guest, file.get(), 0), "first second");
  for (int round = 0; round < 2; ++round) {
    const auto [status, output] = Run({"save", "web", Path("web.save")}, {"FAKE_XL_FAIL=save"});
    EXPECT_EQ(status, 1);
    EXPECT_THAT(output, HasSubstr("it fails, as it was told to"));
    EXPECT_FALSE(HasSessions());
    EXPECT_EQ(Read(guest, file.get(), 0).error(), Errno(EIO)) << "not connected";
    const absl::Status again = [&] {
      const AsDomain as_guest(*xen_, kGuest);
      return guest.device->Reconnect();
    }();
    ASSERT_TRUE(again.ok()) << again;
    EXPECT_TRUE(guest.device->session_goes_on());
    guest.client->Resume(guest.device->channel(), true);
    EXPECT_EQ(*Read(guest, file.get(), 6), "second");
    EXPECT_FALSE(xen_->Read(Private(kGuest, 0, "x-session")));
  }
  file.Reset();
  guest.Close();
}

TEST_F(SaveTest, OpenFilesAndLocksOfASavedGuestComeBack) {
  ASSERT_NO_FATAL_FAILURE(UseTheShareAndSave());
  struct stat status;
  ASSERT_EQ(stat(Path("web.save.virtfs").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  ASSERT_EQ(stat(Path("web.save.virtfs/0").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(HostLock("docs/file"), 0) << "nobody has it meanwhile";
  // What is open is a file, not its name.
  std::filesystem::rename(Path("docs/file"), Path("docs/renamed"));
  WriteFile("docs/file", "another file");

  const auto [restored, output] = Restore();
  ASSERT_EQ(restored, 0) << output;
  EXPECT_EQ(SessionId(kRestored), session_);
  Connection guest = ConnectAgain();
  ASSERT_TRUE(guest);
  EXPECT_EQ(guest.device->session_id(), session_);
  EXPECT_EQ(*Read(guest, kFile, 6), "second");
  EXPECT_EQ(HostLock("docs/renamed"), EAGAIN);
  const std::string_view more = " third";
  EXPECT_TRUE(guest.client
                  ->Call(p9::Twrite{kFile, 12, static_cast<uint32_t>(more.size())},
                         std::span(reinterpret_cast<const uint8_t*>(more.data()), more.size()))
                  .ok());
  EXPECT_EQ(ReadFile("docs/renamed"), "first second third");
  EXPECT_TRUE(guest.client->Call(p9::Tclunk{kFile}).ok());
  EXPECT_EQ(HostLock("docs/renamed"), 0);
  guest.Close();
  // Once only; and the files are there for the next restore.
  ASSERT_TRUE(WaitForState(kRestored, 0, kInitWait));
  EXPECT_NE(SessionId(kRestored), session_);
  EXPECT_TRUE(HasSessions());
}

TEST_F(SaveTest, WithoutItsDirectoryNothingIsRestoredUnlessForced) {
  ASSERT_NO_FATAL_FAILURE(UseTheShareAndSave());
  std::filesystem::rename(Path("docs"), Path("moved"));
  std::filesystem::create_directory(Path("docs"));
  const auto [refused, sentence] = Restore();
  EXPECT_EQ(refused, 1);
  EXPECT_THAT(sentence, HasSubstr("what web had open on docs would be lost: path=" + Path("docs") +
                                  " is not the directory that the session in"));
  EXPECT_THAT(sentence, HasSubstr("web was destroyed before it ran"));
  EXPECT_TRUE(HasSessions());
  std::filesystem::permissions(Path("web.save.virtfs"), std::filesystem::perms(0755));
  EXPECT_THAT(Run({"restore", Path("web.save")}).second, HasSubstr("web.save.virtfs could be another user's"));
  std::filesystem::permissions(Path("web.save.virtfs"), std::filesystem::perms(0700));
  const auto [forced, output] = Run({"restore", Path("web.save"), "--force"});
  EXPECT_EQ(forced, 0) << output;
  EXPECT_NE(SessionId(3), session_);
  if (const auto claim = xen_->Read("/local/domain/0/virtfs/3/keeper")) kill(atoi(claim->c_str()), SIGKILL);
}

// The image comes from a process that a guest may have taken over: nobody but a server reads it.
TEST_F(SaveTest, AnImageThatIsNoneCostsTheSessionAlone) {
  ASSERT_NO_FATAL_FAILURE(UseTheShareAndSave());
  const std::string path = Path("web.save.virtfs/0");
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const size_t image = bytes.find("vfs9Limg");
  ASSERT_NE(image, bytes.npos);
  bytes[image] = 'X';
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  const auto [restored, output] = Restore();
  EXPECT_EQ(restored, 0) << output;
  Connection guest = ConnectAgain();
  ASSERT_TRUE(guest);
  EXPECT_NE(guest.device->session_id(), session_);
  ASSERT_TRUE(guest.client->Version(8192).ok());
  EXPECT_TRUE(guest.client->Attach().ok());
  guest.Close();
}

// A keeper that does not answer: nothing is saved, and nothing stays closed.
TEST_F(SaveTest, AShareThatDoesNotCloseIsInTheWay) {
  Connection guest = ConnectShare("docs");
  ASSERT_TRUE(guest);
  ASSERT_EQ(kill(keeper_->pid(), SIGSTOP), 0);
  const auto [refused, sentence] = Run({"save", "web", Path("web.save"), "--wait", "1"});
  ASSERT_EQ(kill(keeper_->pid(), SIGCONT), 0);
  EXPECT_EQ(refused, 1);
  EXPECT_THAT(sentence, HasSubstr("web uses docs, which it would lose: its keeper does not close it in time"));
  EXPECT_FALSE(std::filesystem::exists(Path("web.save")));
  EXPECT_FALSE(xen_->Read(Private(kGuest, 0, "x-hand-over")));
  EXPECT_TRUE(guest.client->Call(p9::Tgetattr{guest.root.get(), p9::kGetattrBasic}).ok());
  guest.Close();
}

// Killed while xl saves, say: `xl-virtfs watch` opens the shares again.
TEST_F(SaveTest, WhatAKilledSaveLeavesTheWatchOpensAgain) {
  Connection guest = ConnectShare("docs");
  ASSERT_TRUE(guest);
  frontend::RemoteFid file = OpenFile(guest);
  std::filesystem::create_directory(Path("sessions"));
  ASSERT_TRUE(xen_->Write(Private(kGuest, 0, "x-hand-over"), Path("sessions/0")));
  ASSERT_TRUE(WaitForState(kGuest, 0, kClosed));
  watch_ = Start({"watch", "--keeper", Program("backend/xen-virtfsd")});
  ASSERT_TRUE(WaitForState(kGuest, 0, kInitWait));
  const absl::Status again = [&] {
    const AsDomain as_guest(*xen_, kGuest);
    return guest.device->Reconnect();
  }();
  ASSERT_TRUE(again.ok()) << again;
  EXPECT_TRUE(guest.device->session_goes_on());
  guest.client->Resume(guest.device->channel(), true);
  EXPECT_EQ(*Read(guest, file.get(), 6), "second");
  file.Reset();
  guest.Close();
}

TEST_F(SaveTest, WhatAKilledSaveLeavesTheNextSaveHas) {
  Connection guest = ConnectShare("docs");
  ASSERT_TRUE(guest);
  session_ = SessionId(kGuest);
  std::filesystem::create_directory(Path("sessions"));
  ASSERT_TRUE(xen_->Write(Private(kGuest, 0, "x-hand-over"), Path("sessions/0")));
  ASSERT_TRUE(WaitForState(kGuest, 0, kClosed));
  ASSERT_TRUE(xen_->WaitForNode("/local/domain/1/device/virtfs/0/state", kClosed));
  guest.root.Forget();
  guest.Close();
  const auto [saved, output] = Run({"save", "web", Path("web.save")});
  EXPECT_EQ(saved, 0) << output;
  const auto [restored, sentence] = Restore();
  ASSERT_EQ(restored, 0) << sentence;
  EXPECT_EQ(SessionId(kRestored), session_);
}

}  // namespace
}  // namespace virtfs
