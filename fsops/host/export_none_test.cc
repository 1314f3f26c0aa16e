// The model "none": an export served without any privilege.
#include <grp.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <functional>

#include "fsops/host/export_fixture.h"

namespace virtfs::host {
namespace {

constexpr uint32_t kUser = 1234;

class NoneTest : public ExportTest {
 protected:
  // Runs `body` as a user without capabilities to whom the export belongs.
  void Unprivileged(const std::function<void()>& body) {
    ASSERT_EQ(chown(path().c_str(), kUser, kUser), 0);
    Write(path("others"), "text");
    const pid_t child = fork();
    if (child == 0) {
      if (setgroups(0, nullptr) != 0 || setgid(kUser) != 0 || setuid(kUser) != 0) _exit(2);
      // The securebit of PrepareCredentials has kept them.
      __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
      const __user_cap_data_struct none[2] = {};
      if (syscall(SYS_capset, &header, none) != 0) _exit(3);
      Reexport({.model = SecurityModel::kNone});
      body();
      _exit(HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
};
INSTANTIATE_ON_FILE_SYSTEMS(NoneTest);

TEST_P(NoneTest, WhatIsMadeIsTheServers) {
  Unprivileged([&] {
    Result<CreatedFile> f = tree_->Create(root(), Name("f"), {.access = Access::kReadWrite}, 04755, {0, 0});
    ASSERT_EQ(ErrorOf(f), 0);
    EXPECT_EQ(f->node.attributes.mode, S_IFREG | 04755u);
    EXPECT_EQ(f->node.attributes.uid, kUser);
    const Result<Attributes> d = tree_->MakeDirectory(root(), Name("d"), 01777, {1, 2});
    ASSERT_EQ(ErrorOf(d), 0);
    EXPECT_EQ(d->mode, S_IFDIR | 01777u);
    EXPECT_EQ(d->uid, kUser);
    EXPECT_EQ(tree_->MakeSymlink(root(), Name("l"), "t", {1, 2})->uid, kUser);
    EXPECT_EQ(tree_->MakeNode(root(), Name("p"), S_IFIFO | 0600, 0, {1, 2})->uid, kUser);
    EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("c"), S_IFCHR | 0600, 0x103, {1, 2})), EPERM);
  });
  EXPECT_EQ(StatOf(path("f")).st_uid, kUser);
  EXPECT_TRUE(S_ISLNK(StatOf(path("l")).st_mode));
  EXPECT_TRUE(S_ISFIFO(StatOf(path("p")).st_mode));
}

TEST_P(NoneTest, AnOwnerStaysAndThatIsNoError) {
  Unprivileged([&] {
    ASSERT_EQ(ErrorOf(tree_->Create(root(), Name("f"), {}, 0600, {0, 0})), 0);
    const InodeRef f = Get("f"), others = Get("others");
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mode = 0644, .uid = 0, .gid = 5, .size = 3})), 0);
    EXPECT_EQ(tree_->Stat(*f)->uid, kUser);
    EXPECT_EQ(tree_->Stat(*f)->mode, S_IFREG | 0644u);
    EXPECT_EQ(tree_->Stat(*f)->size, 3u);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*others, {.uid = kUser})), 0);
    EXPECT_EQ(tree_->Stat(*others)->uid, 0u);
    // All else is refused as the kernel does.
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*others, {.mode = 0666})), EPERM);
    EXPECT_EQ(ErrorOf(tree_->Open(*others, {.access = Access::kWrite})), EACCES);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.uid = 0xffffffff})), EINVAL);
  });
}

TEST_P(NoneTest, AllElseIsAsUnderPassthrough) {
  Unprivileged([&] {
    ASSERT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("d"), 0700, {})), 0);
    ASSERT_EQ(ErrorOf(tree_->Create(root(), Name("f"), {}, 0600, {})), 0);
    const InodeRef d = Get("d"), f = Get("f");
    EXPECT_EQ(ErrorOf(tree_->Link(*f, *d, Name("g"))), 0);
    EXPECT_EQ(ErrorOf(tree_->Rename(*d, Name("g"), root(), Name("h"))), 0);
    EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("h"))), 0);
    EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("d"))), 0);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mtime = {TimeChange::Kind::kSet, {5, 0}}})), 0);
    const auto open = *tree_->Open(*f, {.access = Access::kReadWrite});
    EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("f"))), 0);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.size = 9}, open.get())), 0);
    EXPECT_EQ(tree_->Stat(*f)->size, 9u);
    // A symlink of the host's is not followed, and .virtfs_metadata is a name like others.
    EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name(".virtfs_metadata"), 0700, {})), 0);
  });
}

}  // namespace
}  // namespace virtfs::host
