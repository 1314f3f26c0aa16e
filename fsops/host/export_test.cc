#include "fsops/host/export.h"

#include <linux/capability.h>
#include <linux/mount.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "fsops/host/export_fixture.h"

namespace virtfs::host {
namespace {

INSTANTIATE_ON_FILE_SYSTEMS(ExportTest);

constexpr OpenFlags kReadOnly;
constexpr OpenFlags kReadWrite = {.access = Access::kReadWrite};

TEST(PathComponentTest, TakesBytesAndRefusesWhatIsNoName) {
  EXPECT_EQ(Name("a").view(), "a");
  EXPECT_EQ(Name("...").view(), "...");
  EXPECT_EQ(Name("\xff\x01 \n").view(), "\xff\x01 \n");
  const std::string longest(255, 'x');
  EXPECT_EQ(Name(longest).view(), longest);
  EXPECT_EQ(Name(longest).c_str()[255], '\0');

  EXPECT_EQ(ErrorOf(PathComponent::Parse(std::string(256, 'x'))), ENAMETOOLONG);
  EXPECT_EQ(ErrorOf(PathComponent::Parse("")), ENOENT);
  for (const std::string_view bad : {".", "..", "/", "a/b", "a/", "/a", "../x"}) {
    EXPECT_EQ(ErrorOf(PathComponent::Parse(bad)), EINVAL) << bad;
  }
  EXPECT_EQ(ErrorOf(PathComponent::Parse(std::string_view("a\0b", 3))), EINVAL);
  EXPECT_EQ(ErrorOf(PathComponent::Parse(std::string_view("\0", 1))), EINVAL);
}

TEST(OpenFlagsTest, ReadsLinuxNumbers) {
  EXPECT_EQ(ErrorOf(OpenFlags::Parse(3)), EINVAL);
  const OpenFlags plain = *OpenFlags::Parse(0100 | 0400 | 040000);  // O_CREAT, O_NOCTTY, O_DIRECT: not ours
  EXPECT_FALSE(plain.writes() || plain.exclusive || plain.truncate || plain.append || plain.directory || plain.sync);
  const OpenFlags all = *OpenFlags::Parse(02 | 0200 | 01000 | 02000 | 0200000 | 04010000);
  EXPECT_EQ(all.access, Access::kReadWrite);
  EXPECT_TRUE(all.exclusive && all.truncate && all.append && all.directory && all.sync && all.data_sync);
  EXPECT_FALSE(OpenFlags::Parse(010000)->sync);  // O_DSYNC alone
}

TEST(ExportMakeTest, RootMustBeADirectory) {
  const ScratchDirectory scratch("/tmp");
  LocalHandleBroker broker(OpenDirectory(scratch.path()).get());
  UniqueFd file(open("/dev/null", O_PATH));
  EXPECT_EQ(ErrorOf(Export::Make(std::move(file), OpenDirectory("/proc/self/fd"), broker, {})), ENOTDIR);
}

// --- finding ---

TEST_P(ExportTest, OneInodePerFileHoweverItIsReached) {
  Write(path("a"), "text");
  ASSERT_EQ(link(path("a").c_str(), path("b").c_str()), 0);
  const Node a = *Find("a");
  EXPECT_EQ(a.attributes.size, 4u);
  EXPECT_EQ(a.attributes.nlink, 2u);
  EXPECT_EQ(a.attributes.ino, StatOf(path("a")).st_ino);
  EXPECT_EQ(a.attributes.dev, StatOf(path("a")).st_dev);
  EXPECT_EQ(Get("b"), a.inode);
  EXPECT_EQ(tree_->inodes(), 2u);  // and the root
  EXPECT_EQ(ErrorOf(Find("c")), ENOENT);
  EXPECT_EQ(ErrorOf(tree_->Lookup(*a.inode, Name("x"))), ENOTDIR);
}

TEST_P(ExportTest, InodesGoWithTheirLastReference) {
  Write(path("a"), "");
  Get("a");
  EXPECT_EQ(tree_->inodes(), 1u);
  EXPECT_EQ(tree_->held_descriptors(), 1u);
}

TEST_P(ExportTest, ParentStopsAtTheRoot) {
  ASSERT_EQ(mkdir(path("d").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(path("d/e").c_str(), 0755), 0);
  Write(path("f"), "");
  const InodeRef d = Get("d");
  const InodeRef e = tree_->Lookup(*d, Name("e"))->inode;
  EXPECT_EQ(tree_->Parent(*e)->inode, d);
  EXPECT_EQ(tree_->Parent(*d)->inode, tree_->root());
  EXPECT_EQ(tree_->Parent(root())->inode, tree_->root());
  EXPECT_EQ(ErrorOf(tree_->Parent(*Get("f"))), ENOTDIR);

  // Moved out of the export by the host, a directory has no parent in it any more.
  ASSERT_EQ(rename(path("d").c_str(), beside("d").c_str()), 0);
  EXPECT_EQ(ErrorOf(tree_->Parent(*d)), ENOENT);
  EXPECT_EQ(ErrorOf(tree_->Parent(*e)), ENOENT);
}

TEST_P(ExportTest, NoSymlinkIsEverFollowed) {
  Write(beside("secret"), "secret");
  ASSERT_EQ(mkdir(beside("dir").c_str(), 0755), 0);
  Write(beside("dir/secret"), "secret");
  const std::string targets[] = {
      beside("secret"), beside("dir"),     "../secret",       "../dir",        "/", "..", ".",
      "loop",           "/proc/self/root", "/proc/self/fd/0", "/proc/self/cwd"};
  const Owner owner{0, 0};
  for (const std::string& target : targets) {
    SCOPED_TRACE(target);
    unlink(path("loop").c_str());
    ASSERT_EQ(symlink(target.c_str(), path("loop").c_str()), 0);
    const Node found = *Find("loop");
    const InodeRef& link = found.inode;
    EXPECT_TRUE(S_ISLNK(found.attributes.mode));
    EXPECT_EQ(*tree_->ReadLink(*link), target);
    EXPECT_EQ(ErrorOf(tree_->Lookup(*link, Name("secret"))), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->Parent(*link)), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->Open(*link, kReadOnly)), ELOOP);
    EXPECT_EQ(ErrorOf(tree_->Open(*link, {.access = Access::kWrite, .truncate = true})), ELOOP);
    EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("loop"), kReadWrite, 0644, owner)), ELOOP);
    EXPECT_EQ(ErrorOf(tree_->Create(*link, Name("new"), kReadWrite, 0644, owner)), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("loop"), 0755, owner)), EEXIST);
    EXPECT_EQ(ErrorOf(tree_->MakeDirectory(*link, Name("new"), 0755, owner)), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->MakeSymlink(*link, Name("new"), "x", owner)), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->MakeNode(*link, Name("new"), S_IFIFO | 0644, 0, owner)), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->Unlink(*link, Name("secret"))), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->Rename(*link, Name("secret"), root(), Name("stolen"))), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("loop"), *link, Name("new"))), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->Link(*link, *link, Name("new"))), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*link, {.mode = 0777})), EOPNOTSUPP);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*link, {.size = 0})), EINVAL);
    // The symlink's own owner and times.
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*link, {.uid = 7, .mtime = {TimeChange::Kind::kSet, {9, 0}}})), 0);
    EXPECT_EQ(StatOf(path("loop")).st_uid, 7u);
    EXPECT_EQ(StatOf(path("loop")).st_mtime, 9);
  }
  EXPECT_EQ(Read(beside("secret")), "secret");
  EXPECT_EQ(StatOf(beside("secret")).st_uid, 0u);
  EXPECT_EQ(StatOf(beside("dir")).st_uid, 0u);
}

