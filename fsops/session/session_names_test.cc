// Cases 11, 12, 23, 24 and 27 to 30 of 9P2000.L: renaming, removing, making, linking, names, depth, owners.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string>

#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

using Case11Rename = SessionTest;
using Case11Remove = SessionTest;
using Case12Unlinkat = SessionTest;
using Case23Make = SessionTest;
using Case24Link = SessionTest;
using Case27Names = SessionTest;
using Case28Depth = SessionTest;
using Case29SpecialFiles = SessionTest;
using Case30Ownership = SessionTest;

p9::Tmkdir Mkdir(p9::Fid dir, std::string_view name, uint32_t mode = 0755) {
  return {.dfid = dir, .name = name, .mode = mode, .gid = 0};
}

TEST_F(Case11Rename, FidsKeepWorkingAfterTheyOrAnAncestorAreRenamed) {
  MakeDirectory("a");
  MakeDirectory("a/b");
  MakeFile("a/b/file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"a", "b"}).ok());
  ASSERT_TRUE(client_.Walk(1, 2, {"file"}).ok());
  ASSERT_TRUE(client_.Walk(1, 3, {"file"}).ok());
  ASSERT_TRUE(client_.Open(3, p9::kOpenReadOnly).ok());
  ASSERT_TRUE(client_.Rename(kRoot, "a", kRoot, "z").ok());
  ASSERT_TRUE(client_.Rename(1, "file", kRoot, "moved").ok());
  EXPECT_EQ(client_.Getattr(1)->qid.path, HostStat("z/b").st_ino);
  EXPECT_EQ(client_.Getattr(2)->qid.path, HostStat("moved").st_ino);
  EXPECT_EQ(*client_.Read(3, 0, 9), "text");
  EXPECT_TRUE(client_.Open(2, p9::kOpenReadOnly).ok());
  EXPECT_TRUE(client_(Mkdir(1, "new")).ok());
  EXPECT_TRUE(HostHas("z/b/new"));
}

TEST_F(Case11Rename, TrenameMovesTheFileOfTheFid) {
  MakeDirectory("dir");
  MakeFile("file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"dir"}).ok());
  ASSERT_TRUE(client_(p9::Trename{.fid = 1, .dfid = 2, .name = "moved"}).ok());
  EXPECT_EQ(HostRead("dir/moved"), "text");
  ASSERT_TRUE(client_(p9::Trename{.fid = 1, .dfid = kRoot, .name = "back"}).ok()) << "its new place is known";
  EXPECT_EQ(HostRead("back"), "text");
  EXPECT_FALSE(HostHas("dir/moved"));
  EXPECT_EQ(Error(client_(p9::Trename{.fid = kRoot, .dfid = 2, .name = "root"})), EBUSY);
}

TEST_F(Case11Rename, OfADirectoryIntoItselfIsInvalid) {
  MakeDirectory("a");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"a"}).ok());
  EXPECT_EQ(Error(client_.Rename(kRoot, "a", 1, "b")), EINVAL);
  EXPECT_EQ(Error(client_.Rename(kRoot, "no", kRoot, "b")), ENOENT);
}

TEST_F(Case11Remove, FindsTheFileThoughAnotherFidRenamedIt) {
  MakeDirectory("dir");
  MakeFile("file", "old");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"dir"}).ok());
  ASSERT_TRUE(client_.Rename(kRoot, "file", 2, "moved").ok());
  MakeFile("file", "new");
  ASSERT_TRUE(client_.Rename(kRoot, "dir", kRoot, "directory").ok());
  EXPECT_TRUE(client_.Remove(1).ok());
  EXPECT_FALSE(HostHas("directory/moved"));
  EXPECT_EQ(HostRead("file"), "new") << "the name that the fid once had";
}

TEST_F(Case11Remove, NeverHitsAFileThatTookTheName) {
  MakeFile("file", "old");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_EQ(rename(Host("file").c_str(), Host("elsewhere").c_str()), 0) << "by the host";
  MakeFile("file", "new");
  EXPECT_EQ(Error(client_.Remove(1)), ESTALE);
  EXPECT_EQ(HostRead("file"), "new");
  EXPECT_EQ(HostRead("elsewhere"), "old");
}

