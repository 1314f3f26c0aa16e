// max_files and max_space: what counts, what is refused, and that nothing is ever counted twice or forgotten. The truth
// is what a walk through the whole tree finds.
#include "fsops/host/usage.h"

#include <sys/resource.h>
#include <sys/xattr.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "fsops/host/export_fixture.h"
#include "fsops/host/file_io.h"

namespace virtfs::host {

void PrintTo(const Usage::Count& count, std::ostream* out) {
  *out << count.files << " files, " << count.space << " bytes";
}

namespace {

constexpr uint64_t kUnit = Usage::kUnit;
constexpr OpenFlags kWrite{.access = Access::kReadWrite};

// Written out, so that the walk does not repeat the code's own formula.
uint64_t Rounded(uint64_t size) { return (size + 4095) & ~uint64_t{4095}; }

Result<size_t> WriteBytes(OpenFile& file, uint64_t offset, size_t size) {
  static std::vector<char> bytes(1 << 20, 'x');
  const iovec segment{bytes.data(), size};
  return FileIo::WriteFrom(file, offset, Payload({&segment, 1}, size));
}

class UsageTest : public ExportTest {
 protected:
  void Limit(uint64_t max_files, uint64_t max_space, size_t max_descriptors = 4096) {
    Reexport({.max_descriptors = max_descriptors, .model = model_, .max_files = max_files, .max_space = max_space});
  }
  Usage::Count Counted() const { return tree_->usage()->now(); }

  // By names, but for those that the model mapped-file has for itself.
  Usage::Count Walk() const {
    Usage::Count count;
    std::set<ino_t> seen;
    for (auto entry = std::filesystem::recursive_directory_iterator(path()); entry != end(entry); ++entry) {
      if (entry->path().filename().string().starts_with(".virtfs_metadata")) {
        entry.disable_recursion_pending();
        continue;
      }
      const struct stat stat = StatOf(entry->path());
      if (!seen.insert(stat.st_ino).second) continue;
      ++count.files;
      if (S_ISREG(stat.st_mode)) count.space += Rounded(static_cast<uint64_t>(stat.st_size));
    }
    return count;
  }

  Result<CreatedFile> Create(std::string_view name, OpenFlags flags = kWrite) {
    return tree_->Create(root(), Name(name), flags, 0644, {0, 0});
  }
  void OperateAtRandom(int steps);

  int Resize(Inode& inode, uint64_t size) { return ErrorOf(tree_->SetAttributes(inode, {.size = size})); }

