// mount.virtfs from its arguments to the unmount, on a simulated Xen. The kernel's part, mount(2) and the 9p client
// behind it, is played by the test: it takes the descriptor that the options name and speaks 9P on it.

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <sstream>

#include "frontend/mount/mount_share.h"
#include "frontend/relay/stream_client.h"
#include "tests/client_fixture.h"

namespace virtfs {
namespace {

using ::testing::HasSubstr;

constexpr unsigned long kNoIo = 0x80000;  // PF_MEMALLOC_NOIO of the kernel.

class MountTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    StartGuest();
    ASSERT_EQ(mkdir(Path("mnt").c_str(), 0755), 0);
    // This process is the guest's mount.virtfs; its relay is to be one of the guest, with the simulation's libraries.
    for (const std::string& variable : xen_->Environment(kGuest)) {
      constexpr std::string_view kLibraries = "LD_LIBRARY_PATH=";
      if (variable.starts_with(kLibraries)) setenv("LD_LIBRARY_PATH", variable.c_str() + kLibraries.size(), 1);
    }
  }
  void TearDown() override {
    unsetenv("LD_LIBRARY_PATH");
    client_.reset();
    ClientTest::TearDown();
  }

  // Runs mount.virtfs; the kernel's answer to mount(2) is `error`. Its exit status, and stderr in sentence_.
  int Mount(const std::string& options, int error = 0) {
    const auto request = frontend::ParseMountRequest({"share", Path("mnt"), "-o", options});
    EXPECT_TRUE(request.ok()) << request.status();
    const std::vector<int> before = ChildrenOf(getpid());
    const frontend::MountSystem system = {
        .load_modules = [] { return absl::OkStatus(); },
        .mount =
            [&](const char* source, const char* target, const char* type, unsigned long flags, const char* data) {
              EXPECT_EQ(source, std::string("share"));
              EXPECT_EQ(target, Path("mnt"));
              EXPECT_EQ(type, std::string("9p"));
              flags_ = flags;
              data_ = data;
              relays_ = ChildrenOf(getpid());
              std::erase_if(relays_, [&](int child) { return std::ranges::find(before, child) != before.end(); });
              if (error != 0) return error;
              // The kernel keeps a reference of its own.
              const size_t fd = data_.find("rfdno=") + 6;
              client_.emplace(dup(std::atoi(data_.c_str() + fd)));
              msize_ = client_->Begin(static_cast<uint32_t>(std::atoi(data_.c_str() + data_.find(",msize=") + 7)));
              return 0;
            },
        .program = Program("frontend/mount.virtfs")};
    const AsDomain guest(*xen_, kGuest);
    testing::internal::CaptureStderr();
    const int status = frontend::MountShare(*request, system);
    sentence_ = testing::internal::GetCapturedStderr();
    return status;
  }

  // The relay has ended by itself and left nothing.
  void ExpectOver() {
    ASSERT_EQ(relays_.size(), 1U);
    int status = -1;
    ASSERT_EQ(waitpid(relays_[0], &status, 0), relays_[0]);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(WaitForState(kGuest, 0, kInitWait));
    EXPECT_TRUE(xen_->Holdings(kGuest).empty());
  }

  std::string RelayFile(const std::string& name) const {
    std::ostringstream content;
    content << std::ifstream("/proc/" + std::to_string(relays_.at(0)) + "/" + name).rdbuf();
    return content.str();
  }

  std::optional<StreamClient> client_;
  std::vector<int> relays_;
  std::string data_;
  std::string sentence_;
  unsigned long flags_ = 0;
  uint32_t msize_ = 0;
};

TEST_F(MountTest, MountsAndGoesWithTheUnmount) {
  Share("share");
  WriteFile("share/file", "content");
  ASSERT_EQ(Mount("ro,cache=loose,_netdev,x-systemd.automount"), 0) << sentence_;
  EXPECT_EQ(flags_, static_cast<unsigned long>(MS_RDONLY));
  EXPECT_THAT(data_, HasSubstr("trans=fd,rfdno="));
  EXPECT_THAT(data_, testing::EndsWith(",cache=loose"));
  // What the kernel was told is what the ring holds: no surprise in Rversion.
  EXPECT_THAT(data_, HasSubstr(",msize=" + std::to_string(msize_) + ","));
  ASSERT_TRUE(client_->Walk(1, "file").ok());
  ASSERT_TRUE(client_->Call(p9::Tlopen{1, p9::kOpenReadOnly}).ok());
  ASSERT_TRUE(client_->Call(p9::Tread{1, 0, 100}).ok());
  EXPECT_EQ(std::string(client_->Data().begin(), client_->Data().end()), "content");
  // What asks processes to end does not end this one.
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ASSERT_EQ(kill(relays_.at(0), number), 0);
  ASSERT_TRUE(client_->Call(p9::Tgetattr{1, p9::kGetattrBasic}).ok());
  client_.reset();
  ExpectOver();
}

