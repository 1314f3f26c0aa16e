// Every operation under the mapped models: what the guest sees, and that the host's files stay the server's.
#include <sys/stat.h>

#include "fsops/host/model_fixture.h"

namespace virtfs::host {
namespace {

class MappedTest : public ModelTest {};
INSTANTIATE_TEST_SUITE_P(Models, MappedTest, ::testing::Values(SecurityModel::kMappedXattr, SecurityModel::kMappedFile),
                         ModelName);

TEST_P(MappedTest, FilesAreTheServersOnTheHost) {
  Reexport({.file_mode = 0640, .directory_mode = 0710});
  for (int again = 0; again < 2; ++again) {
    if (again == 0) {
      MakeFile("f", 04711, {1000, 1001});
      MakeDirectory("d", 01777, {0xfffffffe, 3});
    } else {
      Reexport();
    }
    const Attributes f = Stat("f"), d = Stat("d");
    EXPECT_EQ(f.mode, S_IFREG | 04711u);
    EXPECT_EQ(f.uid, 1000u);
    EXPECT_EQ(f.gid, 1001u);
    EXPECT_EQ(f.nlink, 1u);
    EXPECT_EQ(d.mode, S_IFDIR | 01777u);
    EXPECT_EQ(d.uid, 0xfffffffeu);
    EXPECT_EQ(d.gid, 3u);
  }
  EXPECT_EQ(HostStat("f").st_mode, S_IFREG | 0640u);
  EXPECT_EQ(HostStat("d").st_mode, S_IFDIR | 0710u);
  for (const char* name : {"f", "d"}) {
    EXPECT_EQ(HostStat(name).st_uid, geteuid()) << name;
    EXPECT_EQ(HostStat(name).st_gid, getegid()) << name;
  }
}

TEST_P(MappedTest, CreateOpensAsAskedFor) {
  for (const Access access : {Access::kRead, Access::kWrite, Access::kReadWrite}) {
    const std::string name = "f" + std::to_string(static_cast<int>(access));
    Result<CreatedFile> made = tree_->Create(root(), Name(name), {.access = access}, 0600, {1, 2});
    ASSERT_EQ(ErrorOf(made), 0);
    EXPECT_EQ(made->node.attributes.uid, 1u);
    EXPECT_EQ(made->node.attributes.mode, S_IFREG | 0600u);
    // Again: opened.
    EXPECT_EQ(ErrorOf(tree_->Create(root(), Name(name), {.access = access}, 0600, {3, 4})), 0);
    EXPECT_EQ(Stat(name).uid, 1u);
    EXPECT_EQ(ErrorOf(tree_->Create(root(), Name(name), {.exclusive = true}, 0600, {3, 4})), EEXIST);
    EXPECT_EQ(Stat(name).uid, 1u);
  }
  EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("f0"), 0700, {3, 4})), EEXIST);
  EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("f0"), "t", {3, 4})), EEXIST);
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("f0"), S_IFIFO, 0, {3, 4})), EEXIST);
  EXPECT_EQ(Stat("f0").uid, 1u);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("x"), {}, 0600, {0xffffffff, 4})), EINVAL);
}

TEST_P(MappedTest, SymlinksAreFilesWithTheTarget) {
  const std::string longest(4095, 't');
  ASSERT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), "../\xff/target", {5, 6})), 0);
  ASSERT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("long"), longest, {5, 6})), 0);
  EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("x"), "", {5, 6})), ENOENT);
  for (int again = 0; again < 2; ++again) {
    const InodeRef l = Get("l");
    EXPECT_EQ(l->type(), static_cast<mode_t>(S_IFLNK));
    EXPECT_EQ(*tree_->ReadLink(*l), "../\xff/target");
    EXPECT_EQ(*tree_->ReadLink(*Get("long")), longest);
    const Attributes attributes = Stat(*l);
    EXPECT_EQ(attributes.mode, S_IFLNK | 0777u);
    EXPECT_EQ(attributes.uid, 5u);
    EXPECT_EQ(attributes.size, 11u);
    EXPECT_EQ(ErrorOf(tree_->Open(*l, {})), ELOOP);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*l, {.mode = 0600})), EOPNOTSUPP);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*l, {.size = 1})), EINVAL);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*l, {.gid = 7})), 0);
    EXPECT_EQ(Stat(*l).gid, 7u);
    Reexport();
  }
  EXPECT_EQ(HostStat("l").st_mode, S_IFREG | 0600u);
  EXPECT_EQ(Read("l"), "../\xff/target");
}

