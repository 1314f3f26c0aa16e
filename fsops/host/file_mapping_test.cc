// The mapped-file model's own: the files that QEMU knows too, reserved names, what the host may put there, and how an
// Inode finds what is kept beside its name.
#include <pthread.h>

#include <atomic>
#include <thread>

#include "fsops/host/metadata_file.h"
#include "fsops/host/model_fixture.h"

namespace virtfs::host {
namespace {

class FileMappingTest : public ModelTest {
 protected:
  bool Exists(const std::string& name) const {
    struct stat stat;
    return lstat(path(name).c_str(), &stat) == 0;
  }
  // Of a new file, which can be told by its uid.
  InodeRef MakeFileOf(uint32_t uid, std::string_view name) { return MakeFile(name, 0640, {uid, uid}); }
};
INSTANTIATE_TEST_SUITE_P(Models, FileMappingTest, ::testing::Values(SecurityModel::kMappedFile), ModelName);

TEST(MetadataTextTest, IsWhatQemuWritesAndReads) {
  EXPECT_EQ(FormatMetadata({.uid = 1000, .gid = 0xfffffffe, .mode = S_IFREG | 0640}),
            "virtfs.uid=1000\nvirtfs.gid=-2\nvirtfs.mode=33184\n");
  EXPECT_EQ(FormatMetadata({.rdev = makedev(0x123, 0x45678)}), "virtfs.rdev=1163993976\n");
  EXPECT_EQ(FormatMetadata({}), "");
  const Kept kept = ParseMetadata("virtfs.uid=-2\nvirtfs.gid=7\nvirtfs.mode=33184\nvirtfs.rdev=-1\n\n\n");
  EXPECT_EQ(kept.uid, 0xfffffffeu);
  EXPECT_EQ(kept.gid, 7u);
  EXPECT_EQ(kept.mode, S_IFREG | 0640u);
  EXPECT_EQ(kept.rdev, 0xffffffffu);
  for (const char* text :
       {"", "\n", "virtfs.uid", "virtfs.uid=", "virtfs.uid=x\n", "virtfs.uid=-1", "Virtfs.uid=1\n",
        "virtfs.uid=99999999999999999999", "virtfs.uid=4294967296", "virtfs.uid 1", " virtfs.uid=1"}) {
    EXPECT_FALSE(ParseMetadata(text).uid) << text;
  }
  EXPECT_EQ(ParseMetadata("nonsense\nvirtfs.uid=5 and more\nvirtfs.gid=6").uid, 5u);
  EXPECT_EQ(ParseMetadata("nonsense\nvirtfs.uid=5 and more\nvirtfs.gid=6").gid, 6u);
}

TEST_P(FileMappingTest, WritesWhatQemuWrites) {
  MakeFile("f", 0640, {1000, 1001});
  EXPECT_EQ(Read(".virtfs_metadata/f"), "virtfs.uid=1000\nvirtfs.gid=1001\nvirtfs.mode=33184\n");
  EXPECT_EQ(HostStat(".virtfs_metadata").st_mode, S_IFDIR | 0700u);
  EXPECT_EQ(HostStat(".virtfs_metadata/f").st_mode, S_IFREG | 0600u);
  ASSERT_EQ(ErrorOf(tree_->MakeNode(root(), Name("c"), S_IFCHR | 0600, makedev(1, 3), {})), 0);
  EXPECT_EQ(Read(".virtfs_metadata/c"), "virtfs.uid=0\nvirtfs.gid=0\nvirtfs.mode=8576\nvirtfs.rdev=259\n");
  ASSERT_EQ(ErrorOf(tree_->SetAttributes(root(), {.uid = 5})), 0);
  EXPECT_EQ(Read(".virtfs_metadata_root"), "virtfs.uid=5\n");
  // Shorter than before: what is left over says nothing.
  ASSERT_EQ(ErrorOf(tree_->SetAttributes(*Get("f"), {.uid = 1, .gid = 2})), 0);
  EXPECT_EQ(ParseMetadata(Read(".virtfs_metadata/f")).uid, 1u);
  EXPECT_EQ(Read(".virtfs_metadata/f").find_last_not_of('\n'),
            sizeof("virtfs.uid=1\nvirtfs.gid=2\nvirtfs.mode=33184") - 2);
}

TEST_P(FileMappingTest, ItsNamesAreReserved) {
  const InodeRef f = MakeFile("f");
  const InodeRef d = MakeDirectory("d");
  ASSERT_EQ(ErrorOf(tree_->SetAttributes(root(), {.uid = 5})), 0);
  ASSERT_TRUE(Exists(".virtfs_metadata") && Exists(".virtfs_metadata_root"));
  for (Inode* dir : {&root(), d.get()}) {
    for (const char* text : {".virtfs_metadata", ".virtfs_metadata_root"}) {
      SCOPED_TRACE(text);
      const PathComponent name = Name(text);
      EXPECT_EQ(ErrorOf(tree_->Lookup(*dir, name)), ENOENT);
      EXPECT_EQ(ErrorOf(tree_->Create(*dir, name, {}, 0600, {})), EINVAL);
      EXPECT_EQ(ErrorOf(tree_->MakeDirectory(*dir, name, 0700, {})), EINVAL);
      EXPECT_EQ(ErrorOf(tree_->MakeSymlink(*dir, name, "t", {})), EINVAL);
      EXPECT_EQ(ErrorOf(tree_->MakeNode(*dir, name, S_IFIFO, 0, {})), EINVAL);
      EXPECT_EQ(ErrorOf(tree_->Link(*f, *dir, name)), EINVAL);
      EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("f"), *dir, name)), EINVAL);
      EXPECT_EQ(ErrorOf(tree_->Rename(*dir, name, root(), Name("g"))), ENOENT);
      EXPECT_EQ(ErrorOf(tree_->RenameIfSame(root(), Name("f"), *f, *dir, name)), EINVAL);
      EXPECT_EQ(ErrorOf(tree_->Unlink(*dir, name)), ENOENT);
      EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(*dir, name)), ENOENT);
      EXPECT_NE(ErrorOf(tree_->RemoveIfSame(*dir, name, *f)), 0);
    }
  }
  for (const size_t size : {OpenFile::kMinDirectoryBuffer, size_t{4096}}) {
    EXPECT_EQ(List(root(), size), (std::map<std::string, mode_t>{{"f", 0}, {"d", S_IFDIR}}));
  }
  EXPECT_TRUE(Exists(".virtfs_metadata") && Exists(".virtfs_metadata_root"));
}