TEST_F(MountTest, TheRelayIsReadyForWriteBack) {
  Share("share");
  ASSERT_EQ(Mount("defaults"), 0) << sentence_;
  const std::string status = RelayFile("status");
  EXPECT_THAT(status, HasSubstr("Name:\tvirtfs-relay"));
  const size_t locked = status.find("VmLck:");
  ASSERT_NE(locked, status.npos);
  EXPECT_GT(std::atoi(status.c_str() + locked + 6), 1000) << "kB";
  // The kernel refuses these to a root without CAP_SYS_RESOURCE, as in some containers.
  if (prctl(58 /* PR_GET_IO_FLUSHER */, 0, 0, 0, 0) >= 0) {
    EXPECT_EQ(RelayFile("oom_score_adj"), "-1000\n");
    std::istringstream fields(RelayFile("stat"));
    std::string field;
    for (int i = 0; i < 9; ++i) fields >> field;
    EXPECT_NE(std::stoul(field) & kNoIo, 0U) << field;
  }
  // It holds nothing of who mounted: no terminal, no directory, no descriptor but its own.
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(relays_[0]) + "/cwd"), "/");
  for (const char* standard : {"0", "1", "2"}) {
    EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(relays_[0]) + "/fd/" + standard), "/dev/null");
  }
  client_.reset();
  ExpectOver();
}

TEST_F(MountTest, AMountThatTheKernelRefusesLeavesTheShareFree) {
  Share("share");
  EXPECT_EQ(Mount("cache=nonsense", EINVAL), frontend::kMountFailed);
  EXPECT_THAT(sentence_, HasSubstr("the kernel refuses the options cache=nonsense"));
  // It has waited for that: the next finds the share at once.
  EXPECT_TRUE(xen_->Holdings(kGuest).empty());
  EXPECT_EQ(Mount("", EPROTONOSUPPORT), frontend::kMountFailed);
  EXPECT_THAT(sentence_, HasSubstr("no transport fd (module 9pnet_fd)"));
  EXPECT_EQ(Mount("wait=5"), 0) << sentence_;
  client_.reset();
  ExpectOver();
}

TEST_F(MountTest, AShareThatDoesNotComeIsNamed) {
  EXPECT_EQ(Mount("wait=1"), frontend::kMountFailed);
  EXPECT_THAT(sentence_, HasSubstr("mount.virtfs: share: no share with the tag 'share'; this guest has no share"));
  EXPECT_EQ(data_, "");
}

TEST_F(MountTest, ServerDeathEndsTheSessionButNotTheRelay) {
  Share("share");
  ASSERT_EQ(Mount("defaults"), 0) << sentence_;
  const std::vector<int> servers = ChildrenOf(keeper_->pid());
  ASSERT_EQ(servers.size(), 1U);
  ASSERT_EQ(kill(servers[0], SIGKILL), 0);
  EXPECT_EQ(client_->Call(p9::Tgetattr{0, p9::kGetattrBasic}).error(), Errno(EIO));
  EXPECT_EQ(client_->Call(p9::Tgetattr{0, p9::kGetattrBasic}).error(), Errno(EIO));
  // What the kernel does at the unmount.
  EXPECT_TRUE(client_->Call(p9::Tclunk{0}).ok());
  client_.reset();
  ExpectOver();
}

TEST_F(MountTest, FewPagesAreSharedByManyMounts) {
  Share("share");
  // A guest that has granted most of what its kernel grants.
  xen_->SetPageLimit(kGuest, 100);
  ASSERT_EQ(Mount("msize=524288"), 0) << sentence_;
  EXPECT_LT(msize_, 200U * 1024);
  EXPECT_GE(msize_, 64U * 1024);
  client_.reset();
  ExpectOver();
}

class MountProgramTest : public MountTest {
 protected:
  int Run(const std::vector<std::string>& arguments, std::string& output) {
    std::vector<std::string> argv = {Program("frontend/mount.virtfs")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const std::shared_ptr<Process> process = xen_->Spawn(argv, kGuest);
    const int status = process->Wait();
    output = process->Output();
    return status;
  }
};

TEST_F(MountProgramTest, SaysWhatIsWrong) {
  std::string output;
  EXPECT_EQ(Run({"share", Path("mnt"), "-o", "trans=tcp"}, output), frontend::kMountUsage);
  EXPECT_THAT(output, HasSubstr("option trans is for mount.virtfs to set"));
  EXPECT_EQ(Run({"share", Path("nowhere")}, output), frontend::kMountFailed);
  EXPECT_THAT(output, HasSubstr("mount point " + Path("nowhere") + ": No such file or directory"));
  EXPECT_EQ(Run({"--help"}, output), 0);
  EXPECT_THAT(output, HasSubstr("usage: mount -t virtfs TAG DIR"));
}

TEST_F(MountProgramTest, FakeSaysWhatItWouldDo) {
  std::string output;
  EXPECT_EQ(Run({"share", Path("mnt"), "-fv", "-o", "ro,cache=mmap"}, output), 0);
  EXPECT_THAT(output, HasSubstr("mount -t 9p -o trans=fd"));
  EXPECT_THAT(output, HasSubstr("cache=mmap share " + Path("mnt") + " (flags 0x1)"));
}

TEST_F(MountProgramTest, AKernelWithout9pIsNamed) {
  std::string systems;
  std::getline(std::ifstream("/proc/filesystems"), systems, '\0');
  if (systems.find("\t9p\n") != systems.npos) GTEST_SKIP() << "this kernel has 9p";
  Share("share");
  std::string output;
  EXPECT_EQ(Run({"share", Path("mnt")}, output), frontend::kMountFailed);
  EXPECT_THAT(output, HasSubstr("this kernel has no 9p file system"));
  EXPECT_TRUE(xen_->Holdings(kGuest).empty());
}

}  // namespace
}  // namespace virtfs
