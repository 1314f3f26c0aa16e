#include "fsops/host/local_handle_broker.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "fsops/host/export_fixture.h"

namespace virtfs::host {
namespace {

class LocalHandleBrokerTest : public ExportTest {
 protected:
  void SetUp() override {
    ExportTest::SetUp();
    if (!IsSkipped() && !HandlesWork()) GTEST_SKIP() << "file handles cannot be used here";
  }
};
INSTANTIATE_ON_FILE_SYSTEMS(LocalHandleBrokerTest);

TEST_P(LocalHandleBrokerTest, TokensAreKeptUntilDropped) {
  Write(path("f"), "text");
  LocalHandleBroker broker(OpenDirectory(path()).get(), 2);
  const UniqueFd f(open(path("f").c_str(), O_PATH));
  const HandleToken first = *broker.Keep(f.get());
  const HandleToken second = *broker.Keep(f.get());
  EXPECT_NE(first, second);
  EXPECT_EQ(ErrorOf(broker.Keep(f.get())), ENOSPC);
  broker.Drop(first);
  EXPECT_EQ(ErrorOf(broker.Reopen(first)), ESTALE);
  EXPECT_EQ(ErrorOf(broker.Keep(f.get())), 0);
  broker.Drop(first);
  broker.Drop(HandleToken{12345});
  EXPECT_EQ(broker.kept(), 2u);

  const UniqueFd again = *broker.Reopen(second);
  EXPECT_EQ(fcntl(again.get(), F_GETFL) & O_PATH, O_PATH);
  EXPECT_EQ(fcntl(again.get(), F_GETFD), FD_CLOEXEC);
  struct stat stat;
  ASSERT_EQ(fstat(again.get(), &stat), 0);
  EXPECT_EQ(stat.st_ino, StatOf(path("f")).st_ino);
}

// A session that waits in a file for its guest.
TEST_P(LocalHandleBrokerTest, AHandleOfOneBrokerIsGoodForAnother) {
  Write(path("f"), "text");
  const UniqueFd root = OpenDirectory(path());
  LocalHandleBroker first(root.get()), second(root.get(), 1);
  const UniqueFd f(open(path("f").c_str(), O_PATH));
  const FileHandle handle = first.Show(*first.Keep(f.get()));
  EXPECT_EQ(handle, *HandleOf(f.get()));
  const UniqueFd again = *second.Reopen(*second.Adopt(handle));
  struct stat stat;
  ASSERT_EQ(fstat(again.get(), &stat), 0);
  EXPECT_EQ(stat.st_ino, StatOf(path("f")).st_ino);
  EXPECT_EQ(ErrorOf(second.Adopt(handle)), ENOSPC);
  // A server may say any token.
  EXPECT_EQ(first.Show(HandleToken{12345}), FileHandle());
  EXPECT_EQ(ErrorOf(first.Adopt(FileHandle())), ESTALE);
  EXPECT_EQ(ErrorOf(first.Adopt({.type = handle.type, .bytes = std::vector<uint8_t>(MAX_HANDLE_SZ + 1)})), ESTALE);
}

TEST_P(LocalHandleBrokerTest, WhatAHostileServerMaySend) {
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  const UniqueFd one(sockets[0]), other(sockets[1]);
  const UniqueFd device(open("/dev/zero", O_PATH));
  const UniqueFd process(open("/proc/self/status", O_PATH));
  EXPECT_EQ(ErrorOf(broker_->Keep(-1)), EBADF);
  EXPECT_NE(ErrorOf(broker_->Keep(one.get())), 0);
  EXPECT_NE(ErrorOf(broker_->Keep(device.get())), 0);
  EXPECT_NE(ErrorOf(broker_->Keep(process.get())), 0);
  EXPECT_EQ(broker_->kept(), 0u);
}

// A file system mounted within the export, which is cloned with it.
TEST_P(LocalHandleBrokerTest, MountsWithinTheExport) {
  if (unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "no mount namespace to be had";
  ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  Write(path("f"), "text");
  ASSERT_EQ(mkdir(path("sub").c_str(), 0755), 0);
  ASSERT_EQ(mount("none", path("sub").c_str(), "tmpfs", 0, nullptr), 0);
  UniqueFd top(static_cast<int>(
      syscall(SYS_open_tree, AT_FDCWD, path().c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)));
  ASSERT_TRUE(top.ok());
  ASSERT_EQ(umount2(path("sub").c_str(), MNT_DETACH), 0);
  LocalHandleBroker broker(top.get());
  auto tree = *Export::Make(std::move(top), OpenDirectory("/proc/self/fd"), broker, {.max_descriptors = 1});

  const Node sub = *tree->Lookup(*tree->root(), Name("sub"));
  EXPECT_NE(sub.attributes.dev, tree->Stat(*tree->root())->dev);
  ASSERT_EQ(ErrorOf(tree->MakeDirectory(*sub.inode, Name("d"), 0755, {0, 0})), 0);
  const Node d = *tree->Lookup(*sub.inode, Name("d"));
  const InodeRef f = tree->Create(*d.inode, Name("f"), {.access = Access::kWrite}, 0600, {0, 0})->node.inode;
  const InodeRef above = tree->Lookup(*tree->root(), Name("f"))->inode;
  EXPECT_LE(tree->held_descriptors(), 3u);
  // Each comes back on its own mount.
  EXPECT_EQ(tree->Parent(*d.inode)->inode, sub.inode);
  EXPECT_EQ(tree->Parent(*sub.inode)->inode, tree->root());
  EXPECT_EQ(ErrorOf(tree->Open(*f, {})), 0);
  EXPECT_EQ(ErrorOf(tree->Link(*f, *sub.inode, Name("g"))), 0);
  EXPECT_EQ(ErrorOf(tree->Link(*f, *tree->root(), Name("g"))), EXDEV);
  EXPECT_EQ(ErrorOf(tree->Rename(*d.inode, Name("f"), *tree->root(), Name("h"))), EXDEV);
  EXPECT_EQ(tree->Stat(*above)->size, 4u);
}

}  // namespace
}  // namespace virtfs::host
