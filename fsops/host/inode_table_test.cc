// Inodes without descriptors: what is evicted comes back as itself or not at all.
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "fsops/host/export_fixture.h"
#include "fsops/host/file_io.h"

namespace virtfs::host {
namespace {

static_assert(sizeof(Inode) <= 72, "a guest may have a million of them; malloc rounds 73 up to 96");

// Counts, and can be made to fail.
class BrokerSpy : public HandleBroker {
 public:
  explicit BrokerSpy(HandleBroker& real) : real_(real) {}

  Result<HandleToken> Keep(int fd) override {
    ++keeps;
    if (keep_error != 0) return Errno(keep_error);
    return real_.Keep(fd);
  }
  Result<UniqueFd> Reopen(HandleToken token) override {
    ++reopens;
    if (reopen_error != 0) return Errno(reopen_error);
    return real_.Reopen(token);
  }
  void Drop(HandleToken token) override {
    ++drops;
    real_.Drop(token);
  }

  std::atomic<int> keeps = 0, reopens = 0, drops = 0;
  std::atomic<int> keep_error = 0, reopen_error = 0;

 private:
  HandleBroker& real_;
};

class EvictionTest : public ExportTest {
 protected:
  void SetUp() override {
    ExportTest::SetUp();
    if (IsSkipped()) return;
    if (!HandlesWork()) GTEST_SKIP() << "file handles cannot be used here";
    for (int i = 0; i < 16; ++i) Write(path("other" + std::to_string(i)), "");
    Limit(4);
  }
  void TearDown() override {
    others_.clear();
    tree_.reset();
    EXPECT_EQ(broker_->kept(), 0u);  // every token was dropped
  }
  void Limit(size_t max_descriptors) {
    others_.clear();
    tree_.reset();
    tree_ = MakeExport(path(), spy_, {.max_descriptors = max_descriptors});
  }
  // Uses so many other files that whatever is idle has no descriptor afterwards.
  void EvictOthers() {
    others_.clear();
    for (int i = 0; i < 16; ++i) others_.push_back(Get("other" + std::to_string(i)));
  }

  BrokerSpy spy_{*broker_};
  std::vector<InodeRef> others_;
};
INSTANTIATE_ON_FILE_SYSTEMS(EvictionTest);

TEST_P(EvictionTest, WhatIsEvictedComesBackAsItself) {
  ASSERT_EQ(mkdir(path("d").c_str(), 0755), 0);
  Write(path("d/f"), "text");
  const InodeRef d = Get("d");
  const InodeRef f = tree_->Lookup(*d, Name("f"))->inode;
  EvictOthers();
  EXPECT_LE(tree_->held_descriptors(), 4u);
  // Renamed in every way meanwhile.
  ASSERT_EQ(rename(path("d/f").c_str(), path("d/g").c_str()), 0);
  ASSERT_EQ(rename(path("d").c_str(), path("e").c_str()), 0);
  const int before = spy_.reopens;
  EXPECT_EQ(tree_->Stat(*f)->size, 4u);
  EXPECT_EQ(spy_.reopens, before + 1);
  EXPECT_EQ(tree_->Stat(*f)->size, 4u);
  EXPECT_EQ(spy_.reopens, before + 1);
  EvictOthers();
  EXPECT_EQ(tree_->Lookup(*d, Name("g"))->inode, f);
  EXPECT_EQ(tree_->Parent(*d)->inode, tree_->root());
  EvictOthers();
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.mode = 0600, .size = 1})), 0);
  EvictOthers();
  EXPECT_EQ(ErrorOf(tree_->Link(*f, root(), Name("h"))), 0);
  EvictOthers();
  EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("h"), *f)), 0);
  EvictOthers();
  EXPECT_EQ(ErrorOf(tree_->Open(*f, {})), 0);
  EvictOthers();
  EXPECT_EQ(Get("e"), d);  // by name again, while it has no descriptor
}