TEST_P(MappedTest, SpecialFilesAreEmptyFiles) {
  const uint64_t device = makedev(200, 70000);
  for (const uint32_t type : {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFREG}) {
    const std::string name = std::to_string(type);
    SCOPED_TRACE(name);
    const Result<Attributes> made = tree_->MakeNode(root(), Name(name), type | 0620, device, {8, 9});
    ASSERT_EQ(ErrorOf(made), 0);
    EXPECT_EQ(made->mode, type | 0620u);
    Reexport();
    const InodeRef node = Get(name);
    EXPECT_EQ(node->type(), type);
    const Attributes attributes = Stat(*node);
    EXPECT_EQ(attributes.mode, type | 0620u);
    EXPECT_EQ(attributes.uid, 8u);
    EXPECT_EQ(attributes.rdev, type == S_IFCHR || type == S_IFBLK ? device : 0u);
    EXPECT_EQ(ErrorOf(tree_->Open(*node, {})), type == S_IFREG ? 0 : ENXIO);
    EXPECT_EQ(ErrorOf(tree_->Open(*node, {.access = Access::kWrite})), type == S_IFREG ? 0 : ENXIO);
    EXPECT_EQ(ErrorOf(tree_->Create(root(), Name(name), {}, 0600, {0, 0})), type == S_IFREG ? 0 : ENXIO);
    EXPECT_EQ(ErrorOf(tree_->ReadLink(*node)), EINVAL);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*node, {.mode = 0666})), 0);
    EXPECT_EQ(Stat(*node).mode, type | 0666u);
    EXPECT_EQ(HostStat(name).st_mode, S_IFREG | 0600u);
    EXPECT_EQ(HostStat(name).st_size, 0);
  }
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("x"), S_IFDIR | 0755, 0, {})), EPERM);
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("x"), S_IFLNK | 0777, 0, {})), EINVAL);
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("x"), S_IFMT, 0, {})), EINVAL);
}

TEST_P(MappedTest, SetsAttributes) {
  const InodeRef f = MakeFile("f");
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mode = S_IFDIR | 06755})), 0);
  EXPECT_EQ(Stat(*f).mode, S_IFREG | 06755u);
  // Another owner takes the set-id bits away; a mode beside it is the one that holds.
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.uid = 2000})), 0);
  EXPECT_EQ(Stat(*f).mode, S_IFREG | 0755u);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mode = 04755, .uid = 0, .gid = 0, .size = 77})), 0);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mtime = {TimeChange::Kind::kSet, {5, 6}}})), 0);
  for (int again = 0; again < 2; ++again) {
    const Attributes attributes = Stat("f");
    EXPECT_EQ(attributes.mode, S_IFREG | 04755u);
    EXPECT_EQ(attributes.uid, 0u);
    EXPECT_EQ(attributes.gid, 0u);
    EXPECT_EQ(attributes.size, 77u);
    EXPECT_EQ(attributes.mtime, (Time{5, 6}));
    Reexport();
  }
  EXPECT_EQ(HostStat("f").st_mode, S_IFREG | 0600u);

  // A setgid directory keeps its bit, and so does a file whose group may not execute it.
  const InodeRef d = MakeDirectory("d", 02770);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*d, {.gid = 5})), 0);
  EXPECT_EQ(Stat(*d).mode, S_IFDIR | 02770u);
  const InodeRef g = MakeFile("g", 02644);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*g, {.gid = 5})), 0);
  EXPECT_EQ(Stat(*g).mode, S_IFREG | 02644u);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*g, {.uid = 0xffffffff})), EINVAL);
  // The root too.
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(root(), {.mode = 01777, .uid = 12})), 0);
  Reexport();
  EXPECT_EQ(Stat(root()).mode, S_IFDIR | 01777u);
  EXPECT_EQ(Stat(root()).uid, 12u);
}

