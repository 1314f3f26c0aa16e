#include "fsops/host/lock_file.h"

#include <sys/wait.h>

#include "fsops/host/export_fixture.h"

namespace virtfs::host {
namespace {

class LockFileTest : public ExportTest {
 protected:
  LockFileTest() { Write(path("f"), "text"); }

  LockFile Open(Access access = Access::kReadWrite) { return *tree_->OpenForLocks(*Get("f"), access); }

  // Whether another process of the host could lock them.
  bool FreeForOthers(short type, off_t start, off_t size) const {
    const UniqueFd fd(open(path("f").c_str(), O_RDWR));
    struct flock lock = {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = start;
    lock.l_len = size;
    EXPECT_EQ(fcntl(fd.get(), F_GETLK, &lock), 0);
    return lock.l_type == F_UNLCK;
  }
};
INSTANTIATE_ON_FILE_SYSTEMS(LockFileTest);

TEST_P(LockFileTest, RangesAreLockedForEveryoneElse) {
  LockFile locks = Open();
  EXPECT_TRUE(*locks.Lock(LockType::kWrite, {10, 19}));
  EXPECT_TRUE(*locks.Lock(LockType::kRead, {20, ByteRange::kMaxByte}));
  EXPECT_TRUE(FreeForOthers(F_WRLCK, 0, 10));
  EXPECT_FALSE(FreeForOthers(F_RDLCK, 19, 1));
  EXPECT_TRUE(FreeForOthers(F_RDLCK, 20, 0));
  EXPECT_FALSE(FreeForOthers(F_WRLCK, 1 << 30, 1));
  EXPECT_EQ(ErrorOf(locks.Unlock({12, 12})), 0);
  EXPECT_TRUE(FreeForOthers(F_WRLCK, 12, 1));
  EXPECT_FALSE(FreeForOthers(F_WRLCK, 13, 1));
}

TEST_P(LockFileTest, OthersAreInTheWayAndSaidToBe) {
  LockFile mine = Open(), other = Open(Access::kRead);
  EXPECT_TRUE(*other.Lock(LockType::kRead, {5, 9}));
  EXPECT_FALSE(*mine.Lock(LockType::kWrite, {9, 9}));
  EXPECT_TRUE(*mine.Lock(LockType::kRead, {9, 9}));
  const auto found = *mine.Test(LockType::kWrite, {});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->type, LockType::kRead);
  EXPECT_EQ(found->bytes, (ByteRange{5, 9}));
  EXPECT_EQ(found->pid, 0u);
  EXPECT_FALSE((*mine.Test(LockType::kRead, {})).has_value());
  const auto reader = *tree_->Open(*Get("f"), {});
  EXPECT_TRUE((*LockFile::Test(*reader, LockType::kWrite, {0, 5})).has_value());
  EXPECT_FALSE((*LockFile::Test(*reader, LockType::kWrite, {0, 4})).has_value());
}

TEST_P(LockFileTest, AProcessOfTheHostIsNamed) {
  int ready[2], end[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(end), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(end[1]);
    const int fd = open(path("f").c_str(), O_RDWR);
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_start = 100;
    char done = fcntl(fd, F_SETLK, &lock) == 0 ? 1 : 0;
    if (write(ready[1], &done, 1) != 1 || read(end[0], &done, 1) < 0) _exit(1);
    _exit(0);
  }
  char done = 0;
  ASSERT_EQ(read(ready[0], &done, 1), 1);
  ASSERT_EQ(done, 1);
  LockFile locks = Open();
  const auto found = *locks.Test(LockType::kRead, {50, 200});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->type, LockType::kWrite);
  EXPECT_EQ(found->bytes, (ByteRange{100, ByteRange::kMaxByte}));
  EXPECT_EQ(found->pid, static_cast<uint32_t>(child));
  EXPECT_FALSE(*locks.Lock(LockType::kRead, {50, 200}));
  for (const int fd : {ready[0], ready[1], end[0], end[1]}) close(fd);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(*locks.Lock(LockType::kRead, {50, 200}));
}

TEST_P(LockFileTest, LastsAsLongAsWhatIsShared) {
  UniqueFd shared;
  {
    LockFile locks = Open();
    EXPECT_TRUE(*locks.Lock(LockType::kWrite, {}));
    // Another descriptor of the file that is closed changes nothing, which it would for a POSIX lock.
    EXPECT_EQ(ErrorOf(tree_->Open(*Get("f"), {})), 0);
    EXPECT_FALSE(FreeForOthers(F_RDLCK, 0, 0));
    shared = *locks.Share();
  }
  EXPECT_FALSE(FreeForOthers(F_RDLCK, 0, 0));
  {
    const LockFile adopted = *tree_->AdoptLockFile(*Get("f"), shared);
    EXPECT_TRUE(adopted.CanHold(LockType::kRead) && adopted.CanHold(LockType::kWrite));
    shared.reset();
    EXPECT_FALSE(FreeForOthers(F_RDLCK, 0, 0));
  }
  EXPECT_TRUE(FreeForOthers(F_WRLCK, 0, 0));
}

TEST_P(LockFileTest, OnlyAnOpenDescriptionOfTheFileIsAdopted) {
  Write(path("g"), "");
  const auto adopt = [&](const char* name, int flags) {
    return ErrorOf(tree_->AdoptLockFile(*Get("f"), UniqueFd(open(path(name).c_str(), flags))));
  };
  EXPECT_EQ(adopt("f", O_RDONLY), 0);
  EXPECT_EQ(adopt("f", O_PATH), EINVAL);
  EXPECT_EQ(adopt("g", O_RDWR), EINVAL);
  EXPECT_EQ(ErrorOf(tree_->AdoptLockFile(*Get("f"), UniqueFd())), EINVAL);
}

TEST_P(LockFileTest, DirectoriesCanBeReadLocked) {
  MakeDirectory(root(), "d");
  LockFile locks = *tree_->OpenForLocks(*Get("d"), Access::kRead);
  EXPECT_TRUE(*locks.Lock(LockType::kRead, {0, 9}));
  EXPECT_EQ(ErrorOf(tree_->OpenForLocks(*Get("d"), Access::kReadWrite)), EISDIR);
}

}  // namespace
}  // namespace virtfs::host
