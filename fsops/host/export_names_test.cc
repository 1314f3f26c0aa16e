#include <sys/resource.h>
#include <sys/sysmacros.h>

#include <vector>

#include "fsops/host/export_fixture.h"
#include "fsops/host/usage.h"

namespace virtfs::host {
namespace {

class NamesTest : public ExportTest {};
INSTANTIATE_ON_FILE_SYSTEMS(NamesTest);

constexpr Owner kRoot{0, 0};

TEST_P(NamesTest, MakesEveryType) {
  const Node d = MakeDirectory(root(), "d", 01777);
  EXPECT_EQ(d.attributes.mode, S_IFDIR | 01777u);
  EXPECT_EQ(tree_->Parent(*d.inode)->inode, tree_->root());
  EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("d"), 0755, kRoot)), EEXIST);
  for (const uint32_t type : {S_IFREG, S_IFIFO, S_IFSOCK}) {
    const Attributes made = *tree_->MakeNode(*d.inode, Name(std::to_string(type)), type | 0640, 0, kRoot);
    EXPECT_EQ(made.mode, type | 0640u);
    EXPECT_EQ(tree_->Lookup(*d.inode, Name(std::to_string(type)))->inode->type(), type);
  }
  for (const uint32_t type : {S_IFCHR, S_IFBLK}) {
    const dev_t device = makedev(200, 70000);
    const Attributes made = *tree_->MakeNode(*d.inode, Name(std::to_string(type)), type | 0640, device, kRoot);
    EXPECT_EQ(made.mode, type | 0640u);
    EXPECT_EQ(made.rdev, device);
  }
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("x"), S_IFDIR | 0755, 0, kRoot)), EPERM);
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("x"), S_IFLNK | 0777, 0, kRoot)), EINVAL);
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("x"), S_IFMT, 0, kRoot)), EINVAL);
}

TEST_P(NamesTest, LinksAnythingButDirectories) {
  Write(path("f"), "text");
  ASSERT_EQ(symlink("/etc/passwd", path("l").c_str()), 0);
  ASSERT_EQ(symlink("nowhere", path("dangling").c_str()), 0);
  for (const char* name : {"f", "l", "dangling"}) {
    const InodeRef file = Get(name);
    const std::string other = std::string(name) + "2";
    EXPECT_EQ(ErrorOf(tree_->Link(*file, root(), Name(other))), 0);
    EXPECT_EQ(Get(other), file);
    EXPECT_EQ(tree_->Stat(*file)->nlink, 2u);
    EXPECT_EQ(ErrorOf(tree_->Link(*file, root(), Name(other))), EEXIST);
  }
  EXPECT_EQ(ErrorOf(tree_->Link(root(), root(), Name("d"))), EPERM);
  const ScratchDirectory elsewhere(std::string(GetParam()) == "/tmp" ? "/dev/shm" : "/tmp");
  auto other = MakeExport(elsewhere.path(), *broker_);
  EXPECT_EQ(ErrorOf(tree_->Link(*Get("f"), *other->root(), Name("f"))), EXDEV);
}

TEST_P(NamesTest, RenamesBetweenDirectories) {
  const InodeRef a = MakeDirectory(root(), "a").inode;
  const InodeRef b = MakeDirectory(*a, "b").inode;
  Write(path("a/b/f"), "text");
  const InodeRef f = tree_->Lookup(*b, Name("f"))->inode;
  EXPECT_EQ(ErrorOf(tree_->Rename(*b, Name("f"), root(), Name("g"))), 0);
  EXPECT_EQ(Get("g"), f);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("a"), *b, Name("loop"))), EINVAL);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("none"), root(), Name("x"))), ENOENT);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("g"), root(), Name("a"))), EISDIR);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("a"), root(), Name("g"))), ENOTDIR);
  EXPECT_EQ(ErrorOf(tree_->Rename(*a, Name("b"), root(), Name("c"))), 0);
  EXPECT_EQ(tree_->Parent(*b)->inode, tree_->root());
}

TEST_P(NamesTest, RemovesByKind) {
  const InodeRef d = MakeDirectory(root(), "d").inode;
  Write(path("d/f"), "");
  EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("d"))), EISDIR);
  EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("d"))), ENOTEMPTY);
  EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(*d, Name("f"))), ENOTDIR);
  EXPECT_EQ(ErrorOf(tree_->Unlink(*d, Name("f"))), 0);
  EXPECT_EQ(ErrorOf(tree_->Unlink(*d, Name("f"))), ENOENT);
  EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("d"))), 0);
  // In a directory that is gone nothing can be made.
  EXPECT_EQ(ErrorOf(tree_->MakeDirectory(*d, Name("x"), 0755, kRoot)), ENOENT);
  EXPECT_EQ(tree_->Stat(*d)->nlink, 0u);
}

TEST_P(NamesTest, ActsOnlyOnTheSameFile) {
  Write(path("f"), "old");
  const InodeRef f = Get("f");
  // Replaced by another file of that name.
  ASSERT_EQ(rename(path("f").c_str(), path("moved").c_str()), 0);
  EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("f"), *f)), ENOENT);
  Write(path("f"), "new");
  EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("f"), *f)), ESTALE);
  EXPECT_EQ(ErrorOf(tree_->RenameIfSame(root(), Name("f"), *f, root(), Name("g"))), ESTALE);
  ASSERT_EQ(symlink("moved", path("s").c_str()), 0);
  EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("s"), *f)), ESTALE);
  EXPECT_EQ(Read(path("f")), "new");

  EXPECT_EQ(ErrorOf(tree_->RenameIfSame(root(), Name("moved"), *f, root(), Name("g"))), 0);
  EXPECT_EQ(Get("g"), f);
  EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("g"), *f)), 0);
  EXPECT_EQ(ErrorOf(Find("g")), ENOENT);

  const InodeRef d = MakeDirectory(root(), "d").inode;
  EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("d"), *d)), 0);
  EXPECT_EQ(ErrorOf(Find("d")), ENOENT);
}

// The file's own descriptor is the last there is.
TEST_P(NamesTest, AFileThatCannotBeKeptIsNotLeftBehind) {
  for (const uint64_t max_files : {0, 10}) {
    Reexport({.max_files = max_files});
    ASSERT_EQ(ErrorOf(AssumeOwner(kRoot)), 0);
    rlimit before;
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    std::vector<UniqueFd> others;
    others.emplace_back(dup(0));
    const rlimit full{static_cast<rlim_t>(others[0].get()) + 20, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &full), 0);
    while (others.back().ok()) others.emplace_back(dup(0));
    others.pop_back();
    others.pop_back();
    const Result<CreatedFile> made = tree_->Create(root(), Name("f"), {.access = Access::kReadWrite}, 0600, kRoot);
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_EQ(ErrorOf(made), EMFILE);
    EXPECT_EQ(ErrorOf(Find("f")), ENOENT);
    EXPECT_EQ(tree_->inodes(), 1u);
    if (max_files != 0) {
      EXPECT_EQ(tree_->usage()->now(), Usage::Count());
    }
  }
}

}  // namespace
}  // namespace virtfs::host