// While a host process turns a directory into a symlink to the outside and back, nothing from there is ever reached.
TEST_P(ExportTest, ExchangingADirectoryForASymlinkLeadsNowhere) {
  Write(beside("secret"), "secret");
  ASSERT_EQ(mkdir(path("a").c_str(), 0755), 0);
  Write(path("a/secret"), "mine");
  ASSERT_EQ(symlink(beside("").c_str(), path("b").c_str()), 0);
  const ino_t outside = StatOf(beside("secret")).st_ino;

  std::atomic<bool> stop = false;
  std::thread exchanger([&] {
    while (!stop) renameat2(AT_FDCWD, path("a").c_str(), AT_FDCWD, path("b").c_str(), RENAME_EXCHANGE);
  });
  int found = 0;
  for (int i = 0; i < 3000; ++i) {
    const Result<Node> a = Find("a");
    ASSERT_EQ(ErrorOf(a), 0);
    const Result<Node> secret = tree_->Lookup(*a->inode, Name("secret"));
    if (!secret) {
      EXPECT_EQ(ErrorOf(secret), ENOTDIR);
      continue;
    }
    ++found;
    EXPECT_NE(secret->attributes.ino, outside);
    EXPECT_EQ(secret->attributes.size, 4u);
  }
  stop = true;
  exchanger.join();
  EXPECT_GT(found, 0);
}