TEST_F(Case11Remove, TakesTheNameThatTheFidCameBy) {
  MakeFile("one");
  ASSERT_EQ(link(Host("one").c_str(), Host("two").c_str()), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"one"}).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"two"}).ok());
  EXPECT_TRUE(client_.Remove(1).ok());
  EXPECT_FALSE(HostHas("one"));
  EXPECT_TRUE(HostHas("two"));
  ASSERT_TRUE(client_.Walk(2, 3, {}).ok());
  EXPECT_TRUE(client_.Remove(3).ok()) << "a clone";
  EXPECT_FALSE(HostHas("two"));
}

TEST_F(Case11Remove, ClunksTheFidEvenOnError) {
  MakeDirectory("dir");
  MakeFile("dir/file");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"dir"}).ok());
  EXPECT_EQ(Error(client_.Remove(1)), ENOTEMPTY);
  EXPECT_EQ(Error(client_.Getattr(1)), EBADF);
  EXPECT_EQ(Error(client_.Remove(1)), EBADF);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  EXPECT_EQ(Error(client_.Remove(1)), EBUSY) << "the root";
  EXPECT_EQ(Error(client_.Getattr(1)), EBADF);
}

TEST_F(Case11Remove, OfADirectoryReachedByDotDot) {
  MakeDirectory("a");
  MakeDirectory("a/b");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"a", "b", ".."}).ok());
  EXPECT_EQ(Error(client_(p9::Trename{.fid = 1, .dfid = kRoot, .name = "z"})), 0);
  EXPECT_TRUE(HostHas("z/b"));
  EXPECT_TRUE(client_.Walk(kRoot, 2, {"z", "b", ".."}).ok());
  ASSERT_EQ(rmdir(Host("z/b").c_str()), 0);
  EXPECT_TRUE(client_.Remove(2).ok());
  EXPECT_FALSE(HostHas("z"));
}

TEST_F(Case12Unlinkat, FlagsSayWhetherItIsADirectory) {
  MakeDirectory("dir");
  MakeFile("file");
  EXPECT_EQ(Error(client_.Unlink(kRoot, "dir")), EISDIR);
  EXPECT_EQ(Error(client_.Unlink(kRoot, "file", p9::kUnlinkRemoveDirectory)), ENOTDIR);
  EXPECT_EQ(Error(client_.Unlink(kRoot, "file", 1)), EINVAL);
  EXPECT_EQ(Error(client_.Unlink(kRoot, "file", 0x400)), EINVAL);
  EXPECT_TRUE(client_.Unlink(kRoot, "dir", p9::kUnlinkRemoveDirectory).ok());
  EXPECT_TRUE(client_.Unlink(kRoot, "file").ok());
  EXPECT_EQ(Error(client_.Unlink(kRoot, "file")), ENOENT);
}

TEST_F(Case23Make, MkdirAndMknodAndSymlink) {
  const auto dir = client_(Mkdir(kRoot, "dir", 0777));
  ASSERT_TRUE(dir.ok());
  EXPECT_EQ(HostStat("dir").st_mode, S_IFDIR | 0777u);
  EXPECT_EQ(dir->qid, client_.Walk(kRoot, 1, {"dir"})->wqid[0]);
  const auto node = client_(
      p9::Tmknod{.dfid = kRoot, .name = "dev", .mode = S_IFBLK | 0660, .major = 0x123, .minor = 0xabcd, .gid = 6});
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(HostStat("dev").st_rdev, makedev(0x123, 0xabcd));
  EXPECT_EQ(HostStat("dev").st_gid, 6u);
  EXPECT_TRUE(client_(p9::Tmknod{.dfid = kRoot, .name = "plain", .mode = S_IFREG | 0600, .gid = 0}).ok());
  EXPECT_EQ(HostStat("plain").st_mode, S_IFREG | 0600u);
  const std::string target(4095, '/');
  ASSERT_TRUE(client_(p9::Tsymlink{.fid = kRoot, .name = "link", .symtgt = target, .gid = 0}).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"link"}).ok());
  EXPECT_EQ(client_(p9::Treadlink{.fid = 2})->target, target);
  client_.capacity = 4095 + 8;
  EXPECT_EQ(Error(client_(p9::Treadlink{.fid = 2})), EMSGSIZE);
}

TEST_F(Case23Make, RefusesWhatCannotBe) {
  EXPECT_EQ(Error(client_(p9::Tsymlink{.fid = kRoot, .name = "link", .symtgt = "", .gid = 0})), ENOENT);
  EXPECT_EQ(Error(client_(p9::Treadlink{.fid = kRoot})), EINVAL);
  MakeFile("file");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  EXPECT_EQ(Error(client_(Mkdir(1, "below"))), ENOTDIR);
  EXPECT_EQ(Error(client_(Mkdir(kRoot, "file"))), EEXIST);
}