TEST_P(FileMappingTest, LongestNames) {
  const std::string longest(255, 'n');
  MakeFileOf(9, longest);
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name(longest), root(), Name("n" + longest.substr(2)))), 0);
  Reexport();
  EXPECT_EQ(Stat("n" + longest.substr(2)).uid, 9u);
}

TEST_P(FileMappingTest, MetadataLeftBehindIsNobodysFile) {
  MakeFileOf(9, "other");
  // As after a crash: a link of what another file still has, and something in the way of a rename.
  ASSERT_EQ(link(path(".virtfs_metadata/other").c_str(), path(".virtfs_metadata/f").c_str()), 0);
  Write(".virtfs_metadata/.virtfs_metadata", "virtfs.uid=77\n");
  EXPECT_EQ(List(root()).size(), 1u);
  MakeFileOf(10, "f");
  EXPECT_EQ(Stat("f").uid, 10u);
  EXPECT_EQ(Stat("other").uid, 9u);
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name("f"), root(), Name("other"))), 0);
  EXPECT_EQ(Stat("other").uid, 10u);
  EXPECT_FALSE(Exists(".virtfs_metadata/.virtfs_metadata") || Exists(".virtfs_metadata/f"));
  // A directory with nothing but such leftovers is empty.
  const InodeRef d = MakeDirectory("d");
  ASSERT_EQ(mkdir(path("d/.virtfs_metadata").c_str(), 0700), 0);
  Write("d/.virtfs_metadata/gone", "virtfs.uid=1\n");
  Write("d/.virtfs_metadata_root", "virtfs.uid=1\n");
  EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("d"))), 0);
  EXPECT_FALSE(Exists("d") || Exists(".virtfs_metadata/d"));
}