TEST_P(ExportTest, DepthDoesNotMatter) {
  const std::string name(250, 'd');
  std::vector<InodeRef> chain = {tree_->root()};
  for (size_t bytes = 0; bytes < 65536 + 4096; bytes += name.size() + 1) {
    chain.push_back(MakeDirectory(*chain.back(), name).inode);
  }
  const CreatedFile made = *tree_->Create(*chain.back(), Name("file"), kReadWrite, 0600, {0, 0});
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*made.node.inode, {.mode = 0640, .size = 5})), 0);
  EXPECT_EQ(tree_->Lookup(*chain.back(), Name("file"))->attributes.size, 5u);
  EXPECT_EQ(ErrorOf(tree_->Open(*made.node.inode, kReadOnly)), 0);
  EXPECT_EQ(ErrorOf(tree_->Link(*made.node.inode, root(), Name("shallow"))), 0);
  EXPECT_EQ(Get("shallow"), made.node.inode);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name(name), root(), Name("top"))), 0);
  for (size_t i = chain.size() - 1; i > 0; --i) ASSERT_EQ(tree_->Parent(*chain[i])->inode, chain[i - 1]);
}

// As a server has it: the export is the top of a mount that is nowhere mounted.
TEST_P(ExportTest, DetachedMount) {
  const auto detach = [&](bool readonly) {
    const auto tree = static_cast<int>(
        syscall(SYS_open_tree, AT_FDCWD, path().c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    mount_attr attributes = {};
    attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | (readonly ? MOUNT_ATTR_RDONLY : 0);
    EXPECT_EQ(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)), 0);
    return UniqueFd(tree);
  };
  UniqueFd mount = detach(false);
  ASSERT_TRUE(mount.ok());
  tree_.reset();
  broker_ = std::make_unique<LocalHandleBroker>(mount.get());
  tree_ = *Export::Make(std::move(mount), OpenDirectory("/proc/self/fd"), *broker_, {.max_descriptors = 1});

  const InodeRef d = MakeDirectory(root(), "d").inode;
  const InodeRef e = MakeDirectory(*d, "e").inode;
  const InodeRef f = tree_->Create(*e, Name("f"), kReadWrite, 0600, {1, 1})->node.inode;
  ASSERT_EQ(ErrorOf(tree_->MakeNode(root(), Name("null"), S_IFCHR | 0666, makedev(1, 3), {0, 0})), 0);
  const InodeRef null = Get("null");
  EXPECT_LE(tree_->held_descriptors(), 2u);
  // All of these come back by their handles, on the same mount.
  EXPECT_EQ(tree_->Parent(*e)->inode, d);
  EXPECT_EQ(tree_->Parent(*d)->inode, tree_->root());
  EXPECT_EQ(tree_->Parent(root())->inode, tree_->root());
  EXPECT_EQ(ErrorOf(tree_->Link(*f, root(), Name("g"))), 0);
  EXPECT_EQ(ErrorOf(tree_->Rename(*e, Name("f"), *d, Name("f"))), 0);
  EXPECT_EQ(ErrorOf(tree_->Open(*f, kReadWrite)), 0);
  EXPECT_EQ(ErrorOf(tree_->Open(*null, kReadWrite)), ENXIO);
  ASSERT_EQ(rename(path("d").c_str(), beside("d").c_str()), 0);
  EXPECT_EQ(ErrorOf(tree_->Parent(*d)), ENOENT);
  ASSERT_EQ(rename(beside("d").c_str(), path("d").c_str()), 0);
  EXPECT_EQ(tree_->Parent(*d)->inode, tree_->root());

  // The mount alone makes it read-only as well.
  auto readonly = *Export::Make(detach(true), OpenDirectory("/proc/self/fd"), *broker_, {});
  const InodeRef g = readonly->Lookup(*readonly->root(), Name("g"))->inode;
  EXPECT_EQ(ErrorOf(readonly->Open(*g, {.truncate = true})), EROFS);
  EXPECT_EQ(ErrorOf(readonly->SetAttributes(*g, {.mode = 0})), EROFS);
  EXPECT_EQ(ErrorOf(readonly->Create(*readonly->root(), Name("new"), kReadWrite, 0600, {0, 0})), EROFS);
}