  SecurityModel model_ = SecurityModel::kPassthrough;
};
INSTANTIATE_ON_FILE_SYSTEMS(UsageTest);

TEST_P(UsageTest, NothingIsCountedWithoutALimit) {
  EXPECT_EQ(tree_->usage(), nullptr);
  Reexport({.readonly = true, .max_files = 1, .max_space = 1});
  EXPECT_EQ(tree_->usage(), nullptr);
}

TEST_P(UsageTest, TheScanFindsEachFileOnceAtAnyDepth) {
  Write(path("one byte"), "1");
  Write(path("linked"), std::string(5000, 'x'));
  ASSERT_EQ(link(path("linked").c_str(), path("linked too").c_str()), 0);
  Write(path("sparse"), "");
  ASSERT_EQ(truncate(path("sparse").c_str(), 1 << 30), 0);
  ASSERT_EQ(symlink("one byte", path("symlink").c_str()), 0);
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  for (int i = 0; i < 3000; ++i) mkdir(path("wide " + std::to_string(i)).c_str(), 0700);
  // Deeper than the scan keeps large portions of, and than its descriptors reach; files at every level.
  UniqueFd dir = OpenDirectory(path());
  for (int depth = 0; depth < 300; ++depth) {
    ASSERT_EQ(mkdirat(dir.get(), "d", 0700), 0);
    dir = UniqueFd(openat(dir.get(), "d", O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (const char* name : {"a", "b", "c"}) ASSERT_EQ(mkdirat(dir.get(), name, 0700), 0);
    UniqueFd file(openat(dir.get(), "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ASSERT_EQ(ftruncate(file.get(), depth), 0);
  }
  ASSERT_EQ(linkat(AT_FDCWD, path("linked").c_str(), dir.get(), "linked three", 0), 0);
  dir.reset();
  Limit(1 << 20, 1 << 20, 16);
  EXPECT_EQ(Counted(), Walk());
  EXPECT_EQ(Counted().files, 5u + 3000 + 300 * 5);
  EXPECT_EQ(Counted().space, 4096 + 8192 + (1 << 30) + 299 * 4096u);
  EXPECT_LE(tree_->held_descriptors(), 17u);
  EXPECT_EQ(tree_->inodes(), 1u);
}

TEST_P(UsageTest, FilesOfEveryTypeAreRefusedBeyondTheLimit) {
  Limit(3, 0);
  ASSERT_EQ(ErrorOf(Create("file")), 0);
  MakeDirectory(root(), "dir");
  ASSERT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("link"), "target", {0, 0})), 0);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(ErrorOf(Create("new")), ENOSPC);
    EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("new"), 0700, {0, 0})), ENOSPC);
    EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("new"), "target", {0, 0})), ENOSPC);
    EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("new"), S_IFIFO | 0600, 0, {0, 0})), ENOSPC);
  }
  // What takes no file works, and what is there is said to be there.
  EXPECT_EQ(ErrorOf(tree_->Link(*Get("file"), root(), Name("another name"))), 0);
  EXPECT_EQ(ErrorOf(Create("file")), 0);
  EXPECT_EQ(ErrorOf(Create("file", {.exclusive = true})), EEXIST);
  EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("dir"), 0700, {0, 0})), EEXIST);
  EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("another name"), *Get("dir"), Name("moved"))), 0);
  // Each that goes makes room for one.
  EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("file"))), 0);
  EXPECT_EQ(ErrorOf(Create("new")), ENOSPC) << "its other name is left";
  EXPECT_EQ(ErrorOf(tree_->Unlink(*Get("dir"), Name("moved"))), 0);
  EXPECT_EQ(ErrorOf(Create("new")), 0);
  EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("dir"))), 0);
  EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("fifo"), S_IFIFO | 0600, 0, {0, 0})), 0);
  EXPECT_EQ(Counted().files, 3u);
  EXPECT_EQ(Walk().files, 3u);
}

TEST_P(UsageTest, WhatFailsTakesNothing) {
  Limit(10, 10 * kUnit);
  const std::string too_long(300, 'x');
  const InodeRef dir = MakeDirectory(root(), "dir").inode;
  ASSERT_EQ(ErrorOf(Create("file")), 0);
  const Usage::Count before = Counted();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("dir"), 0700, {0, 0})), EEXIST);
    EXPECT_EQ(ErrorOf(tree_->MakeDirectory(*Get("file"), Name("x"), 0700, {0, 0})), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("x"), S_IFDIR, 0, {0, 0})), EPERM);
    EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("dir"))), EISDIR);
    EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("absent"))), ENOENT);
    EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("file"))), ENOTDIR);
    EXPECT_EQ(ErrorOf(tree_->Rename(root(), Name("file"), root(), Name("dir"))), EISDIR);
    EXPECT_EQ(Resize(*Get("file"), 11 * kUnit), ENOSPC);
    const auto file = *tree_->Open(*Get("file"), kWrite);
    EXPECT_EQ(ErrorOf(WriteBytes(*file, uint64_t{1} << 40, 1)), ENOSPC);
    EXPECT_EQ(ErrorOf(WriteBytes(*file, UINT64_MAX, 1)), EINVAL);
  }
  EXPECT_EQ(Counted(), before);
}