// An operation that fails leaves everything as it was.
TEST_P(FileMappingTest, WhatFailsIsUndone) {
  const InodeRef d = MakeDirectory("d", 0700, {7, 7});
  MakeFileOf(8, "f");
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("f"), root(), Name("d"))), EISDIR);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("d"), *d, Name("x"))), EINVAL);
  EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("d"))), EISDIR);
  ASSERT_EQ(mkdir(path("ro").c_str(), 0755), 0);
  EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("f"))), ENOTDIR);
  ASSERT_EQ(ErrorOf(tree_->Unlink(root(), Name("f"))), 0);
  Reexport();
  EXPECT_EQ(Stat("d").uid, 7u);
  EXPECT_FALSE(Exists(".virtfs_metadata/f"));
  EXPECT_FALSE(Exists("d/.virtfs_metadata/x"));
}

TEST_P(FileMappingTest, RenamingOneNameOfAFileToTheOtherDoesNothing) {
  const InodeRef f = MakeFileOf(9, "f");
  ASSERT_EQ(ErrorOf(tree_->Link(*f, root(), Name("g"))), 0);
  EXPECT_EQ(HostStat(".virtfs_metadata/f").st_ino, HostStat(".virtfs_metadata/g").st_ino);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("f"), root(), Name("g"))), 0);
  EXPECT_EQ(Stat("f").uid, 9u);
  EXPECT_EQ(Stat("g").uid, 9u);
}

TEST_P(FileMappingTest, AFileMovedOverAnotherWithoutMetadataHasNone) {
  MakeFileOf(9, "g");
  Write("f", "the host's");
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name("f"), root(), Name("g"))), 0);
  EXPECT_EQ(Stat("g").uid, geteuid());
  EXPECT_FALSE(Exists(".virtfs_metadata/g"));
}

TEST_P(FileMappingTest, FollowsAFileAmongItsNames) {
  const InodeRef d = MakeDirectory("d");
  const InodeRef f = MakeFileOf(9, "1");
  for (int i = 2; i <= 9; ++i) {
    ASSERT_EQ(ErrorOf(tree_->Link(*f, i % 2 == 0 ? *d : root(), Name(std::to_string(i)))), 0);
  }
  // From the latest back, as far as they are remembered; then the last known holds.
  for (int i = 9; i >= 2; --i) {
    ASSERT_EQ(ErrorOf(tree_->Unlink(i % 2 == 0 ? *d : root(), Name(std::to_string(i)))), 0);
    ASSERT_EQ(ErrorOf(tree_->SetAttributes(*f, {.uid = static_cast<uint32_t>(100 + i)})), 0);
    EXPECT_EQ(Stat(*f).uid, static_cast<uint32_t>(100 + i));
  }
  EXPECT_EQ(Stat("1").gid, 9u);
  // Found again, it is as on the disk, and changes stick.
  ASSERT_EQ(ErrorOf(tree_->SetAttributes(*f, {.uid = 55})), 0);
  Reexport();
  EXPECT_EQ(Stat("1").uid, 55u);
}

TEST_P(FileMappingTest, WhatTheHostMovesKeepsWhatWasKnown) {
  const InodeRef f = MakeFileOf(9, "f");
  ASSERT_EQ(rename(path("f").c_str(), path("g").c_str()), 0);
  MakeFileOf(10, "f");
  EXPECT_EQ(Stat(*f).uid, 9u);
  EXPECT_EQ(Stat("f").uid, 10u);
}

TEST_P(FileMappingTest, AnotherProcesssChangeIsSeen) {
  const InodeRef f = MakeFileOf(9, "f");
  Write(".virtfs_metadata/f", "virtfs.uid=12\nvirtfs.mode=33152\n");
  EXPECT_EQ(Stat(*f).uid, 12u);
  EXPECT_EQ(Stat(*f).mode, S_IFREG | 0600u);
}

TEST_P(FileMappingTest, AnAdoptedFileFindsItsPlaceAgain) {
  const HandleToken d = *tree_->KeepToken(*MakeDirectory("d", 0711, {3, 3}));
  ASSERT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), "t", {4, 4})), 0);
  const HandleToken l = *tree_->KeepToken(*Get("l"));
  Reexport();
  const InodeRef dir = tree_->AdoptToken(d)->inode, link = tree_->AdoptToken(l)->inode;
  tree_->Locate(root(), Name("d"));
  tree_->Locate(root(), Name("l"));
  EXPECT_EQ(Stat(*dir).uid, 3u);
  EXPECT_EQ(Stat(*link).mode, S_IFLNK | 0777u);
  EXPECT_EQ(*tree_->ReadLink(*link), "t");
  // Not what it is not.
  tree_->Locate(root(), Name("l"));
  tree_->Locate(root(), Name("none"));
  EXPECT_EQ(Stat(*dir).uid, 3u);
}