TEST_P(MappedTest, ChangesShowInTheCtime) {
  const InodeRef f = MakeFile("f");
  for (const AttributeChange& change : {AttributeChange{.mode = 0600}, AttributeChange{.uid = 4}}) {
    const Time before = Stat(*f).ctime;
    // The file system's clock ticks every few milliseconds.
    for (int i = 0; i < 1000 && Stat(*f).ctime == before; ++i) {
      usleep(1000);
      ASSERT_EQ(ErrorOf(tree_->SetAttributes(*f, change)), 0);
    }
    EXPECT_NE(Stat(*f).ctime, before);
  }
}

TEST_P(MappedTest, SetgidDirectoriesHandTheirGroupDown) {
  const InodeRef d = MakeDirectory("d", 02775, {1, 50});
  EXPECT_EQ(tree_->Create(*d, Name("f"), {}, 0600, {2, 3})->node.attributes.gid, 50u);
  EXPECT_EQ(tree_->MakeDirectory(*d, Name("sub"), 0700, {2, 3})->mode, S_IFDIR | 02700u);
  EXPECT_EQ(tree_->MakeSymlink(*d, Name("l"), "t", {2, 3})->gid, 50u);
  EXPECT_EQ(tree_->MakeNode(*d, Name("p"), S_IFIFO | 0600, 0, {2, 3})->gid, 50u);
  for (const char* name : {"f", "sub", "l", "p"}) {
    const Attributes attributes = tree_->Lookup(*d, Name(name))->attributes;
    EXPECT_EQ(attributes.gid, 50u) << name;
    EXPECT_EQ(attributes.uid, 2u) << name;
  }
}

TEST_P(MappedTest, UmaskTakesBitsAway) {
  Reexport({.umask = 027});
  EXPECT_EQ(Stat(*MakeFile("f", 0666)).mode, S_IFREG | 0640u);
  EXPECT_EQ(Stat(*MakeDirectory("d", 0777)).mode, S_IFDIR | 0750u);
  EXPECT_EQ(tree_->MakeNode(root(), Name("p"), S_IFIFO | 0666, 0, {})->mode, S_IFIFO | 0640u);
  EXPECT_EQ(tree_->MakeSymlink(root(), Name("l"), "t", {})->mode, S_IFLNK | 0777u);
}

TEST_P(MappedTest, LinksShareWhatIsKept) {
  ASSERT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), "target", {5, 6})), 0);
  const InodeRef d = MakeDirectory("d");
  const InodeRef f = MakeFile("f", 0751);
  ASSERT_EQ(ErrorOf(tree_->Link(*f, *d, Name("g"))), 0);
  ASSERT_EQ(ErrorOf(tree_->Link(*Get("l"), *d, Name("l"))), 0);
  EXPECT_EQ(ErrorOf(tree_->Link(*d, root(), Name("x"))), EPERM);
  EXPECT_EQ(ErrorOf(tree_->Link(*f, root(), Name("l"))), EEXIST);
  EXPECT_EQ(Stat("l").mode, S_IFLNK | 0777u);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mode = 0604, .uid = 77})), 0);
  Reexport();
  const Node g = *tree_->Lookup(*Get("d"), Name("g"));
  EXPECT_EQ(g.inode, Get("f"));
  EXPECT_EQ(g.attributes.mode, S_IFREG | 0604u);
  EXPECT_EQ(g.attributes.uid, 77u);
  EXPECT_EQ(*tree_->ReadLink(*tree_->Lookup(*Get("d"), Name("l"))->inode), "target");
  // One name goes, the other keeps it all.
  ASSERT_EQ(ErrorOf(tree_->Unlink(root(), Name("f"))), 0);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*g.inode, {.gid = 78})), 0);
  Reexport();
  const Attributes left = tree_->Lookup(*Get("d"), Name("g"))->attributes;
  EXPECT_EQ(left.uid, 77u);
  EXPECT_EQ(left.gid, 78u);
  EXPECT_EQ(left.nlink, 1u);
}