TEST_F(Case23Make, ASetgidDirectoryPassesItsGroupOn) {
  MakeDirectory("setgid");
  ASSERT_EQ(chown(Host("setgid").c_str(), 0, 55), 0);
  ASSERT_EQ(chmod(Host("setgid").c_str(), 02775), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"setgid"}).ok());
  ASSERT_TRUE(client_(p9::Tmkdir{.dfid = 1, .name = "dir", .mode = 0755, .gid = 44}).ok());
  EXPECT_EQ(HostStat("setgid/dir").st_gid, 55u);
  EXPECT_TRUE(HostStat("setgid/dir").st_mode & S_ISGID);
  ASSERT_TRUE(client_(p9::Tsymlink{.fid = 1, .name = "link", .symtgt = "x", .gid = 44}).ok());
  EXPECT_EQ(HostStat("setgid/link").st_gid, 55u);
}

TEST_F(Case24Link, OfAFileOrTheSymlinkItself) {
  MakeFile("file");
  ASSERT_EQ(symlink("file", Host("link").c_str()), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"link"}).ok());
  MakeDirectory("dir");
  ASSERT_TRUE(client_.Walk(kRoot, 3, {"dir"}).ok());
  EXPECT_TRUE(client_(p9::Tlink{.dfid = 3, .fid = 1, .name = "second"}).ok());
  EXPECT_EQ(HostStat("dir/second").st_ino, HostStat("file").st_ino);
  EXPECT_TRUE(client_(p9::Tlink{.dfid = 3, .fid = 2, .name = "link"}).ok());
  EXPECT_EQ(HostStat("dir/link").st_ino, HostStat("link").st_ino);
  EXPECT_EQ(Error(client_(p9::Tlink{.dfid = kRoot, .fid = 3, .name = "dir2"})), EPERM);
  EXPECT_EQ(Error(client_(p9::Tlink{.dfid = kRoot, .fid = 1, .name = "link"})), EEXIST);
}

TEST_F(Case27Names, AreBytesOfAtMost255) {
  const std::string longest(255, '\xff');
  EXPECT_TRUE(client_(Mkdir(kRoot, longest)).ok());
  EXPECT_TRUE(HostHas(longest));
  EXPECT_TRUE(client_.Walk(kRoot, 1, {longest}).ok());
  EXPECT_EQ(Error(client_(Mkdir(kRoot, longest + "x"))), ENAMETOOLONG);
  EXPECT_EQ(Error(client_.Walk(kRoot, 2, {longest + "x"})), ENAMETOOLONG);
}

TEST_F(Case27Names, IllegalOnesAreRefusedByWhateverMakesAName) {
  MakeFile("file");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {}).ok());
  for (const std::string_view name : {std::string_view(""), std::string_view("/"), std::string_view("."),
                                      std::string_view(".."), std::string_view("a\0b", 3), std::string_view("a/b"),
                                      std::string_view("../x"), std::string_view("/etc/passwd")}) {
    const int expected = name.empty() ? ENOENT : EINVAL;
    EXPECT_EQ(Error(client_(Mkdir(kRoot, name))), expected) << name;
    EXPECT_EQ(Error(client_.Create(2, name, p9::kOpenReadWrite)), expected) << name;
    EXPECT_EQ(Error(client_(p9::Tsymlink{.fid = kRoot, .name = name, .symtgt = "x", .gid = 0})), expected) << name;
    EXPECT_EQ(Error(client_(p9::Tmknod{.dfid = kRoot, .name = name, .mode = S_IFREG, .gid = 0})), expected) << name;
    EXPECT_EQ(Error(client_(p9::Tlink{.dfid = kRoot, .fid = 1, .name = name})), expected) << name;
    EXPECT_EQ(Error(client_(p9::Trename{.fid = 1, .dfid = kRoot, .name = name})), expected) << name;
    EXPECT_EQ(Error(client_.Rename(kRoot, "file", kRoot, name)), expected) << name;
    EXPECT_EQ(Error(client_.Rename(kRoot, name, kRoot, "x")), expected) << name;
    EXPECT_EQ(Error(client_.Unlink(kRoot, name)), expected) << name;
    if (name != "..") {
      EXPECT_EQ(Error(client_.Walk(kRoot, 3, {name})), expected) << name;
    }
  }
  EXPECT_TRUE(HostHas("file"));
}