// --- opening ---

TEST_P(ExportTest, OnlyRegularFilesAndDirectoriesAreOpened) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0644), 0);
  ASSERT_EQ(mknod(path("null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(mknod(path("disk").c_str(), S_IFBLK | 0666, makedev(7, 0)), 0);
  ASSERT_EQ(mknod(path("socket").c_str(), S_IFSOCK | 0666, 0), 0);
  for (const char* name : {"fifo", "null", "disk", "socket"}) {
    SCOPED_TRACE(name);
    const Node node = *Find(name);
    for (const Access access : {Access::kRead, Access::kWrite, Access::kReadWrite}) {
      EXPECT_EQ(ErrorOf(tree_->Open(*node.inode, {.access = access})), ENXIO);
      EXPECT_EQ(ErrorOf(tree_->Create(root(), Name(name), {.access = access}, 0644, {0, 0})), ENXIO);
    }
    // But they are files like others for all that needs no opening.
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*node.inode,
                                           {.mode = 0751, .uid = 3, .gid = 4, .atime = {TimeChange::Kind::kNow, {}}})),
              0);
    const Attributes now = *tree_->Stat(*node.inode);
    EXPECT_EQ(now.mode & 07777, 0751u);
    EXPECT_EQ(now.uid, 3u);
    EXPECT_EQ(now.gid, 4u);
    EXPECT_EQ(now.rdev, StatOf(path(name)).st_rdev);
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*node.inode, {.size = 0})), EINVAL);
    EXPECT_EQ(ErrorOf(tree_->Link(*node.inode, root(), Name(std::string(name) + "2"))), 0);
  }
  EXPECT_EQ(ErrorOf(tree_->Open(root(), kReadOnly)), 0);
  EXPECT_EQ(ErrorOf(tree_->Open(root(), kReadWrite)), EISDIR);
  EXPECT_EQ(ErrorOf(tree_->Open(root(), {.truncate = true})), EISDIR);
  Write(path("file"), "x");
  EXPECT_EQ(ErrorOf(tree_->Open(*Get("file"), {.directory = true})), ENOTDIR);
  EXPECT_EQ(ErrorOf(tree_->Open(*Get("file"), {.truncate = true, .append = true})), 0);
  EXPECT_EQ(StatOf(path("file")).st_size, 0);
}

TEST_P(ExportTest, CreateMakesOrOpens) {
  OpenFlags exclusive = kReadWrite;
  exclusive.exclusive = true;
  const CreatedFile made = *tree_->Create(root(), Name("f"), exclusive, 04751, {0, 0});
  EXPECT_EQ(made.node.attributes.mode, S_IFREG | 04751u);  // no umask of ours
  EXPECT_EQ(&made.file->inode(), made.node.inode.get());
  EXPECT_EQ(Get("f"), made.node.inode);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("f"), exclusive, 0644, {0, 0})), EEXIST);

  Write(path("f"), "text");
  const CreatedFile again = *tree_->Create(root(), Name("f"), kReadWrite, 0600, {5, 5});
  EXPECT_EQ(again.node.inode, made.node.inode);
  EXPECT_EQ(again.node.attributes.size, 4u);
  EXPECT_EQ(StatOf(path("f")).st_uid, 0u);
  OpenFlags truncate = kReadWrite;
  truncate.truncate = true;
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("f"), truncate, 0600, {0, 0})), 0);
  EXPECT_EQ(StatOf(path("f")).st_size, 0);

  // What can be read by nobody can still be written by its maker's descriptor.
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("sealed"), kReadWrite, 0, {0, 0})), 0);
  ASSERT_EQ(mkdir(path("d").c_str(), 0755), 0);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("d"), kReadWrite, 0600, {0, 0})), EISDIR);
}