TEST_P(UsageTest, AWriteFillsWhatIsLeftAndNoMore) {
  Limit(0, 4 * kUnit + 100);  // whole units only
  const CreatedFile file = *Create("file");
  EXPECT_EQ(*WriteBytes(*file.file, 0, 1), 1u);
  EXPECT_EQ(Counted().space, kUnit);
  EXPECT_EQ(*WriteBytes(*file.file, kUnit - 10, 3 * kUnit), 3 * kUnit);
  EXPECT_EQ(Counted().space, 4 * kUnit);
  EXPECT_EQ(*WriteBytes(*file.file, 4 * kUnit - 100, 200), 100u) << "the rest of the last unit";
  EXPECT_EQ(ErrorOf(WriteBytes(*file.file, 4 * kUnit, 1)), ENOSPC);
  EXPECT_EQ(*WriteBytes(*file.file, 0, 4 * kUnit), 4 * kUnit) << "overwriting takes nothing";
  EXPECT_EQ(*WriteBytes(*file.file, 4 * kUnit - 1, 2), 1u);
  // Another file can be made, and not be written to.
  const CreatedFile other = *Create("other");
  EXPECT_EQ(ErrorOf(WriteBytes(*other.file, 0, 1)), ENOSPC);
  // Space that is given back is there for others.
  EXPECT_EQ(Resize(*file.node.inode, kUnit + 1), 0);
  EXPECT_EQ(Counted().space, 2 * kUnit);
  EXPECT_EQ(ErrorOf(WriteBytes(*other.file, 2 * kUnit, 1)), ENOSPC) << "a hole counts";
  EXPECT_EQ(*WriteBytes(*other.file, kUnit, 1), 1u);
  EXPECT_EQ(Counted().space, 4 * kUnit);
  EXPECT_EQ(Counted().space, Walk().space);
}

TEST_P(UsageTest, AppendingAndTruncatingByOpening) {
  Limit(0, 3 * kUnit);
  {
    const CreatedFile file = *Create("file", {.access = Access::kWrite, .append = true});
    for (int i = 0; i < 3; ++i) EXPECT_EQ(*WriteBytes(*file.file, 0, 3000), 3000u);
    EXPECT_EQ(*WriteBytes(*file.file, 0, 9000), 3 * kUnit - 9000);
    EXPECT_EQ(ErrorOf(WriteBytes(*file.file, 0, 1)), ENOSPC);
  }
  EXPECT_EQ(Counted().space, 3 * kUnit);
  ASSERT_EQ(ErrorOf(tree_->Open(*Get("file"), {.access = Access::kWrite, .truncate = true})), 0);
  EXPECT_EQ(Counted().space, 0u);
  EXPECT_EQ(Resize(*Get("file"), 2 * kUnit), 0);
  EXPECT_EQ(Counted().space, 2 * kUnit);
  ASSERT_EQ(ErrorOf(Create("file", {.access = Access::kWrite, .truncate = true})), 0);
  EXPECT_EQ(Counted().space, 0u);
}