TEST_P(MappedTest, RenamesTakeItAlong) {
  const InodeRef d = MakeDirectory("d");
  const InodeRef f = MakeFile("f", 0751, {11, 12});
  MakeFile("victim", 0600, {13, 14});
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name("f"), *d, Name("moved"))), 0);
  EXPECT_EQ(Stat(*f).uid, 11u);
  ASSERT_EQ(ErrorOf(tree_->RenameIfSame(*d, Name("moved"), *f, root(), Name("victim"))), 0);
  EXPECT_EQ(Stat(*f).uid, 11u);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mode = 0123})), 0);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("none"), root(), Name("victim"))), ENOENT);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("victim"), root(), Name("d"))), EISDIR);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("d"), root(), Name("victim"))), ENOTDIR);
  Reexport();
  const Attributes victim = Stat("victim");
  EXPECT_EQ(victim.uid, 11u);
  EXPECT_EQ(victim.mode, S_IFREG | 0123u);
  EXPECT_EQ(Stat("d").mode, S_IFDIR | 0750u);
  EXPECT_EQ(List(root()).size(), 2u);
  // A name that is free again has nothing of the old file.
  Write("f", "the host's");
  EXPECT_EQ(Stat("f").uid, geteuid());
  EXPECT_EQ(Stat("f").mode, S_IFREG | 0644u);
}

TEST_P(MappedTest, RenamesDirectoriesWithWhatIsInThem) {
  const InodeRef d = MakeDirectory("d", 0711, {21, 22});
  ASSERT_EQ(ErrorOf(tree_->Create(*d, Name("f"), {}, 0600, {23, 24})), 0);
  MakeDirectory("empty", 0700);
  const InodeRef full = MakeDirectory("full");
  ASSERT_EQ(ErrorOf(tree_->MakeSymlink(*full, Name("l"), "t", {})), 0);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("d"), root(), Name("full"))), ENOTEMPTY);
  EXPECT_EQ(*tree_->ReadLink(*tree_->Lookup(*full, Name("l"))->inode), "t");
  ASSERT_EQ(ErrorOf(tree_->Unlink(*full, Name("l"))), 0);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("full"), root(), Name("empty"))), 0);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("d"), root(), Name("empty"))), 0);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("empty"), *d, Name("loop"))), EINVAL);
  EXPECT_EQ(Stat(*d).uid, 21u);
  Reexport();
  const Node moved = *tree_->Lookup(root(), Name("empty"));
  EXPECT_EQ(moved.attributes.mode, S_IFDIR | 0711u);
  EXPECT_EQ(moved.attributes.uid, 21u);
  const Node f = *tree_->Lookup(*moved.inode, Name("f"));
  EXPECT_EQ(f.attributes.uid, 23u);
  EXPECT_EQ(tree_->Parent(*moved.inode)->inode, tree_->root());
  ASSERT_EQ(ErrorOf(tree_->MakeDirectory(*moved.inode, Name("sub"), 0700, {})), 0);
  const Node up = *tree_->Parent(*tree_->Lookup(*moved.inode, Name("sub"))->inode);
  EXPECT_EQ(up.inode, moved.inode);
  EXPECT_EQ(up.attributes.uid, 21u);
  EXPECT_EQ(List(root()).size(), 1u);
}

TEST_P(MappedTest, RemovesEverything) {
  const InodeRef d = MakeDirectory("d");
  for (const uint32_t type : {S_IFCHR, S_IFIFO, S_IFREG}) {
    const PathComponent name = Name(std::to_string(type));
    ASSERT_EQ(ErrorOf(tree_->MakeNode(*d, name, type | 0600, 0, {1, 2})), 0);
    EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(*d, name)), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("d"))), ENOTEMPTY);
    EXPECT_EQ(tree_->Lookup(*d, name)->attributes.uid, 1u);
    const InodeRef node = tree_->Lookup(*d, name)->inode;
    EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(*d, name, *node)), 0);
  }
  EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("d"))), EISDIR);
  EXPECT_EQ(Stat("d").uid, 1000u);
  EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("d"), *d)), 0);
  EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("d"))), ENOENT);
  EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("d"))), ENOENT);
  // Its owner is not that of the next one.
  ASSERT_EQ(mkdir(path("d").c_str(), 0755), 0);
  EXPECT_EQ(Stat("d").uid, geteuid());
}