// --- whose files are ---

TEST_P(ExportTest, FilesAreBornWithTheirOwner) {
  // Ids without an entry in passwd; from several threads, each with its own.
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < 20; ++i) {
        const Owner owner{70000 + t, 80000 + i % 3};
        const std::string name = std::to_string(t) + "-" + std::to_string(i);
        const Result<CreatedFile> file = tree_->Create(root(), Name(name), kReadWrite, 0600, owner);
        ASSERT_EQ(ErrorOf(file), 0);
        EXPECT_EQ(file->node.attributes.uid, owner.uid);
        EXPECT_EQ(file->node.attributes.gid, owner.gid);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  const Owner owner{1234, 5678};
  for (const Result<Attributes>& made :
       {tree_->MakeDirectory(root(), Name("d"), 0777, owner), tree_->MakeSymlink(root(), Name("l"), "x", owner),
        tree_->MakeNode(root(), Name("p"), S_IFIFO | 0666, 0, owner)}) {
    ASSERT_EQ(ErrorOf(made), 0);
    EXPECT_EQ(made->uid, 1234u);
    EXPECT_EQ(made->gid, 5678u);
  }
  EXPECT_EQ(StatOf(path("d")).st_mode & 07777, 0777u);
  // The capabilities are still there: a foreign file in a foreign directory.
  ASSERT_EQ(chmod(path("d").c_str(), 0700), 0);
  EXPECT_EQ(ErrorOf(tree_->Create(*Get("d"), Name("x"), kReadWrite, 0600, {4321, 4321})), 0);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("bad"), kReadWrite, 0600, {0xffffffff, 0})), EINVAL);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("bad"), kReadWrite, 0600, {0, 0xffffffff})), EINVAL);
}

TEST_P(ExportTest, SetgidDirectoriesPassOnTheirGroup) {
  ASSERT_EQ(mkdir(path("d").c_str(), 0755), 0);
  ASSERT_EQ(chown(path("d").c_str(), 1, 99), 0);
  ASSERT_EQ(chmod(path("d").c_str(), 02755), 0);
  const InodeRef d = Get("d");
  const CreatedFile file = *tree_->Create(*d, Name("f"), kReadWrite, 0644, {10, 20});
  EXPECT_EQ(file.node.attributes.uid, 10u);
  EXPECT_EQ(file.node.attributes.gid, 99u);
  const Attributes sub = *tree_->MakeDirectory(*d, Name("s"), 0755, {10, 20});
  EXPECT_EQ(sub.gid, 99u);
  EXPECT_EQ(sub.mode, S_IFDIR | 02755u);
}

// In a child: capabilities that are given up do not come back.
TEST_P(ExportTest, WithoutCapabilitiesOnlyOnesOwnFiles) {
  ASSERT_EQ(chmod(path().c_str(), 0777), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto tree = MakeExport(path(), *broker_);
    if (setgid(4000) != 0 || setuid(4001) != 0) _exit(1);
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2] = {};
    if (syscall(SYS_capset, &header, none) != 0) _exit(2);
    int failed = 0;
    // A thread of its own: what the test's thread knows of its ids is older than they are.
    std::thread([&] {
      if (ErrorOf(tree->Create(*tree->root(), Name("own"), kReadWrite, 0600, {4001, 4000})) != 0) failed = 3;
      if (ErrorOf(tree->Create(*tree->root(), Name("foreign"), kReadWrite, 0600, {4002, 4000})) != EPERM) failed = 4;
      if (ErrorOf(tree->MakeDirectory(*tree->root(), Name("foreign"), 0700, {4001, 4003})) != EPERM) failed = 5;
      if (ErrorOf(tree->Create(*tree->root(), Name("own2"), kReadWrite, 0600, {4001, 4000})) != 0) failed = 6;
    }).join();
    _exit(failed);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(StatOf(path("own")).st_uid, 4001u);
  EXPECT_EQ(StatOf(path("own2")).st_gid, 4000u);
  EXPECT_EQ(access(path("foreign").c_str(), F_OK), -1);
}