// --- what the host may have put there ---

TEST_P(FileMappingTest, HostilePlacesForMetadata) {
  const std::string secret = outside_.path() + "/secret";
  ASSERT_EQ(mkdir(secret.c_str(), 0700), 0);
  for (int kind = 0; kind < 4; ++kind) {
    SCOPED_TRACE(kind);
    ASSERT_EQ(system(("rm -rf " + path("d") + "; mkdir " + path("d")).c_str()), 0);
    Write("d/f", "text");
    const std::string at = path("d/.virtfs_metadata");
    int made = 0;
    if (kind == 0) made = symlink(secret.c_str(), at.c_str());
    if (kind == 1) made = mknod(at.c_str(), S_IFIFO | 0600, 0);
    if (kind == 2) Write("d/.virtfs_metadata", "virtfs.uid=5\n");
    if (kind == 3) made = symlink("..", at.c_str());
    ASSERT_EQ(made, 0);
    Reexport();
    const InodeRef d = Get("d");
    EXPECT_EQ(tree_->Lookup(*d, Name("f"))->attributes.uid, geteuid());
    EXPECT_NE(ErrorOf(tree_->Create(*d, Name("new"), {}, 0600, {1, 1})), 0);
    EXPECT_NE(ErrorOf(tree_->SetAttributes(*tree_->Lookup(*d, Name("f"))->inode, {.uid = 1})), 0);
    EXPECT_NE(ErrorOf(tree_->Rename(*d, Name("f"), *d, Name("g"))), 0);
    EXPECT_EQ(List(*d).size(), 1u);
    EXPECT_EQ(ErrorOf(tree_->Unlink(*d, Name("f"))), 0);
    EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("d"))), 0);
  }
  EXPECT_EQ(rmdir(secret.c_str()), 0) << "something was written outside";
}

TEST_P(FileMappingTest, HostileMetadata) {
  MakeFileOf(9, "other");
  Write("f", "text");
  const std::string at = path(".virtfs_metadata/f");
  const auto expect_none = [&](int change_error) {
    EXPECT_EQ(Stat("f").uid, geteuid());
    EXPECT_EQ(Stat("f").mode, S_IFREG | 0644u);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*Get("f"), {.uid = 1})), change_error);
    unlink(at.c_str());
  };
  ASSERT_EQ(symlink("other", at.c_str()), 0);
  expect_none(ELOOP);
  ASSERT_EQ(mknod(at.c_str(), S_IFIFO | 0600, 0), 0);
  expect_none(ESPIPE);
  Write(".virtfs_metadata/f", std::string(10 << 20, 'x'));
  expect_none(0);
  Write(".virtfs_metadata/f", "virtfs.mode=0\nvirtfs.mode=16895\nvirtfs.rdev=9\n");  // a directory
  EXPECT_EQ(Stat("f").mode, S_IFREG | 0777u);
  EXPECT_EQ(Stat("f").rdev, 0u);
  unlink(at.c_str());
  ASSERT_EQ(mkdir(at.c_str(), 0700), 0);
  expect_none(EISDIR);
  // Nothing that makes sense to keep for the other name either.
  EXPECT_EQ(ErrorOf(tree_->Link(*Get("f"), root(), Name("g"))), 0);
  EXPECT_EQ(Stat("g").uid, geteuid());
}

// --- what Inodes know of each other ---

TEST_P(FileMappingTest, CirclesThatTheHostMakesEndWithTheirFids) {
  ASSERT_EQ(ErrorOf(tree_->MakeDirectory(*MakeDirectory("a"), Name("b"), 0700, {})), 0);
  const InodeRef a = Get("a");
  const InodeRef b = tree_->Lookup(*a, Name("b"))->inode;
  // a/b becomes b/a.
  ASSERT_EQ(rename(path("a/b").c_str(), path("b").c_str()), 0);
  ASSERT_EQ(rename(path("a").c_str(), path("b/a").c_str()), 0);
  EXPECT_EQ(tree_->Lookup(*b, Name("a"))->inode, a);
  EXPECT_EQ(tree_->Lookup(root(), Name("b"))->inode, b);
  EXPECT_EQ(tree_->Lookup(*b, Name("a"))->inode, a);
  EXPECT_EQ(tree_->Stat(*a)->uid, tree_->Lookup(*b, Name("a"))->attributes.uid);
  // The Export's end sees that no Inode is left.
}