TEST_P(MappedTest, UnlinkedFilesKeepAll) {
  MakeFile("f", 04751, {31, 32});
  Reexport();
  const InodeRef f = Get("f");
  const auto open = *tree_->Open(*f, {.access = Access::kReadWrite});
  ASSERT_EQ(ErrorOf(tree_->Unlink(root(), Name("f"))), 0);
  MakeFile("f", 0600, {33, 34});
  EXPECT_EQ(Stat(*f).uid, 31u);
  EXPECT_EQ(Stat(*f).mode, S_IFREG | 04751u);
  EXPECT_EQ(Stat(*f).nlink, 0u);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mode = 0604, .uid = 35, .size = 3}, open.get())), 0);
  EXPECT_EQ(Stat(*f).uid, 35u);
  EXPECT_EQ(Stat(*f).gid, 32u);
  EXPECT_EQ(Stat(*f).mode, S_IFREG | 0604u);
  EXPECT_EQ(Stat(*f).size, 3u);
  EXPECT_EQ(Stat("f").uid, 33u);
  EXPECT_EQ(ErrorOf(tree_->SetXattr(*f, "user.a", BytesOf("v"), XattrMode::kEither)), 0);
  EXPECT_EQ(*tree_->GetXattr(*f, "user.a"), "v");
}

TEST_P(MappedTest, ListsWithTypesOnlyWhereTheHostKnows) {
  MakeFile("f");
  MakeDirectory("d");
  ASSERT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), "t", {})), 0);
  ASSERT_EQ(symlink("t", path("hosts").c_str()), 0);
  const std::map<std::string, mode_t> expected = {{"f", 0}, {"d", S_IFDIR}, {"l", 0}, {"hosts", S_IFLNK}};
  EXPECT_EQ(List(root()), expected);
  EXPECT_EQ(List(root(), OpenFile::kMinDirectoryBuffer), expected);
}

TEST_P(MappedTest, TheHostsFilesShowAsTheyAre) {
  Write("f", "text");
  ASSERT_EQ(chown(path("f").c_str(), 41, 42), 0);
  ASSERT_EQ(symlink("/etc/passwd", path("l").c_str()), 0);
  ASSERT_EQ(mknod(path("p").c_str(), S_IFIFO | 0640, 0), 0);
  ASSERT_EQ(mkdir(path("d").c_str(), 0711), 0);
  EXPECT_EQ(Stat("f").mode, S_IFREG | 0644u);
  EXPECT_EQ(Stat("f").uid, 41u);
  EXPECT_EQ(Stat("d").mode, S_IFDIR | 0711u);
  EXPECT_EQ(Stat("p").mode, S_IFIFO | 0640u);
  EXPECT_EQ(ErrorOf(tree_->Open(*Get("p"), {})), ENXIO);
  EXPECT_EQ(Stat("l").mode, S_IFLNK | 0777u);
  EXPECT_EQ(*tree_->ReadLink(*Get("l")), "/etc/passwd");
  EXPECT_EQ(ErrorOf(tree_->Open(*Get("l"), {})), ELOOP);
  // Taken over bit by bit.
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*Get("f"), {.gid = 7})), 0);
  Reexport();
  EXPECT_EQ(Stat("f").uid, 41u);
  EXPECT_EQ(Stat("f").gid, 7u);
  EXPECT_EQ(HostStat("f").st_gid, 42u);
}

TEST_P(MappedTest, NothingChangesInAReadOnlyExport) {
  MakeFile("f");
  Reexport({.readonly = true});
  EXPECT_EQ(Stat("f").uid, 1000u);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("g"), {}, 0600, {})), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("f"), {}, 0600, {})), 0);
  EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("g"), 0700, {})), EROFS);
  EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("g"), "t", {})), EROFS);
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("g"), S_IFIFO, 0, {})), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Link(*Get("f"), root(), Name("g"))), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("f"), root(), Name("g"))), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("f"))), EROFS);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*Get("f"), {.mode = 0})), EROFS);
}

}  // namespace
}  // namespace virtfs::host