TEST_P(EvictionTest, SpecialFilesAreEvictedLikeOthers) {
  ASSERT_EQ(mkfifo(path("p").c_str(), 0600), 0);
  ASSERT_EQ(symlink("target", path("l").c_str()), 0);
  ASSERT_EQ(mknod(path("s").c_str(), S_IFSOCK | 0600, 0), 0);
  for (const char* name : {"p", "l", "s"}) {
    const InodeRef file = Get(name);
    EvictOthers();
    EXPECT_EQ(tree_->Stat(*file)->ino, StatOf(path(name)).st_ino);
    EvictOthers();
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*file, {.uid = 9, .mtime = {TimeChange::Kind::kSet, {7, 0}}})), 0);
    EXPECT_EQ(StatOf(path(name)).st_mtime, 7);
    EvictOthers();
    EXPECT_EQ(ErrorOf(tree_->ReadLink(*file)), *name == 'l' ? 0 : EINVAL);
    EXPECT_EQ(ErrorOf(tree_->Link(*file, root(), Name(std::string(name) + "2"))), 0);
  }
}

TEST_P(EvictionTest, UsedOnesStay) {
  Write(path("busy"), "");
  Write(path("open"), "");
  const InodeRef busy = Get("busy");
  const InodeRef open = Get("open");
  const auto file = *tree_->Open(*open, {});
  const int before = spy_.reopens;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(ErrorOf(tree_->Stat(*busy)), 0);
    Get("other" + std::to_string(i % 16));
  }
  EXPECT_EQ(spy_.reopens, before);
  EvictOthers();
  EvictOthers();
  EXPECT_EQ(ErrorOf(tree_->Stat(*open)), 0);
  EXPECT_EQ(spy_.reopens, before);
}

TEST_P(EvictionTest, DeletedMeansStale) {
  Write(path("f"), "");
  const InodeRef f = Get("f");
  EvictOthers();
  ASSERT_EQ(unlink(path("f").c_str()), 0);
  EXPECT_EQ(ErrorOf(tree_->Stat(*f)), ESTALE);
  EXPECT_EQ(ErrorOf(tree_->Open(*f, {})), ESTALE);
  EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("f"), *f)), ESTALE);
  Write(path("f"), "another");
  EXPECT_EQ(ErrorOf(tree_->Stat(*f)), ESTALE);
  EXPECT_NE(Get("f"), f);
}

// ext4 gives a number that has become free to the next file, often within one tick of its clock.
TEST_P(EvictionTest, AReusedNumberIsAnotherFile) {
  int reused = 0;
  std::vector<InodeRef> old;
  for (int i = 0; i < 200; ++i) {
    Write(path("f"), "old");
    const Node before = *Find("f");
    EvictOthers();
    ASSERT_EQ(unlink(path("f").c_str()), 0);
    Write(path("f"), "another");
    const Node after = *Find("f");
    reused += after.attributes.ino == before.attributes.ino;
    EXPECT_NE(after.inode, before.inode);
    EXPECT_EQ(ErrorOf(tree_->Stat(*before.inode)), ESTALE);
    EXPECT_EQ(tree_->Stat(*after.inode)->size, 7u);
    EXPECT_EQ(Get("f"), after.inode);
    old.push_back(before.inode);
  }
  struct statfs host;
  ASSERT_EQ(statfs(path().c_str(), &host), 0);
  EXPECT_TRUE(reused > 0 || host.f_type != EXT4_SUPER_MAGIC);
}

TEST_P(EvictionTest, WithoutHandlesNothingIsEvicted) {
  spy_.keep_error = EOPNOTSUPP;
  EvictOthers();
  EXPECT_EQ(tree_->held_descriptors(), 17u);
  EXPECT_EQ(spy_.keeps, 1);  // one file system, asked once
  EXPECT_EQ(ErrorOf(tree_->Stat(*others_[0])), 0);
  EXPECT_EQ(spy_.reopens, 0);
}

// As files of a file system that is mounted inside the export.
TEST_P(EvictionTest, OfAFileThatHasNoHandleTheBrokerIsAskedOnce) {
  spy_.keep_error = EXDEV;
  EvictOthers();
  EXPECT_EQ(tree_->held_descriptors(), 17u);
  const int asked = spy_.keeps;
  EXPECT_LE(asked, 16);
  for (int i = 0; i < 16; ++i) Get("other" + std::to_string(i));
  Write(path("f"), "");
  for (int i = 0; i < 10; ++i) Get("f");
  EXPECT_LE(spy_.keeps, asked + 16 + 10);
  EXPECT_EQ(tree_->held_descriptors(), 17u);
}

