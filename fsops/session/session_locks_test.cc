// Tlock and Tgetlock: between owners of one session, between sessions, against processes of the host.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

constexpr uint64_t kMaxByte = INT64_MAX;

// Locks of `client`, in few words: the status, or minus the errno.
class Locker {
 public:
  explicit Locker(TestClient& client, std::string client_id = "guest")
      : client_(&client), client_id_(std::move(client_id)) {}

  int Lock(p9::Fid fid, uint8_t type, uint64_t start, uint64_t length, uint32_t proc_id = 1, uint32_t flags = 0) const {
    const auto reply = (*client_)(p9::Tlock{.fid = fid,
                                            .type = type,
                                            .flags = flags,
                                            .start = start,
                                            .length = length,
                                            .proc_id = proc_id,
                                            .client_id = client_id_});
    return reply.ok() ? reply->status : -reply.error().value();
  }
  int Read(p9::Fid fid, uint64_t start, uint64_t length, uint32_t proc_id = 1) const {
    return Lock(fid, p9::kLockRead, start, length, proc_id);
  }
  int Write(p9::Fid fid, uint64_t start, uint64_t length, uint32_t proc_id = 1) const {
    return Lock(fid, p9::kLockWrite, start, length, proc_id);
  }
  int Unlock(p9::Fid fid, uint64_t start, uint64_t length, uint32_t proc_id = 1) const {
    return Lock(fid, p9::kLockUnlock, start, length, proc_id);
  }
  Result<p9::Rgetlock> Get(p9::Fid fid, uint8_t type, uint64_t start, uint64_t length, uint32_t proc_id) const {
    return (*client_)(p9::Tgetlock{
        .fid = fid, .type = type, .start = start, .length = length, .proc_id = proc_id, .client_id = client_id_});
  }

 private:
  TestClient* client_;
  std::string client_id_;
};

class SessionLocksTest : public SessionTest {
 protected:
  // Fids 1 and 2: the file open for both; 3 for reading, 4 for writing.
  explicit SessionLocksTest(const SessionOptions& options = {}) : SessionTest(options) {
    MakeFile("file", "text");
    for (const p9::Fid fid : {1u, 2u, 3u, 4u}) OpenFile(fid, "file", fid < 3 ? p9::kOpenReadWrite : fid == 3 ? 0 : 1);
  }

  void OpenFile(p9::Fid fid, std::string_view name, uint32_t flags = p9::kOpenReadWrite) {
    ASSERT_TRUE(client_.Walk(kRoot, fid, {name}).ok());
    ASSERT_TRUE(client_.Open(fid, flags).ok());
  }

  // Whether a process of the host could lock these bytes of `name`.
  bool HostCan(short type, uint64_t start, uint64_t length, const std::string& name = "file") const {
    const UniqueFd fd(open(Host(name).c_str(), O_RDWR));
    struct flock lock = HostLock(type, start, length);
    EXPECT_EQ(fcntl(fd.get(), F_OFD_GETLK, &lock), 0);
    return lock.l_type == F_UNLCK;
  }
  bool HostCanWrite(uint64_t start, uint64_t length) const { return HostCan(F_WRLCK, start, length); }
  bool HostCanRead(uint64_t start, uint64_t length) const { return HostCan(F_RDLCK, start, length); }

  static struct flock HostLock(short type, uint64_t start, uint64_t length) {
    struct flock lock = {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(start);
    lock.l_len = static_cast<off_t>(length);
    return lock;
  }