// The host itself refuses: what was taken for it is given back.
TEST_P(UsageTest, AFailedWriteTakesNothing) {
  rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  signal(SIGXFSZ, SIG_IGN);
  Limit(0, 100 * kUnit);
  const CreatedFile file = *Create("file");
  const rlimit small{.rlim_cur = 10'000, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_EQ(*WriteBytes(*file.file, 0, 20'000), 10'000u);
  EXPECT_EQ(Counted().space, Rounded(10'000));
  EXPECT_EQ(ErrorOf(WriteBytes(*file.file, 30'000, 20'000)), EFBIG);
  EXPECT_EQ(Resize(*file.node.inode, 30'000), EFBIG);
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_EQ(Counted().space, Rounded(10'000));
}

TEST_P(UsageTest, AnOpenFileCountsUntilItIsGone) {
  Limit(2, 4 * kUnit);
  CreatedFile file = *Create("file");
  EXPECT_EQ(*WriteBytes(*file.file, 0, kUnit), kUnit);
  ASSERT_EQ(ErrorOf(tree_->Unlink(root(), Name("file"))), 0);
  EXPECT_EQ(Counted(), (Usage::Count{1, kUnit}));
  // It grows and shrinks on.
  EXPECT_EQ(*WriteBytes(*file.file, 0, 10 * kUnit), 4 * kUnit);
  EXPECT_EQ(Counted(), (Usage::Count{1, 4 * kUnit}));
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*file.node.inode, {.size = 2 * kUnit}, file.file.get())), 0);
  EXPECT_EQ(Counted(), (Usage::Count{1, 2 * kUnit}));
  // Its name is another's by now.
  CreatedFile other = *Create("file");
  EXPECT_EQ(*WriteBytes(*other.file, 0, 10 * kUnit), 2 * kUnit);
  file.file.reset();
  EXPECT_EQ(Counted(), (Usage::Count{2, 4 * kUnit})) << "somebody holds it still";
  file.node.inode = {};
  EXPECT_EQ(Counted(), (Usage::Count{1, 2 * kUnit}));
  other = {};
  EXPECT_EQ(Counted(), Walk());
}

TEST_P(UsageTest, RenamingOverAFileFreesIt) {
  Limit(10, 10 * kUnit);
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(Resize(*Create(name)->node.inode, kUnit), 0);
  ASSERT_EQ(ErrorOf(tree_->Link(*Get("b"), root(), Name("b too"))), 0);
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name("b"), root(), Name("b too"))), 0) << "one file: nothing happens";
  EXPECT_EQ(Counted(), (Usage::Count{3, 3 * kUnit}));
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name("a"), root(), Name("b"))), 0);
  EXPECT_EQ(Counted(), (Usage::Count{3, 3 * kUnit})) << "it has another name";
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name("b"), root(), Name("b too"))), 0);
  EXPECT_EQ(Counted(), (Usage::Count{2, 2 * kUnit}));
  const auto open = *tree_->Open(*Get("c"), {});
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name("b too"), root(), Name("c"))), 0);
  EXPECT_EQ(Counted(), (Usage::Count{2, 2 * kUnit}));
  MakeDirectory(root(), "d");
  MakeDirectory(root(), "e");
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name("d"), root(), Name("e"))), 0);
  ASSERT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("e"), *Get("e"))), 0);
  EXPECT_EQ(Counted(), (Usage::Count{2, 2 * kUnit}));
}

TEST_P(UsageTest, AnEvictedFileWithoutANameIsGone) {
  if (!HandlesWork()) GTEST_SKIP() << "file handles cannot be used here";
  Limit(100, 100 * kUnit, 2);
  const InodeRef held = Create("file")->node.inode;
  EXPECT_EQ(Resize(*held, kUnit), 0);
  ASSERT_EQ(ErrorOf(tree_->Unlink(root(), Name("file"))), 0);
  std::vector<InodeRef> others(10);
  for (int i = 0; i < 10; ++i) others[static_cast<size_t>(i)] = MakeDirectory(root(), "d" + std::to_string(i)).inode;
  EXPECT_EQ(ErrorOf(tree_->Stat(*held)), ESTALE);
  EXPECT_EQ(Counted(), (Usage::Count{10, 0}));

  // One that a host process has open comes back, and counts again.
  const InodeRef kept = Create("kept")->node.inode;
  EXPECT_EQ(Resize(*kept, kUnit), 0);
  const UniqueFd of_host(open(path("kept").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(ErrorOf(tree_->Unlink(root(), Name("kept"))), 0);
  for (int round = 0; round < 3; ++round) {
    for (const InodeRef& other : others) EXPECT_EQ(ErrorOf(tree_->Stat(*other)), 0);
    EXPECT_EQ(Counted(), (Usage::Count{10, 0}));
    EXPECT_EQ(ErrorOf(tree_->Stat(*kept)), 0);
    EXPECT_EQ(Counted(), (Usage::Count{11, kUnit}));
  }
}

TEST_P(UsageTest, StatfsShowsTheSmallerOfBoth) {
  const FileSystemStatus real = *tree_->StatFileSystem(root());
  Limit(100, 1 << 20);
  EXPECT_EQ(Resize(*Create("file")->node.inode, 3 * kUnit), 0);
  const FileSystemStatus status = *tree_->StatFileSystem(root());
  EXPECT_EQ(status.files, 100u);
  EXPECT_EQ(status.free_files, 99u);
  EXPECT_EQ(status.blocks * status.block_size, 1u << 20);
  EXPECT_EQ(status.free_blocks * status.block_size, (1u << 20) - 3 * kUnit);
  EXPECT_EQ(status.available_blocks, status.free_blocks);
  Limit(0, UINT64_MAX);
  EXPECT_EQ(tree_->StatFileSystem(root())->blocks, real.blocks);
  EXPECT_EQ(tree_->StatFileSystem(root())->files, real.files);
}

TEST_P(UsageTest, ATreeBeyondItsLimitsShrinks) {
  for (int i = 0; i < 5; ++i) Write(path(std::to_string(i)), std::string(kUnit, 'x'));
  Limit(3, 3 * kUnit);
  EXPECT_EQ(Counted(), (Usage::Count{5, 5 * kUnit}));
  EXPECT_EQ(tree_->StatFileSystem(root())->free_blocks, 0u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ErrorOf(Create("new")), ENOSPC);
    EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name(std::to_string(i)))), 0);
  }
  EXPECT_EQ(ErrorOf(Create("new")), 0);
}