class DeepFileMappingTest : public ModelTest {
 protected:
  DeepFileMappingTest() : ModelTest("/dev/shm") {}
};
INSTANTIATE_TEST_SUITE_P(Models, DeepFileMappingTest, ::testing::Values(SecurityModel::kMappedFile), ModelName);

TEST_P(DeepFileMappingTest, IsLetGoWithoutADeepStack) {
  constexpr int kDepth = 10000;
  InodeRef at = tree_->root();
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(ErrorOf(tree_->MakeDirectory(*at, Name("d"), 0700, {})), 0);
    at = tree_->Lookup(*at, Name("d"))->inode;
  }
  EXPECT_EQ(tree_->inodes(), kDepth + 1u);
  // As of a serving thread.
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 128 << 10), 0);
  pthread_t thread;
  const auto let_go = [](void* ref) -> void* {
    *static_cast<InodeRef*>(ref) = InodeRef();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, let_go, &at), 0);
  pthread_join(thread, nullptr);
  EXPECT_EQ(tree_->inodes(), 1u);
}

TEST_P(FileMappingTest, ConcurrentRenamesAndChangesLoseNothing) {
  const InodeRef d = MakeDirectory("d");
  constexpr int kFiles = 3, kTurns = 300;
  std::vector<InodeRef> files;
  files.reserve(kFiles);
  for (int i = 0; i < kFiles; ++i) files.push_back(MakeFileOf(static_cast<uint32_t>(i), std::to_string(i)));
  std::atomic<int> running = kFiles;
  std::vector<std::thread> threads;
  threads.reserve(kFiles);
  for (int i = 0; i < kFiles; ++i) {
    threads.emplace_back([&, i] {
      const PathComponent name = Name(std::to_string(i));
      for (int turn = 0; turn < kTurns; ++turn) {
        Inode& from = turn % 2 == 0 ? root() : *d;
        Inode& to = turn % 2 == 0 ? *d : root();
        EXPECT_EQ(ErrorOf(tree_->Rename(from, name, to, name)), 0);
      }
      --running;
    });
  }
  uint32_t last = 0;
  while (running > 0) {
    ++last;
    for (int i = 0; i < kFiles; ++i) {
      EXPECT_EQ(ErrorOf(tree_->SetAttributes(*files[i], {.gid = last})), 0);
      const Attributes attributes = Stat(*files[i]);
      ASSERT_EQ(attributes.uid, static_cast<uint32_t>(i));
      ASSERT_EQ(attributes.gid, last);
    }
  }
  for (std::thread& thread : threads) thread.join();
  Reexport();
  for (int i = 0; i < kFiles; ++i) {
    EXPECT_EQ(Stat(std::to_string(i)).uid, static_cast<uint32_t>(i));
    EXPECT_EQ(Stat(std::to_string(i)).gid, last);
  }
}

TEST_P(FileMappingTest, TheGuestsAttributesAreTheHostsUserOnes) {
  const InodeRef f = MakeFile("f");
  EXPECT_EQ(ErrorOf(tree_->SetXattr(*f, "user.a", BytesOf("v"), XattrMode::kEither)), 0);
  EXPECT_EQ(*tree_->ListXattr(*f), std::string("user.a\0", 7));
  for (const char* name : {"system.posix_acl_access", "trusted.a", "security.a"}) {
    EXPECT_EQ(ErrorOf(tree_->SetXattr(*f, name, BytesOf("v"), XattrMode::kEither)), EOPNOTSUPP) << name;
    EXPECT_EQ(ErrorOf(tree_->GetXattr(*f, name)), EOPNOTSUPP) << name;
    EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*f, name)), EOPNOTSUPP) << name;
  }
}

}  // namespace
}  // namespace virtfs::host