  Locker locker_{client_};
};

TEST_F(SessionLocksTest, OwnersOfOneSessionConflict) {
  EXPECT_EQ(locker_.Write(1, 0, 10, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(1, 9, 1, 1), p9::kLockSuccess) << "its own";
  EXPECT_EQ(locker_.Write(2, 9, 1, 2), p9::kLockBlocked);
  EXPECT_EQ(locker_.Read(2, 9, 1, 2), p9::kLockBlocked);
  EXPECT_EQ(Locker(client_, "other").Read(1, 9, 1, 1), p9::kLockBlocked) << "the same process of another client";
  EXPECT_EQ(locker_.Write(2, 10, 1, 2), p9::kLockSuccess);
  EXPECT_EQ(locker_.Unlock(1, 5, 5, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(2, 5, 5, 2), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(2, 4, 1, 2), p9::kLockBlocked);
}

TEST_F(SessionLocksTest, BlockingIsTheClientsToDo) {
  EXPECT_EQ(locker_.Write(1, 0, 0, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Lock(2, p9::kLockRead, 0, 1, 2, p9::kLockBlock), p9::kLockBlocked);
  EXPECT_EQ(locker_.Unlock(1, 0, 0, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Lock(2, p9::kLockRead, 0, 1, 2, p9::kLockBlock), p9::kLockSuccess);
  EXPECT_EQ(locker_.Lock(2, p9::kLockRead, 0, 1, 2, p9::kLockReclaim), p9::kLockSuccess);
  EXPECT_EQ(locker_.Lock(2, p9::kLockRead, 0, 1, 2, 4), -EINVAL);
}

TEST_F(SessionLocksTest, TheHostSeesTheUnionOfAllOwners) {
  EXPECT_EQ(locker_.Read(1, 0, 10, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Read(2, 5, 10, 2), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(2, 20, 5, 2), p9::kLockSuccess);
  EXPECT_TRUE(HostCanRead(0, 20));
  EXPECT_FALSE(HostCanRead(24, 1));
  EXPECT_EQ(locker_.Unlock(1, 0, 0, 1), p9::kLockSuccess);
  EXPECT_TRUE(HostCanWrite(0, 5));
  EXPECT_FALSE(HostCanWrite(5, 1)) << "the other owner's";
  EXPECT_EQ(locker_.Read(2, 20, 5, 2), p9::kLockSuccess);
  EXPECT_TRUE(HostCanRead(20, 5)) << "downgraded";
  EXPECT_EQ(locker_.Unlock(2, 0, 0, 2), p9::kLockSuccess);
  EXPECT_TRUE(HostCanWrite(0, 0));
}

TEST_F(SessionLocksTest, LengthZeroIsToTheEndWhateverThatWillBe) {
  EXPECT_EQ(locker_.Write(1, 100, 0), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(2, kMaxByte, 1, 2), p9::kLockBlocked);
  EXPECT_EQ(locker_.Write(2, 99, 1, 2), p9::kLockSuccess);
  EXPECT_FALSE(HostCanWrite(1ull << 60, 1));
}

TEST_F(SessionLocksTest, RangesAreChecked) {
  for (const uint8_t type : {p9::kLockRead, p9::kLockWrite, p9::kLockUnlock}) {
    EXPECT_EQ(locker_.Lock(1, type, kMaxByte + 1, 1), -EINVAL);
    EXPECT_EQ(locker_.Lock(1, type, UINT64_MAX, 0), -EINVAL);
    EXPECT_EQ(locker_.Lock(1, type, 0, kMaxByte + 1), -EINVAL);
    EXPECT_EQ(locker_.Lock(1, type, 0, UINT64_MAX), -EINVAL);
    EXPECT_EQ(locker_.Lock(1, type, 2, kMaxByte), -EOVERFLOW);
    EXPECT_EQ(locker_.Lock(1, type, kMaxByte, 2), -EOVERFLOW);
    EXPECT_EQ(locker_.Lock(1, type, 1, kMaxByte), p9::kLockSuccess);
    EXPECT_EQ(locker_.Lock(1, type, kMaxByte, 1), p9::kLockSuccess);
    EXPECT_EQ(locker_.Lock(1, type, kMaxByte, 0), p9::kLockSuccess);
  }
  EXPECT_EQ(locker_.Lock(1, 3, 0, 1), -EINVAL);
  EXPECT_EQ(Error(locker_.Get(1, 3, 0, 1, 1)), EINVAL);
  EXPECT_EQ(Error(locker_.Get(1, p9::kLockRead, 1ull << 63, 1, 1)), EINVAL);
  EXPECT_EQ(Locker(client_, std::string(255, 'c')).Read(1, 0, 1), p9::kLockSuccess);
  EXPECT_EQ(Locker(client_, std::string(256, 'c')).Read(1, 0, 1), -EINVAL);
}

TEST_F(SessionLocksTest, TheFidMustBeOpenForIt) {
  EXPECT_EQ(locker_.Read(3, 0, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(3, 0, 1), -EBADF);
  EXPECT_EQ(locker_.Read(4, 0, 1), -EBADF);
  EXPECT_EQ(locker_.Write(4, 0, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Unlock(3, 0, 1), p9::kLockSuccess) << "any open fid will do";
  ASSERT_TRUE(client_.Walk(kRoot, 5, {"file"}).ok());
  for (const uint8_t type : {p9::kLockRead, p9::kLockWrite, p9::kLockUnlock}) {
    EXPECT_EQ(locker_.Lock(5, type, 0, 1), -EBADF);
    EXPECT_EQ(locker_.Lock(99, type, 0, 1), -EBADF);
  }
  EXPECT_EQ(Error(locker_.Get(5, p9::kLockRead, 0, 1, 1)), EBADF);
}

TEST_F(SessionLocksTest, DirectoriesTakeReadLocks) {
  MakeDirectory("dir");
  OpenFile(5, "dir", p9::kOpenReadOnly);
  EXPECT_EQ(locker_.Read(5, 0, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(5, 0, 1), -EBADF);
  const auto other = locker_.Get(5, p9::kLockWrite, 0, 1, 2);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->type, p9::kLockRead);
}

TEST_F(SessionLocksTest, AnUpgradeThatFailsLeavesTheReadLock) {
  EXPECT_EQ(locker_.Read(1, 0, 10, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Read(2, 9, 1, 2), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(1, 0, 10, 1), p9::kLockBlocked);
  EXPECT_EQ(locker_.Write(2, 0, 1, 2), p9::kLockBlocked) << "still read-locked";
  EXPECT_EQ(locker_.Read(2, 0, 1, 2), p9::kLockSuccess) << "and no more than that";
  EXPECT_EQ(locker_.Unlock(2, 0, 0, 2), p9::kLockSuccess);

  // The same with a host process in the way.
  const UniqueFd fd(open(Host("file").c_str(), O_RDWR));
  struct flock lock = HostLock(F_RDLCK, 9, 1);
  ASSERT_EQ(fcntl(fd.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(locker_.Write(1, 0, 10, 1), p9::kLockBlocked);
  EXPECT_FALSE(HostCanWrite(0, 1));
  EXPECT_TRUE(HostCanRead(0, 10));
  lock.l_type = F_UNLCK;
  ASSERT_EQ(fcntl(fd.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(locker_.Write(1, 0, 10, 1), p9::kLockSuccess);
}

TEST_F(SessionLocksTest, GetlockNamesTheHolder) {
  const auto free = locker_.Get(1, p9::kLockWrite, 7, 8, 9);
  ASSERT_TRUE(free.ok());
  EXPECT_EQ(*free,
            (p9::Rgetlock{.type = p9::kLockUnlock, .start = 7, .length = 8, .proc_id = 9, .client_id = "guest"}));
  EXPECT_EQ(Locker(client_, "other").Write(1, 5, 10, 77), p9::kLockSuccess);
  const auto held = locker_.Get(2, p9::kLockRead, 0, 100, 9);
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(*held,
            (p9::Rgetlock{.type = p9::kLockWrite, .start = 5, .length = 10, .proc_id = 77, .client_id = "other"}));
  EXPECT_EQ(Locker(client_, "other").Get(2, p9::kLockRead, 0, 100, 77)->type, p9::kLockUnlock) << "its own";
  EXPECT_EQ(Locker(client_, "other").Read(1, 50, 0, 77), p9::kLockSuccess);
  const auto to_end = locker_.Get(2, p9::kLockWrite, 60, 1, 9);
  ASSERT_TRUE(to_end.ok());
  EXPECT_EQ(to_end->start, 50u);
  EXPECT_EQ(to_end->length, 0u);
}

// What Linux's client sends, whatever its process asked (SQLite then failed with "disk I/O error").
TEST_F(SessionLocksTest, GetlockOfTypeUnlockNamesAnyHolder) {
  const auto free = locker_.Get(1, p9::kLockUnlock, 7, 8, 9);
  ASSERT_TRUE(free.ok());
  EXPECT_EQ(free->type, p9::kLockUnlock);
  EXPECT_EQ(Locker(client_, "other").Read(1, 5, 10, 77), p9::kLockSuccess);
  const auto held = locker_.Get(2, p9::kLockUnlock, 0, 100, 9);
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(*held,
            (p9::Rgetlock{.type = p9::kLockRead, .start = 5, .length = 10, .proc_id = 77, .client_id = "other"}));
  EXPECT_EQ(Locker(client_, "other").Get(2, p9::kLockUnlock, 0, 100, 77)->type, p9::kLockUnlock) << "its own";
}

TEST_F(SessionLocksTest, ProcessesOfTheHostConflict) {
  int ready[2], end[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(end, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(end[1]);
    const int fd = open(Host("file").c_str(), O_RDWR);
    struct flock lock = HostLock(F_WRLCK, 100, 50);
    char done = fcntl(fd, F_SETLK, &lock) == 0 ? 1 : 0;
    if (write(ready[1], &done, 1) != 1 || read(end[0], &done, 1) < 0) _exit(1);
    _exit(0);
  }
  char done = 0;
  ASSERT_EQ(read(ready[0], &done, 1), 1);
  ASSERT_EQ(done, 1);
  EXPECT_EQ(locker_.Write(1, 0, 101), p9::kLockBlocked);
  EXPECT_EQ(locker_.Write(1, 0, 100), p9::kLockSuccess) << "nothing of the refused one is left";
  for (int turn = 0; turn < 2; ++turn) {
    const auto held = locker_.Get(1, p9::kLockRead, 0, 0, 1);
    ASSERT_TRUE(held.ok());
    EXPECT_EQ(*held, (p9::Rgetlock{.type = p9::kLockWrite,
                                   .start = 100,
                                   .length = 50,
                                   .proc_id = static_cast<uint32_t>(child),
                                   .client_id = "host"}));
    EXPECT_EQ(locker_.Unlock(1, 0, 0), p9::kLockSuccess);  // Then without a LockFile.
  }
  for (const int fd : {ready[0], ready[1], end[0], end[1]}) close(fd);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(locker_.Write(1, 0, 101), p9::kLockSuccess);
}

TEST_F(SessionLocksTest, SessionsConflict) {
  const auto tree = host::MakeExport(Host(), *broker_);
  auto other_session = std::make_unique<Session>(*tree, SessionOptions{});
  TestClient other(other_session.get());
  ASSERT_TRUE(other(p9::Tversion{.msize = TestCall::kMsize, .version = p9::kVersion}).ok());
  ASSERT_TRUE(other(p9::Tattach{.fid = kRoot, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = 0}).ok());
  ASSERT_TRUE(other.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(other.Open(1, p9::kOpenReadWrite).ok());
  const Locker theirs(other);
  // The same names of owners mean nothing across sessions.
  EXPECT_EQ(locker_.Write(1, 0, 10), p9::kLockSuccess);
  EXPECT_EQ(theirs.Write(1, 0, 10), p9::kLockBlocked);
  EXPECT_EQ(theirs.Write(1, 10, 10), p9::kLockSuccess);
  const auto held = locker_.Get(1, p9::kLockRead, 0, 0, 1);
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(*held,
            (p9::Rgetlock{.type = p9::kLockWrite, .start = 10, .length = 10, .proc_id = 0, .client_id = "host"}));
  other_session.reset();
  EXPECT_EQ(locker_.Write(1, 0, 0), p9::kLockSuccess) << "the end of a session releases its locks";
}

TEST_F(SessionLocksTest, ClunkReleasesWhatItsFidLocked) {
  EXPECT_EQ(locker_.Write(1, 0, 10, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(2, 10, 10, 1), p9::kLockSuccess) << "the same owner by another fid";
  EXPECT_EQ(locker_.Read(1, 30, 5, 2), p9::kLockSuccess);
  EXPECT_EQ(locker_.Read(2, 30, 5, 3), p9::kLockSuccess);
  EXPECT_TRUE(client_.Clunk(1).ok());
  EXPECT_TRUE(HostCanWrite(0, 10));
  EXPECT_FALSE(HostCanRead(10, 1));
  EXPECT_FALSE(HostCanWrite(30, 1)) << "the other reader's";
  EXPECT_EQ(locker_.Write(2, 0, 10, 9), p9::kLockSuccess);
  EXPECT_TRUE(client_.Clunk(2).ok());
  EXPECT_TRUE(HostCanWrite(0, 0));
}

TEST_F(SessionLocksTest, RemoveReleasesToo) {
  EXPECT_EQ(locker_.Write(1, 0, 10, 1), p9::kLockSuccess);
  const UniqueFd fd(open(Host("file").c_str(), O_RDWR));
  struct flock lock = HostLock(F_WRLCK, 0, 1);
  EXPECT_EQ(fcntl(fd.get(), F_OFD_SETLK, &lock), -1);
  EXPECT_TRUE(client_.Remove(1).ok());
  EXPECT_EQ(fcntl(fd.get(), F_OFD_SETLK, &lock), 0);
}

TEST_F(SessionLocksTest, LocksOutliveTheName) {
  const UniqueFd fd(open(Host("file").c_str(), O_RDWR));
  EXPECT_EQ(locker_.Write(1, 0, 10, 1), p9::kLockSuccess);
  ASSERT_TRUE(client_.Unlink(kRoot, "file").ok());
  struct flock lock = HostLock(F_WRLCK, 0, 1);
  EXPECT_EQ(fcntl(fd.get(), F_OFD_SETLK, &lock), -1);
  EXPECT_EQ(locker_.Write(2, 5, 1, 2), p9::kLockBlocked);
  EXPECT_EQ(locker_.Write(2, 50, 1, 2), p9::kLockSuccess) << "new ones can be had";
  EXPECT_EQ(locker_.Unlock(1, 0, 10, 1), p9::kLockSuccess);
  EXPECT_EQ(fcntl(fd.get(), F_OFD_SETLK, &lock), 0);
}

TEST_F(SessionLocksTest, VersionReleasesAll) {
  EXPECT_EQ(locker_.Write(1, 0, 10), p9::kLockSuccess);
  ASSERT_TRUE(client_(p9::Tversion{.msize = TestCall::kMsize, .version = p9::kVersion}).ok());
  EXPECT_TRUE(HostCanWrite(0, 0));
  EXPECT_EQ(locker_.Write(1, 0, 10), -EBADF);
}

TEST_F(SessionLocksTest, ReadLocksDoNotKeepAFileFromBeingExecuted) {
  // A description for writing would: ETXTBSY, and no lease for anyone.
  for (const p9::Fid fid : {1u, 2u, 4u}) ASSERT_TRUE(client_.Clunk(fid).ok());
  EXPECT_EQ(locker_.Read(3, 0, 0), p9::kLockSuccess);
  const UniqueFd fd(open(Host("file").c_str(), O_RDONLY));
  EXPECT_EQ(fcntl(fd.get(), F_SETLEASE, F_RDLCK), 0);
}

TEST_F(SessionLocksTest, ALockBesideTheClunkOfItsFidLeavesNothing) {
  for (int round = 0; round < 300; ++round) {
    OpenFile(10, "file");
    std::thread clunk([&] { EXPECT_TRUE(TestClient(session_.get()).Clunk(10).ok()); });
    TestClient client(session_.get());
    const int status = Locker(client).Write(10, 0, 10);
    EXPECT_TRUE(status == p9::kLockSuccess || status == -EBADF) << status;
    clunk.join();
    ASSERT_TRUE(HostCanWrite(0, 0)) << round;
    ASSERT_EQ(locker_.Write(1, 0, 10, 2), p9::kLockSuccess) << round;
    ASSERT_EQ(locker_.Unlock(1, 0, 10, 2), p9::kLockSuccess);
  }
}

// From now on this process gets ENOLCK for every lock and unlock, as of a host that is out of memory.
void LetLockingFail() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_OFD_SETLK, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOLCK),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = std::size(filter), .filter = filter};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

TEST_F(SessionLocksTest, WhatTheHostRefusesChangesNothing) {
  const pid_t child = fork();
  if (child == 0) {
    EXPECT_EQ(locker_.Write(1, 0, 10, 1), p9::kLockSuccess);
    LetLockingFail();
    EXPECT_EQ(locker_.Write(1, 20, 10, 1), -ENOLCK);
    EXPECT_EQ(locker_.Read(1, 0, 5, 1), -ENOLCK);
    EXPECT_EQ(locker_.Unlock(1, 0, 0, 1), -ENOLCK);
    EXPECT_EQ(locker_.Get(2, p9::kLockWrite, 20, 0, 2)->type, p9::kLockUnlock);
    const auto held = locker_.Get(2, p9::kLockRead, 0, 0, 2);
    EXPECT_TRUE(held.ok() && held->type == p9::kLockWrite && held->start == 0 && held->length == 10);
    // Closing releases whatever the host thinks of unlocking.
    EXPECT_TRUE(client_.Clunk(1).ok());
    EXPECT_TRUE(HostCanWrite(0, 0));
    _exit(HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

class SessionLockLimitsTest : public SessionLocksTest {
 protected:
  SessionLockLimitsTest() : SessionLocksTest({.max_open_files = 6, .max_locks = 4}) {}
};

TEST_F(SessionLockLimitsTest, RangesBeyondTheLimitAreRefused) {
  for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(locker_.Write(1, 10 * i, 5), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(1, 100, 5), -ENOLCK);
  EXPECT_TRUE(HostCanWrite(100, 5));
  EXPECT_EQ(locker_.Read(1, 2, 1), -ENOLCK) << "three of one";
  EXPECT_EQ(locker_.Write(1, 5, 5), p9::kLockSuccess) << "one of two";
  EXPECT_EQ(locker_.Write(1, 100, 5), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(1, 200, 5), -ENOLCK);
  // Everything else goes on.
  EXPECT_EQ(locker_.Get(1, p9::kLockWrite, 0, 0, 2)->type, p9::kLockWrite);
  EXPECT_EQ(*client_.Read(1, 0, 4), "text");
  EXPECT_TRUE(client_.Clunk(1).ok());
  EXPECT_EQ(locker_.Write(2, 200, 5), p9::kLockSuccess);
}

TEST_F(SessionLockLimitsTest, UnlockingMayCutRangesUpToTwiceTheLimit) {
  EXPECT_EQ(locker_.Write(1, 0, 0), p9::kLockSuccess);
  for (uint64_t i = 1; i < 8; ++i) EXPECT_EQ(locker_.Unlock(1, 10 * i, 1), p9::kLockSuccess) << i;
  EXPECT_EQ(locker_.Unlock(1, 80, 1), -ENOLCK);
  EXPECT_FALSE(HostCanWrite(80, 1)) << "as it was";
  EXPECT_EQ(locker_.Write(1, 80, 1), p9::kLockSuccess) << "no more ranges than before";
  EXPECT_EQ(locker_.Read(1, 80, 1), -ENOLCK);
  EXPECT_EQ(locker_.Unlock(1, 0, 10), p9::kLockSuccess) << "a whole one";
  EXPECT_EQ(locker_.Unlock(1, 80, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Unlock(1, 0, 0), p9::kLockSuccess);
  EXPECT_TRUE(HostCanWrite(0, 0));
  for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(locker_.Write(1, 10 * i, 5), p9::kLockSuccess) << "all can be had again";
}

TEST_F(SessionLockLimitsTest, AFileWithLocksCountsAsOpen) {
  OpenFile(5, "file");
  EXPECT_EQ(locker_.Write(1, 0, 1, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Write(2, 1, 1, 2), p9::kLockSuccess);
  ASSERT_TRUE(client_.Walk(kRoot, 6, {"file"}).ok());
  EXPECT_EQ(Error(client_.Open(6, 0)), EMFILE);
  EXPECT_EQ(locker_.Unlock(1, 0, 0, 1), p9::kLockSuccess);
  EXPECT_EQ(locker_.Unlock(1, 0, 0, 2), p9::kLockSuccess);
  EXPECT_TRUE(client_.Open(6, p9::kOpenReadOnly).ok());
  EXPECT_EQ(locker_.Write(1, 0, 1, 1), -EMFILE);
  EXPECT_EQ(locker_.Get(1, p9::kLockWrite, 0, 1, 1)->type, p9::kLockUnlock);
  EXPECT_TRUE(client_.Clunk(6).ok());
  EXPECT_EQ(locker_.Write(1, 0, 1, 1), p9::kLockSuccess);
}

}  // namespace
}  // namespace virtfs