// What a guest may do, at random, with few descriptors; a walk has the last word.
void UsageTest::OperateAtRandom(int steps) {
  if (!HandlesWork()) GTEST_SKIP() << "file handles cannot be used here";
  constexpr uint64_t kMaxFiles = 25, kMaxSpace = 40 * kUnit;
  Limit(kMaxFiles, kMaxSpace, 3);
  std::mt19937 random(1);
  const auto below = [&](uint64_t bound) { return random() % bound; };
  InodeRef dirs[] = {tree_->root(), MakeDirectory(root(), "x").inode, MakeDirectory(root(), "y").inode};
  std::vector<std::unique_ptr<OpenFile>> open_files;
  std::vector<InodeRef> idle;
  int refused = 0, done = 0;
  const auto check = [&](int step) {
    // Idle files without a name count if they have a descriptor: without them it is known what must.
    idle.clear();
    Usage::Count truth = Walk();
    std::set<Inode*> nameless;
    for (const auto& file : open_files) {
      const Attributes attributes = *tree_->Stat(file->inode());
      if (attributes.nlink != 0 || !nameless.insert(&file->inode()).second) continue;
      ++truth.files;
      truth.space += Rounded(attributes.size);
    }
    ASSERT_EQ(Counted(), truth) << "before step " << step;
    ASSERT_LE(truth.files, kMaxFiles);
    ASSERT_LE(truth.space, kMaxSpace);
  };
  for (int step = 0; step < steps; ++step) {
    if (step % 10 == 0) {
      ASSERT_NO_FATAL_FAILURE(check(step));
    }
    Inode& dir = *dirs[below(3)];
    Inode& other_dir = *dirs[below(3)];
    const PathComponent name = Name(std::string(1, static_cast<char>('a' + below(12))));
    const PathComponent other = Name(std::string(1, static_cast<char>('a' + below(12))));
    const Result<Node> node = tree_->Lookup(dir, name);
    int error = 0;
    switch (below(14)) {
      case 0:
      case 1: {
        Result<CreatedFile> file =
            tree_->Create(dir, name, {.access = Access::kReadWrite, .truncate = below(4) == 0, .append = below(3) == 0},
                          0644, {0, 0});
        error = ErrorOf(file);
        if (file) open_files.push_back(std::move(file->file));
        break;
      }
      case 2:
        error = ErrorOf(tree_->MakeDirectory(dir, name, 0700, {0, 0}));
        break;
      case 3:
        error = ErrorOf(tree_->MakeSymlink(dir, name, "somewhere", {0, 0}));
        break;
      case 4:
        if (node) error = ErrorOf(tree_->Link(*node->inode, other_dir, other));
        break;
      case 5:
      case 6:
        error = ErrorOf(tree_->Rename(dir, name, other_dir, other));
        break;
      case 7:
        error = ErrorOf(tree_->Unlink(dir, name));
        break;
      case 8:
        if (node) error = ErrorOf(tree_->RemoveIfSame(dir, name, *node->inode));
        break;
      case 9:
        if (node) error = Resize(*node->inode, below(12 * kUnit));
        break;
      case 10:
        if (node) idle.push_back(node->inode);
        break;
      default:
        if (open_files.empty()) break;
        OpenFile& file = *open_files[below(open_files.size())];
        if (below(3) == 0) {
          error = ErrorOf(tree_->SetAttributes(file.inode(), {.size = below(8 * kUnit)}, &file));
        } else {
          error = ErrorOf(WriteBytes(file, below(8 * kUnit), below(3 * kUnit)));
        }
    }
    refused += error == ENOSPC;
    done += error == 0;
    if (open_files.size() > 6) open_files.erase(open_files.begin() + static_cast<long>(below(open_files.size())));
  }
  EXPECT_GT(refused, steps / 50);
  EXPECT_GT(done, steps / 4);
}

