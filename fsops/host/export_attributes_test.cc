#include <linux/limits.h>
#include <sys/statfs.h>

#include "fsops/host/export_fixture.h"

namespace virtfs::host {
namespace {

class AttributesTest : public ExportTest {
 protected:
  int Set(Inode& inode, const AttributeChange& change, const OpenFile* open = nullptr) {
    return ErrorOf(tree_->SetAttributes(inode, change, open));
  }
};
INSTANTIATE_ON_FILE_SYSTEMS(AttributesTest);

constexpr TimeChange kNow = {TimeChange::Kind::kNow, {}};
constexpr TimeChange At(int64_t seconds, uint32_t nanoseconds = 0) {
  return {TimeChange::Kind::kSet, {seconds, nanoseconds}};
}

TEST_P(AttributesTest, StatSaysWhatTheHostSays) {
  Write(path("f"), "text");
  const InodeRef f = Get("f");
  const Attributes now = *tree_->Stat(*f);
  const struct stat host = StatOf(path("f"));
  EXPECT_EQ(now.dev, host.st_dev);
  EXPECT_EQ(now.ino, host.st_ino);
  EXPECT_EQ(now.mode, host.st_mode);
  EXPECT_EQ(now.nlink, host.st_nlink);
  EXPECT_EQ(now.size, 4u);
  EXPECT_EQ(now.block_size, static_cast<uint64_t>(host.st_blksize));
  EXPECT_EQ(now.blocks, static_cast<uint64_t>(host.st_blocks));
  EXPECT_EQ(now.atime, (Time{host.st_atim.tv_sec, static_cast<uint32_t>(host.st_atim.tv_nsec)}));
  EXPECT_EQ(now.mtime, (Time{host.st_mtim.tv_sec, static_cast<uint32_t>(host.st_mtim.tv_nsec)}));
  EXPECT_EQ(now.ctime, (Time{host.st_ctim.tv_sec, static_cast<uint32_t>(host.st_ctim.tv_nsec)}));
}

TEST_P(AttributesTest, OwnerComesBeforeMode) {
  Write(path("f"), "");
  const InodeRef f = Get("f");
  ASSERT_EQ(Set(*f, {.mode = 06755, .uid = 10, .gid = 20}), 0);
  EXPECT_EQ(StatOf(path("f")).st_mode & 07777, 06755u);
  EXPECT_EQ(StatOf(path("f")).st_uid, 10u);
  EXPECT_EQ(StatOf(path("f")).st_gid, 20u);
  // A change of owner alone takes the set-id bits away, as everywhere.
  ASSERT_EQ(Set(*f, {.uid = 11}), 0);
  EXPECT_EQ(StatOf(path("f")).st_mode & 07777, 0755u);
  EXPECT_EQ(StatOf(path("f")).st_uid, 11u);
  EXPECT_EQ(StatOf(path("f")).st_gid, 20u);
  ASSERT_EQ(Set(*f, {.gid = 21}), 0);
  EXPECT_EQ(StatOf(path("f")).st_uid, 11u);
  EXPECT_EQ(StatOf(path("f")).st_gid, 21u);
  // The type is not part of the permissions.
  ASSERT_EQ(Set(*f, {.mode = S_IFDIR | 0600}), 0);
  EXPECT_EQ(StatOf(path("f")).st_mode, S_IFREG | 0600u);
}

TEST_P(AttributesTest, SizeThenTimes) {
  Write(path("f"), "0123456789");
  const InodeRef f = Get("f");
  ASSERT_EQ(Set(*f, {.size = 4, .atime = At(100, 1), .mtime = At(-200, 999'999'999)}), 0);
  EXPECT_EQ(Read(path("f")), "0123");
  const struct stat host = StatOf(path("f"));
  EXPECT_EQ(host.st_mtim.tv_sec, -200);
  EXPECT_EQ(host.st_mtim.tv_nsec, 999'999'999);
  ASSERT_EQ(Set(*f, {.size = uint64_t{5} << 30}), 0);
  EXPECT_EQ(StatOf(path("f")).st_size, off_t{5} << 30);
  EXPECT_EQ(Set(*f, {.size = ~uint64_t{0}}), EFBIG);
  EXPECT_EQ(Set(*f, {.size = uint64_t{1} << 63}), EFBIG);
  EXPECT_EQ(Set(root(), {.size = 0}), EISDIR);
}

TEST_P(AttributesTest, TimesNowSetOrKept) {
  Write(path("f"), "");
  const InodeRef f = Get("f");
  ASSERT_EQ(Set(*f, {.atime = At(100), .mtime = At(200)}), 0);
  const time_t before = time(nullptr);
  ASSERT_EQ(Set(*f, {.mtime = kNow}), 0);
  EXPECT_EQ(StatOf(path("f")).st_atime, 100);
  EXPECT_GE(StatOf(path("f")).st_mtime, before);
  ASSERT_EQ(Set(*f, {.atime = kNow, .mtime = At(300)}), 0);
  EXPECT_GE(StatOf(path("f")).st_atime, before);
  EXPECT_EQ(StatOf(path("f")).st_mtime, 300);
  // The kernel's UTIME_NOW and UTIME_OMIT are no nanoseconds, and a wrong one spoils the whole.
  for (const uint32_t bad : {1'000'000'000u, uint32_t{UTIME_NOW}, uint32_t{UTIME_OMIT}, ~0u}) {
    EXPECT_EQ(Set(*f, {.mode = 0, .mtime = At(1, bad)}), EINVAL);
  }
  EXPECT_EQ(StatOf(path("f")).st_mode & 0777, 0644u);
}

TEST_P(AttributesTest, CtimeAlone) {
  Write(path("f"), "");
  ASSERT_EQ(symlink("x", path("l").c_str()), 0);
  ASSERT_EQ(mkfifo(path("p").c_str(), 0600), 0);
  const InodeRef f = Get("f");
  ASSERT_EQ(Set(*f, {.mode = 06711, .atime = At(100), .mtime = At(200)}), 0);
  for (const char* name : {"f", "l", "p"}) {
    const struct stat before = StatOf(path(name));
    const auto newer = [&] {
      const timespec now = StatOf(path(name)).st_ctim;
      return std::pair(now.tv_sec, now.tv_nsec) > std::pair(before.st_ctim.tv_sec, before.st_ctim.tv_nsec);
    };
    // The file system's clock ticks every few ms.
    for (int i = 0; i < 1'000'000 && !newer(); ++i) ASSERT_EQ(Set(*Get(name), {.touch_ctime = true}), 0);
    EXPECT_TRUE(newer());
    const struct stat after = StatOf(path(name));
    EXPECT_EQ(after.st_mode, before.st_mode);
    EXPECT_EQ(after.st_atim.tv_sec, before.st_atim.tv_sec);
    EXPECT_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
  }
}

TEST_P(AttributesTest, NobodyIsNoOwner) {
  Write(path("f"), "");
  const InodeRef f = Get("f");
  ASSERT_EQ(Set(*f, {.mode = 04711}), 0);
  EXPECT_EQ(Set(*f, {.uid = 0xffffffff}), EINVAL);
  EXPECT_EQ(Set(*f, {.gid = 0xffffffff}), EINVAL);
  EXPECT_EQ(Set(*f, {}), 0);
  EXPECT_EQ(StatOf(path("f")).st_mode & 07777, 04711u);
}

TEST_P(AttributesTest, OpenAndUnlinked) {
  Reexport({.max_descriptors = 1});  // nothing idle keeps its descriptor
  for (const Access access : {Access::kReadWrite, Access::kRead}) {
    Write(path("f"), "0123456789");
    InodeRef f = Get("f");
    const std::unique_ptr<OpenFile> file = *tree_->Open(*f, {.access = access});
    ASSERT_EQ(ErrorOf(tree_->Unlink(root(), Name("f"))), 0);
    Write(path("f"), "another");
    for (const char* other : {"f", "f"}) EXPECT_NE(Get(other), f);
    EXPECT_EQ(tree_->Stat(*f)->nlink, 0u);
    EXPECT_EQ(Set(*f, {.mode = 0611, .uid = 5, .size = 3, .mtime = At(9)}, file.get()), 0);
    EXPECT_EQ(Set(*f, {.size = 2}), 0);
    const Attributes now = *tree_->Stat(*f);
    EXPECT_EQ(now.mode, S_IFREG | 0611u);
    EXPECT_EQ(now.uid, 5u);
    EXPECT_EQ(now.size, 2u);
    EXPECT_EQ(ErrorOf(file->Sync(false)), 0);
    EXPECT_EQ(ErrorOf(tree_->Link(*f, root(), Name("back"))), ENOENT);
    EXPECT_EQ(Read(path("f")), "another");
  }
}

TEST_P(AttributesTest, FileSystem) {
  struct statfs host;
  ASSERT_EQ(statfs(path().c_str(), &host), 0);
  const FileSystemStatus status = *tree_->StatFileSystem(root());
  EXPECT_EQ(status.type, static_cast<uint32_t>(host.f_type));
  EXPECT_EQ(status.block_size, static_cast<uint32_t>(host.f_bsize));
  EXPECT_EQ(status.blocks, host.f_blocks);
  EXPECT_EQ(status.files, host.f_files);
  EXPECT_EQ(status.max_name, 255u);
  ASSERT_EQ(symlink("x", path("l").c_str()), 0);
  EXPECT_EQ(tree_->StatFileSystem(*Get("l"))->id, status.id);
}

TEST_P(AttributesTest, SymlinkTargets) {
  const std::string longest(PATH_MAX - 1, '/');
  const Result<Attributes> link = tree_->MakeSymlink(root(), Name("long"), longest, {0, 0});
  if (link) {
    EXPECT_EQ(*tree_->ReadLink(*Get("long")), longest);
  } else {
    EXPECT_EQ(ErrorOf(link), ENAMETOOLONG);  // ext4 wants room for a length
  }
  const std::string opaque = "\xff\n../..//";
  ASSERT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("odd"), opaque, {0, 0})), 0);
  EXPECT_EQ(*tree_->ReadLink(*Get("odd")), opaque);
  EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), "", {0, 0})), ENOENT);
  EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), std::string_view("a\0b", 3), {0, 0})), EINVAL);
  EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), std::string(PATH_MAX, 'x'), {0, 0})), ENAMETOOLONG);
  EXPECT_EQ(ErrorOf(tree_->ReadLink(root())), EINVAL);
}

}  // namespace
}  // namespace virtfs::host
