// Which system calls are made, seen by a tracer: none but those of system_calls.h, and the frequent ones' exact number.
#include "fsops/host/system_calls.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "fsops/host/export_fixture.h"
#include "fsops/host/file_io.h"
#include "fsops/host/model_fixture.h"

namespace virtfs::host {
namespace {

// Memory, locks and the sanitizers' own.
bool IsOfTheRuntime(int number) {
  for (const int runtime : {SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_futex,
                            SYS_sched_yield, SYS_getpid, SYS_gettid, SYS_rt_sigprocmask, SYS_clock_gettime}) {
    if (number == runtime) return true;
  }
  return false;
}

// Begins and ends what counts; nothing else calls it.
constexpr int kMarker = SYS_getpgrp;

void Mark() { syscall(kMarker); }

// The system calls of `body`, run in a traced child: those between each two Marks, in order.
std::vector<std::vector<int>> Trace(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    body();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  std::vector<std::vector<int>> calls;
  int status = 0;
  bool counting = false;
  waitpid(child, &status, 0);
  ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  int signal = 0;
  while (ptrace(PTRACE_SYSCALL, child, nullptr, signal) == 0 && waitpid(child, &status, 0) == child) {
    if (!WIFSTOPPED(status)) break;
    signal = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
    __ptrace_syscall_info info = {};
    if (signal != 0 || ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY) {
      continue;
    }
    const int number = static_cast<int>(info.entry.nr);
    if (number == kMarker) {
      counting = !counting;
      if (counting) calls.emplace_back();
    } else if (counting && !IsOfTheRuntime(number)) {
      calls.back().push_back(number);
    }
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  return calls;
}

class SystemCallsTest : public ExportTest {
 protected:
  // In the child: with a /proc/self/fd of its own.
  void Begin() {
    Write(path("f"), "text");
    Write(path("g"), "");
    Reexport({});
  }
  template <typename Operation>
  static void Count(Operation operation) {
    Mark();
    operation();
    Mark();
  }
};
INSTANTIATE_ON_FILE_SYSTEMS(SystemCallsTest);

TEST_P(SystemCallsTest, FrequentOperationsMakeNoneTooMany) {
  const auto body = [&] {
    Begin();
    const InodeRef f = Get("f");
    InodeRef found;
    Count([&] { EXPECT_EQ(ErrorOf(tree_->Stat(*f)), 0); });
    Count([&] { found = Get("g"); });
    Count([&] { EXPECT_EQ(Get("f"), f); });
    Count([&] { found = tree_->Parent(root())->inode; });
    std::unique_ptr<OpenFile> file;
    Count([&] { file = *tree_->Open(*f, {.access = Access::kReadWrite}); });

    char bytes[100] = {};
    const iovec two[] = {{bytes, 50}, {bytes + 50, 50}};
    Payload payload(two, sizeof(bytes));
    payload.Truncate(70);
    Count([&] { EXPECT_EQ(*FileIo::ReadInto(*file, 0, payload), 4u); });
    Count([&] { EXPECT_EQ(*FileIo::WriteFrom(*file, 0, payload), 70u); });
    Count([&] { EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f, {.size = 3}, file.get())), 0); });
    Count([&] { file.reset(); });

    // The owner is the thread's already, then another.
    ASSERT_EQ(ErrorOf(AssumeOwner({0, 0})), 0);
    Result<CreatedFile> made = Errno(EIO);
    Count([&] { made = tree_->Create(root(), Name("new"), {}, 0600, {0, 0}); });
    EXPECT_EQ(ErrorOf(made), 0);
    Count([&] { EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("theirs"), 0700, {1, 0})), 0); });
    // Another user of enforce=server, the same again, and one with the same groups.
    const uint32_t groups[] = {5, 6};
    Count([&] { EXPECT_EQ(ErrorOf(AssumeUser({7, 5}, groups)), 0); });
    Count([&] { EXPECT_EQ(ErrorOf(AssumeUser({7, 5}, groups)), 0); });
    Count([&] { EXPECT_EQ(ErrorOf(AssumeUser({8, 5}, groups)), 0); });
  };
  EXPECT_EQ(Trace(body), (std::vector<std::vector<int>>{
                             {SYS_statx},
                             {SYS_openat2, SYS_statx},
                             {SYS_openat2, SYS_statx, SYS_close},
                             {SYS_statx, SYS_close},  // "g" has lost its last reference
                             {SYS_openat},
                             {SYS_preadv2},
                             {SYS_pwritev2},
                             {SYS_ftruncate},
                             {SYS_close},
                             {SYS_openat2, SYS_openat, SYS_statx},
                             {SYS_setfsuid, SYS_setfsuid, SYS_mkdirat, SYS_statx},
                             {SYS_setgroups, SYS_setfsgid, SYS_setfsgid, SYS_setfsuid, SYS_setfsuid},
                             {},
                             {SYS_setfsuid, SYS_setfsuid},
                         }));
}