TEST_P(EvictionTest, ABrokerInTroubleCostsNoFile) {
  spy_.keep_error = EIO;
  EvictOthers();
  EXPECT_EQ(tree_->held_descriptors(), 17u);
  for (const InodeRef& other : others_) EXPECT_EQ(ErrorOf(tree_->Stat(*other)), 0);
  spy_.keep_error = 0;
  Write(path("f"), "");
  for (int i = 0; i < 10; ++i) Get("f");
  EXPECT_LE(tree_->held_descriptors(), 4u);  // worked off

  spy_.reopen_error = EIO;
  int failed = 0;
  for (const InodeRef& other : others_) failed += ErrorOf(tree_->Stat(*other)) == EIO;
  EXPECT_GT(failed, 10);
  // By name: no telling whether it is the same file.
  for (int i = 0; i < 16; ++i) {
    const int error = ErrorOf(Find("other" + std::to_string(i)));
    EXPECT_TRUE(error == 0 || error == EIO) << error;
  }
  spy_.reopen_error = 0;
  for (int i = 0; i < 16; ++i) EXPECT_EQ(Get("other" + std::to_string(i)), others_[static_cast<size_t>(i)]);
}

TEST_P(EvictionTest, TokensOutliveTheExport) {
  Write(path("f"), "text");
  const HandleToken token = *tree_->KeepToken(*Get("f"));
  const HandleToken gone = *tree_->KeepToken(*Get("other0"));
  ASSERT_EQ(rename(path("f").c_str(), path("g").c_str()), 0);
  ASSERT_EQ(unlink(path("other0").c_str()), 0);
  Limit(4);
  const Node node = *tree_->AdoptToken(token);
  EXPECT_EQ(node.attributes.size, 4u);
  EXPECT_EQ(Get("g"), node.inode);
  EXPECT_EQ(ErrorOf(tree_->AdoptToken(token)), ESTALE);  // it is the Export's now
  // Of a file that is gone, too: kept for nobody (session_fuzz found it), it would stay for good, as TearDown sees.
  EXPECT_EQ(ErrorOf(tree_->AdoptToken(gone)), ESTALE);
}