TEST_P(UsageTest, ThousandsOfRandomOperations) { OperateAtRandom(10'000); }

// There a symlink is a file of the host, and counts as one.
TEST_P(UsageTest, ThousandsOfRandomOperationsUnderMappedXattr) {
  if (setxattr(path().c_str(), "user.virtfs.probe", "", 0, 0) != 0) GTEST_SKIP() << "no user attributes here";
  ASSERT_EQ(removexattr(path().c_str(), "user.virtfs.probe"), 0);
  model_ = SecurityModel::kMappedXattr;
  OperateAtRandom(3'000);
}

TEST_P(UsageTest, ThousandsOfRandomOperationsUnderMappedFile) {
  model_ = SecurityModel::kMappedFile;
  OperateAtRandom(3'000);
  const Usage::Count counted = Counted();
  Limit(100, 1 << 20);
  EXPECT_EQ(Counted(), counted) << "the files of the model itself are not counted by the scan either";
}

// The same from several threads, few names for all: at the end nothing is held, and the walk decides.
TEST_P(UsageTest, RacesLoseNothing) {
  constexpr int kThreads = 4, kSteps = 4'000;
  Limit(14, 24 * kUnit, 4);
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::unique_ptr<OpenFile> open;
      InodeRef idle;
      for (int step = 0; step < kSteps; ++step) {
        const PathComponent name = Name(std::string(1, static_cast<char>('a' + random() % 4)));
        const PathComponent other = Name(std::string(1, static_cast<char>('a' + random() % 4)));
        switch (random() % 10) {
          case 0:
          case 1:
            if (Result<CreatedFile> file = tree_->Create(
                    root(), name, {.access = Access::kWrite, .truncate = random() % 2 == 0}, 0644, {0, 0})) {
              open = std::move(file->file);
            }
            break;
          case 2:
            (void)tree_->Unlink(root(), name);
            break;
          case 3:
            (void)tree_->Rename(root(), name, root(), other);
            break;
          case 4:
            if (Result<Node> node = tree_->Lookup(root(), name)) (void)tree_->Link(*node->inode, root(), other);
            break;
          case 5:
            if (Result<Node> node = tree_->Lookup(root(), name)) {
              (void)tree_->SetAttributes(*node->inode, {.size = random() % (6 * kUnit)});
            }
            break;
          case 6:
            if (Result<Node> node = tree_->Lookup(root(), name)) {
              idle = node->inode;
              if (Result<std::unique_ptr<OpenFile>> file = tree_->Open(*idle, kWrite)) open = *std::move(file);
            }
            break;
          case 7:
            open = nullptr;
            break;
          default:
            if (open) (void)WriteBytes(*open, random() % (3 * kUnit), random() % (3 * kUnit));
        }
        const Usage::Count now = Counted();
        ASSERT_LE(now.files, 14u + kThreads);  // one that is looked up while it goes is counted again
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Counted(), Walk());
}

}  // namespace
}  // namespace virtfs::host