// --- leases ---

// A child that holds a write lease on a file until it is told to let go.
class LeaseHolder {
 public:
  explicit LeaseHolder(const std::string& path) {
    int ready[2], release[2];
    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(release, O_CLOEXEC) != 0) abort();
    child_ = fork();
    if (child_ == 0) {
      close(release[1]);
      signal(SIGIO, SIG_IGN);
      const int fd = open(path.c_str(), O_RDWR);
      const char held = fcntl(fd, F_SETLEASE, F_WRLCK) == 0 ? 'y' : 'n';
      if (write(ready[1], &held, 1) != 1) _exit(1);
      char end;
      (void)!read(release[0], &end, 1);
      _exit(0);
    }
    close(ready[1]);
    close(release[0]);
    release_ = UniqueFd(release[1]);
    char held = 'n';
    (void)!read(ready[0], &held, 1);
    close(ready[0]);
    ok_ = held == 'y';
  }
  ~LeaseHolder() { Release(); }

  bool ok() const { return ok_; }
  void Release() {
    release_.reset();
    if (child_ > 0) waitpid(std::exchange(child_, -1), nullptr, 0);
  }

 private:
  pid_t child_;
  UniqueFd release_;
  bool ok_ = false;
};

TEST_P(ExportTest, LeasesAreNeverWaitedFor) {
  Write(path("f"), "text");
  const InodeRef f = Get("f");
  LeaseHolder holder(path("f"));
  ASSERT_TRUE(holder.ok());
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ErrorOf(tree_->Open(*f, kReadOnly)), EWOULDBLOCK);
  EXPECT_EQ(ErrorOf(tree_->Open(*f, {.access = Access::kWrite, .truncate = true})), EWOULDBLOCK);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("f"), kReadWrite, 0600, {0, 0})), EWOULDBLOCK);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.size = 1})), EWOULDBLOCK);
  // These break no lease.
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mode = 0600, .uid = 1, .mtime = {TimeChange::Kind::kNow, {}}})), 0);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("f"), root(), Name("g"))), 0);
  EXPECT_EQ(ErrorOf(tree_->Link(*f, root(), Name("f"))), 0);
  EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("g"))), 0);
  // The kernel's lease-break-time is 45 s.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));

  holder.Release();
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.size = 1})), 0);
  EXPECT_EQ(ErrorOf(tree_->Open(*f, kReadOnly)), 0);
  EXPECT_EQ(Read(path("f")), "t");
}

// --- read-only ---

TEST_P(ExportTest, ReadOnlyRefusesEveryChange) {
  Write(path("f"), "text");
  ASSERT_EQ(mkdir(path("d").c_str(), 0755), 0);
  Reexport({.readonly = true});
  const InodeRef f = Get("f");
  const Owner owner{0, 0};
  EXPECT_EQ(ErrorOf(tree_->Open(*f, {.access = Access::kWrite})), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Open(*f, kReadWrite)), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Open(*f, {.truncate = true})), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("new"), kReadOnly, 0644, owner)), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("f"), kReadWrite, 0644, owner)), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("f"), {.truncate = true}, 0644, owner)), EROFS);
  EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("new"), 0755, owner)), EROFS);
  EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("new"), "x", owner)), EROFS);
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("new"), S_IFIFO, 0, owner)), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Link(*f, root(), Name("new"))), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("f"), root(), Name("new"))), EROFS);
  EXPECT_EQ(ErrorOf(tree_->RenameIfSame(root(), Name("f"), *f, root(), Name("new"))), EROFS);
  EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("f"))), EROFS);
  EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("d"))), EROFS);
  EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("f"), *f)), EROFS);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mode = 0})), EROFS);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.size = 0})), EROFS);

  EXPECT_EQ(ErrorOf(tree_->Open(*f, kReadOnly)), 0);
  EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("f"), kReadOnly, 0644, owner)), 0);
  EXPECT_EQ(Read(path("f")), "text");
}

}  // namespace
}  // namespace virtfs::host