TEST_P(SystemCallsTest, NoneButThoseOfTheList) {
  const auto everything = [&] {
    Begin();
    Mark();
    const uint32_t groups[] = {0};
    EXPECT_EQ(ErrorOf(AssumeUser({0, 0}, groups)), 0);
    const Owner owner{1, 2};
    const InodeRef d = MakeDirectory(root(), "d").inode;
    CreatedFile f = *tree_->Create(*d, Name("f"), {.access = Access::kReadWrite, .sync = true}, 0644, owner);
    EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), "target", owner)), 0);
    EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("p"), S_IFIFO | 0600, 0, owner)), 0);
    const InodeRef l = Get("l"), p = Get("p");
    char bytes[100] = {};
    const iovec one{bytes, sizeof(bytes)};
    const Payload payload({&one, 1}, sizeof(bytes));
    EXPECT_EQ(*FileIo::WriteFrom(*f.file, 0, payload), 100u);
    EXPECT_EQ(*FileIo::ReadInto(*f.file, 0, payload), 100u);
    EXPECT_EQ(ErrorOf(f.file->Sync(false)), 0);
    EXPECT_EQ(ErrorOf(f.file->Sync(true)), 0);
    {
      LockFile locks = *tree_->OpenForLocks(*f.node.inode, Access::kReadWrite);
      EXPECT_TRUE(*locks.Lock(LockType::kWrite, {0, 9}));
      EXPECT_EQ(ErrorOf(LockFile::Test(*f.file, LockType::kRead, {})), 0);
      EXPECT_EQ(ErrorOf(locks.Unlock({})), 0);
      EXPECT_EQ(ErrorOf(tree_->AdoptLockFile(*f.node.inode, *locks.Share())), 0);
    }
    for (Inode* inode : {f.node.inode.get(), d.get(), p.get(), l.get()}) {
      EXPECT_EQ(ErrorOf(tree_->SetAttributes(*inode, {.uid = 3, .mtime = {TimeChange::Kind::kNow, {}}})), 0);
      EXPECT_EQ(ErrorOf(tree_->SetAttributes(*inode, {.touch_ctime = true})), 0);
      EXPECT_EQ(ErrorOf(tree_->Link(*inode, root(), Name("other"))), inode == d.get() ? EPERM : 0);
      EXPECT_EQ(ErrorOf(tree_->Unlink(root(), Name("other"))), inode == d.get() ? ENOENT : 0);
    }
    EXPECT_EQ(ErrorOf(tree_->SetAttributes(*f.node.inode, {.mode = 0600, .size = 1})), 0);
    EXPECT_EQ(ErrorOf(tree_->ReadLink(*l)), 0);
    EXPECT_EQ(ErrorOf(tree_->StatFileSystem(*l)), 0);
    EXPECT_EQ(ErrorOf(tree_->SetXattr(*d, "trusted.x", {}, XattrMode::kEither)), 0);
    EXPECT_EQ(ErrorOf(tree_->GetXattr(*d, "trusted.x")), 0);
    EXPECT_EQ(ErrorOf(tree_->ListXattr(*d)), 0);
    EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*d, "trusted.x")), 0);
    EXPECT_EQ(tree_->Parent(*d)->inode, tree_->root());
    const auto directory = *tree_->Open(*d, {});
    for (int twice = 0; twice < 2; ++twice) {
      EXPECT_EQ(ErrorOf(directory->ReadDirectory(0, 4096, [](const DirectoryEntry&) { return true; })), 0);
    }
    EXPECT_EQ(ErrorOf(tree_->Rename(*d, Name("f"), root(), Name("g"))), 0);
    EXPECT_EQ(ErrorOf(tree_->RemoveIfSame(root(), Name("g"), *f.node.inode)), 0);
    EXPECT_EQ(ErrorOf(tree_->RemoveDirectory(root(), Name("d"))), 0);
    Mark();
  };
  std::map<int, bool> listed;  // and seen
  for (const SystemCall& call : kSystemCalls) listed[call.number] = false;
  const std::vector<std::vector<int>> calls = Trace(everything);
  ASSERT_EQ(calls.size(), 1u);
  for (const int number : calls[0]) {
    EXPECT_TRUE(listed.contains(number)) << "system call " << number;
    listed[number] = true;
  }
  for (const SystemCall& call : kSystemCalls) {
    // Asked once per thread, and this one may have asked.
    EXPECT_TRUE(listed[call.number] || call.number == SYS_prctl) << call.name;
  }
}

