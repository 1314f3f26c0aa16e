// A file system that is mounted inside the tree: the warning of multidevs=warn (session_fids_test has the rest), and
// those of the kernel's own.

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <atomic>

#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

// Before any export is opened: a descriptor belongs to the mounts that it was opened in.
const bool own_mounts = unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;

class DevicesTest : public SessionTest {
 protected:
  explicit DevicesTest(const SessionOptions& options = {}) : SessionTest(options, {}, "/dev/shm") {}

  void SetUp() override {
    if (!own_mounts) GTEST_SKIP() << "mounts, which takes root";
    MakeDirectory("inside");
    MakeFile("file");
    ASSERT_EQ(mount("none", Host("inside").c_str(), "tmpfs", 0, "size=1m"), 0);
    MakeFile("inside/file");
  }
  void TearDown() override {
    session_.reset();
    tree_.reset();
    if (own_mounts) umount2(Host("inside").c_str(), MNT_DETACH);
  }

  uint64_t QidOf(p9::Fid fid, std::initializer_list<std::string_view> names) {
    const auto walked = client_.Walk(kRoot, fid, names);
    EXPECT_TRUE(walked.ok() && walked->wqid.size() == names.size());
    return walked.ok() && !walked->wqid.empty() ? walked->wqid[walked->wqid.size() - 1].path : 0;
  }
};

class WarnTest : public DevicesTest {
 protected:
  WarnTest() : DevicesTest({.devices = SessionOptions::Devices::kWarn, .on_foreign_device = [] { ++warnings; }}) {
    warnings = 0;
  }
  static inline std::atomic<int> warnings = 0;
};

TEST_F(WarnTest, NumbersAreTheHostsAndThatIsSaidOnce) {
  EXPECT_EQ(QidOf(1, {"file"}), HostStat("file").st_ino);
  EXPECT_EQ(warnings, 0);
  EXPECT_EQ(QidOf(2, {"inside", "file"}), HostStat("inside/file").st_ino);
  QidOf(3, {"inside"});
  EXPECT_EQ(warnings, 1);
}

// Whatever the operator chose.
TEST_F(DevicesTest, TheKernelsOwnFileSystemsAreNotForGuests) {
  for (const char* type : {"proc", "sysfs", "cgroup2"}) {
    MakeDirectory(type);
    // (A container's own user namespace may not mount some.)
    if (mount("none", Host(type).c_str(), type, 0, nullptr) != 0) continue;
    EXPECT_EQ(Error(client_.Walk(kRoot, 1, {type})), EACCES) << type;
    EXPECT_EQ(Error(client_.Walk(kRoot, 1, {type})), EACCES) << type << " again";
    umount2(Host(type).c_str(), MNT_DETACH);
    EXPECT_EQ(Error(client_.Walk(kRoot, 1, {type})), 0) << type;
    EXPECT_TRUE(client_.Clunk(1).ok());
  }
}

}  // namespace
}  // namespace virtfs