TEST_P(EvictionTest, TwentyThousandFilesAtTwoHundredAndFiftySixDescriptors) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit small{256, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
  Limit(128);

  ASSERT_EQ(mkdir(path("top").c_str(), 0755), 0);
  InodeRef top = Get("top");
  std::vector<InodeRef> dirs, files;
  std::vector<uint64_t> numbers;
  for (int d = 0; d < 20; ++d) {
    const std::string name = std::to_string(d);
    dirs.push_back(MakeDirectory(*top, name).inode);
    for (int f = 0; f < 1000; ++f) {
      ASSERT_EQ(mknod(path("top/" + name + "/" + std::to_string(f)).c_str(), S_IFREG | 0644, 0), 0);
      const Node node = *tree_->Lookup(*dirs.back(), Name(std::to_string(f)));
      files.push_back(node.inode);
      numbers.push_back(node.attributes.ino);
    }
  }
  EXPECT_LE(tree_->held_descriptors(), 140u);
  ASSERT_EQ(rename(path("top").c_str(), path("renamed-by-host").c_str()), 0);
  ASSERT_EQ(ErrorOf(tree_->Rename(root(), Name("renamed-by-host"), root(), Name("renamed-by-guest"))), 0);
  for (size_t i = 0; i < files.size(); ++i) {
    const Result<Attributes> now = tree_->Stat(*files[i]);
    ASSERT_EQ(ErrorOf(now), 0);
    ASSERT_EQ(now->ino, numbers[i]);
  }
  for (size_t i = 0; i < files.size(); i += 97) {
    ASSERT_EQ(tree_->Lookup(*dirs[i / 1000], Name(std::to_string(i % 1000)))->inode, files[i]);
    ASSERT_EQ(ErrorOf(tree_->Open(*files[i], {.access = Access::kWrite})), 0);
  }
  EXPECT_LE(tree_->held_descriptors(), 140u);

  // Open files need descriptors of their own: when the process has no more, idle Inodes give theirs.
  top = {};
  dirs.clear();
  files.clear();
  Limit(10000);
  EvictOthers();
  std::vector<std::unique_ptr<OpenFile>> open;
  std::vector<InodeRef> idle;
  int error = 0;
  const InodeRef dir = tree_->Lookup(*Get("renamed-by-guest"), Name("7"))->inode;
  idle.reserve(900);
  for (int f = 0; f < 900; ++f) idle.push_back(tree_->Lookup(*dir, Name(std::to_string(f)))->inode);
  for (int f = 0; f < 200 && error == 0; ++f) {
    Result<std::unique_ptr<OpenFile>> file = tree_->Open(*idle[static_cast<size_t>(f)], {});
    error = ErrorOf(file);
    if (file) open.push_back(*std::move(file));
  }
  EXPECT_EQ(error, EMFILE);
  EXPECT_GT(open.size(), 100u);
  open.clear();
  EXPECT_EQ(ErrorOf(tree_->Open(*idle[899], {})), 0);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

// Every operation from several threads on few names and fewer descriptors.
TEST_P(EvictionTest, Hammer) {
  constexpr int kThreads = 4;
  constexpr int kSteps = 3000;
  Limit(6);
  std::vector<std::thread> threads;
  std::atomic<int> succeeded = 0;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::vector<InodeRef> held(8, tree_->root());
      std::vector<std::unique_ptr<OpenFile>> open(2);
      const auto name = [&] { return Name("n" + std::to_string(random() % 12)); };
      const auto some = [&]() -> InodeRef& { return held[random() % held.size()]; };
      const auto keep = [&](Result<Node> node) {
        if (node) some() = node->inode;
        return ErrorOf(node);
      };
      for (int step = 0; step < kSteps; ++step) {
        const InodeRef a = some(), b = some();
        const Owner owner{static_cast<uint32_t>(random() % 3), 0};
        int error = 0;
        switch (random() % 16) {
          case 0:
          case 1:
          case 2:
            error = keep(tree_->Lookup(*a, name()));
            break;
          case 3:
            error = keep(tree_->Parent(*a));
            break;
          case 4:
            error = ErrorOf(tree_->Stat(*a));
            break;
          case 5:
            error = ErrorOf(tree_->SetAttributes(*a, {.mode = 0700, .size = 3}));
            break;
          case 6:
            error = ErrorOf(tree_->Rename(*a, name(), *b, name()));
            break;
          case 7:
            error = ErrorOf(tree_->Unlink(*a, name()));
            break;
          case 8:
            error = ErrorOf(tree_->RemoveDirectory(*a, name()));
            break;
          case 9:
            error = ErrorOf(tree_->MakeDirectory(*a, name(), 0755, owner));
            break;
          case 10: {
            Result<CreatedFile> file = tree_->Create(*a, name(), {.access = Access::kReadWrite}, 0644, owner);
            error = ErrorOf(file);
            if (file) open[random() % 2] = std::move(file->file);
            break;
          }
          case 11: {
            Result<std::unique_ptr<OpenFile>> file = tree_->Open(*a, {});
            error = ErrorOf(file);
            if (file) open[random() % 2] = *std::move(file);
            break;
          }
          case 12:
            error = ErrorOf(tree_->Link(*a, *b, name()));
            break;
          case 13:
            error = ErrorOf(tree_->RemoveIfSame(*a, name(), *b));
            break;
          case 14:
            some() = tree_->root();
            break;
          case 15:
            if (OpenFile* file = open[random() % 2].get(); file != nullptr && file->is_directory()) {
              error = ErrorOf(file->ReadDirectory(0, 4096, [](const DirectoryEntry&) { return true; }));
            } else if (file != nullptr) {
              char byte;
              const iovec one{&byte, 1};
              error = ErrorOf(FileIo::ReadInto(*file, 0, Payload({&one, 1}, 1)));
            }
            break;
        }
        switch (error) {
          case 0:
            ++succeeded;
            break;
          case ENOENT:
          case ENOTDIR:
          case EISDIR:
          case EEXIST:
          case ENOTEMPTY:
          case ESTALE:
          case EINVAL:
          case EPERM:
          case EBADF:
            break;
          default:
            ADD_FAILURE() << strerror(error);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(succeeded, kSteps / 2);
  EXPECT_GT(spy_.reopens, kSteps / 10);
  EXPECT_EQ(tree_->inodes(), 1u);
  EXPECT_EQ(tree_->held_descriptors(), 1u);
}

}  // namespace
}  // namespace virtfs::host