// docs/decisions/0007 has the numbers of calls.
class ModelSystemCallsTest : public ModelTest {};
INSTANTIATE_TEST_SUITE_P(Models, ModelSystemCallsTest,
                         ::testing::Values(SecurityModel::kMappedXattr, SecurityModel::kMappedFile), ModelName);

TEST_P(ModelSystemCallsTest, HowManyTheMappedModelsTake) {
  const auto body = [&] {
    Reexport();  // with a /proc/self/fd of its own
    MakeFile("f");
    MakeFile("old");
    MakeDirectory("d");
    Reexport();
    const InodeRef f = Get("f"), d = Get("d");
    Result<CreatedFile> made = Errno(EIO);
    const auto count = [](auto operation) {
      Mark();
      EXPECT_EQ(ErrorOf(operation()), 0);
      Mark();
    };
    count([&] { return tree_->Stat(*f); });
    count([&] { return tree_->Lookup(root(), Name("f")); });
    count([&] { return tree_->Open(*f, {}); });
    count([&] {
      made = tree_->Create(*d, Name("new"), {.access = Access::kReadWrite}, 0600, {1, 2});
      return Result<void>(made ? Result<void>() : made.error());
    });
    count([&] { return tree_->MakeDirectory(*d, Name("sub"), 0700, {1, 2}); });
    count([&] { return tree_->MakeSymlink(*d, Name("l"), "target", {1, 2}); });
    count([&] { return tree_->SetAttributes(*f, {.mode = 0600}); });
    count([&] { return tree_->Link(*f, *d, Name("f2")); });
    count([&] { return tree_->Rename(*d, Name("f2"), root(), Name("f3")); });
    count([&] { return tree_->Rename(root(), Name("f3"), root(), Name("old")); });
    count([&] { return tree_->Unlink(root(), Name("old")); });
    count([&] { return tree_->RemoveDirectory(*d, Name("sub")); });
    count([&] { return tree_->ReadLink(*tree_->Lookup(*d, Name("l"))->inode); });
  };
  std::vector<size_t> counts;
  for (const std::vector<int>& calls : Trace(body)) {
    counts.push_back(calls.size());
    for (const int number : calls) {
      const auto is_it = [&](const SystemCall& call) { return call.number == number; };
      EXPECT_TRUE(std::any_of(kSystemCalls.begin(), kSystemCalls.end(), is_it)) << "system call " << number;
    }
  }
  const bool xattr = GetParam() == SecurityModel::kMappedXattr;
  EXPECT_EQ(counts, xattr ? std::vector<size_t>({4, 6, 2, 11, 11, 12, 1, 1, 1, 1, 1, 1, 9})
                          : std::vector<size_t>({4, 6, 2, 14, 12, 13, 7, 9, 12, 15, 4, 11, 9}));
}

}  // namespace
}  // namespace virtfs::host