TEST_F(Case28Depth, DeeperThanAnyPathCanBe) {
  const std::string name(250, 'd');
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  for (int depth = 0; depth < 300; ++depth) {
    ASSERT_TRUE(client_(Mkdir(1, name)).ok()) << depth;
    ASSERT_TRUE(client_.Walk(1, 1, {name}).ok()) << depth;
  }
  ASSERT_TRUE(client_.Walk(1, 2, {}).ok());
  ASSERT_TRUE(client_.Create(2, "file", p9::kOpenReadWrite).ok());
  EXPECT_EQ(*client_.Write(2, 0, "deep"), 4u);
  ASSERT_TRUE(client_.Walk(1, 3, {"file"}).ok());
  EXPECT_EQ(client_.Getattr(3)->size, 4u);
  EXPECT_TRUE(client_.Rename(1, "file", kRoot, "up").ok());
  EXPECT_EQ(HostRead("up"), "deep");
  EXPECT_TRUE(client_.Remove(3).ok());
  for (int depth = 0; depth < 300; ++depth) {
    ASSERT_TRUE(client_.Walk(1, 1, {".."}).ok()) << depth;
    ASSERT_TRUE(client_.Unlink(1, name, p9::kUnlinkRemoveDirectory).ok()) << depth;
  }
  EXPECT_EQ(client_.Getattr(1)->qid.path, client_.Getattr(kRoot)->qid.path);
}

TEST_F(Case29SpecialFiles, AreMadeAndLookedAtThoughNotOpened) {
  for (const auto& [name, type] : {std::pair<std::string_view, uint32_t>{"fifo", S_IFIFO}, {"socket", S_IFSOCK}}) {
    ASSERT_TRUE(client_(p9::Tmknod{.dfid = kRoot, .name = name, .mode = type | 0620, .gid = 0}).ok()) << name;
    ASSERT_TRUE(client_.Walk(kRoot, 1, {name}).ok()) << name;
    EXPECT_EQ(client_.Getattr(1)->mode, type | 0620) << name;
    EXPECT_TRUE(
        client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrMode | p9::kSetattrUid, .mode = 0600, .uid = 3}).ok());
    EXPECT_EQ(HostStat(name).st_mode, type | 0600) << name;
    EXPECT_EQ(Error(client_.Open(1, p9::kOpenReadOnly)), ENXIO) << name;
    EXPECT_TRUE(client_.Remove(1).ok()) << name;
  }
}

TEST_F(Case30Ownership, OfWhatIsMadeIsTheAttachsUserAndTheGivenGroup) {
  // A user that no passwd file knows, through all that makes files, from a fid far from its attach.
  ASSERT_TRUE(client_(p9::Tattach{.fid = 1, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = 3000000}).ok());
  MakeDirectory("dir");
  ASSERT_EQ(chmod(Host("dir").c_str(), 0700), 0) << "the guest's kernel has checked what its user may";
  ASSERT_TRUE(client_.Walk(1, 2, {"dir"}).ok());
  constexpr uint32_t kGid = 4000000;
  EXPECT_TRUE(client_(p9::Tmkdir{.dfid = 2, .name = "d", .mode = 0700, .gid = kGid}).ok());
  EXPECT_TRUE(client_(p9::Tsymlink{.fid = 2, .name = "l", .symtgt = "x", .gid = kGid}).ok());
  EXPECT_TRUE(client_(p9::Tmknod{.dfid = 2, .name = "n", .mode = S_IFIFO | 0600, .gid = kGid}).ok());
  EXPECT_TRUE(client_(p9::Tlcreate{.fid = 2, .name = "f", .flags = 1, .mode = 0400, .gid = kGid}).ok());
  for (const std::string_view name : {"dir/d", "dir/l", "dir/n", "dir/f"}) {
    EXPECT_EQ(HostStat(name).st_uid, 3000000u) << name;
    EXPECT_EQ(HostStat(name).st_gid, kGid) << name;
  }
  EXPECT_TRUE(client_(Mkdir(kRoot, "of_root")).ok());
  EXPECT_EQ(HostStat("of_root").st_uid, 0u);
}

}  // namespace
}  // namespace virtfs
