// In a process that is locked down, what must fail does, and what a server does to its export still works.

#include "backend/server/lockdown.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "backend/server/system_call_filter.h"
#include "base/unique_fd.h"

namespace virtfs::backend {
namespace {

class LockdownTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/virtfs-lockdown-XXXXXX";
    directory_ = mkdtemp(name);
    std::filesystem::create_directory(directory_ + "/sub");
    // As the keeper makes it.
    export_ = UniqueFd(
        static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, directory_.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
    ASSERT_TRUE(export_.ok());
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    ASSERT_EQ(syscall(SYS_mount_setattr, export_.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)), 0);
    proc_self_ = -1;
  }
  void TearDown() override {
    export_.reset();
    std::filesystem::remove_all(directory_);
  }

  // Runs `check` in a locked process; it returns nullptr, or what was wrong. `before` runs in the process first, and
  // ends it with kCannot where this machine does not allow what it does.
  void InLockdown(
      const std::function<const char*()>& check, const std::function<void()>& before = [] {}) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      before();
      absl::StatusOr<UniqueFd> descriptors = OwnDescriptors();
      std::string problem;
      if (!descriptors.ok()) {
        problem = std::string(descriptors.status().message());
      } else if (const absl::Status status = LockDown(options_); !status.ok()) {
        problem = std::string(status.message());
      } else if (proc_self_ = descriptors->get(); const char* wrong = check()) {
        problem = std::string(wrong) + " (errno " + std::to_string(errno) + ")";
      }
      (void)!write(pipe_fds[1], problem.data(), problem.size());
      _exit(problem.empty() ? 0 : 1);
    }
    close(pipe_fds[1]);
    char problem[256] = {};
    (void)!read(pipe_fds[0], problem, sizeof(problem) - 1);
    close(pipe_fds[0]);
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kCannot) GTEST_SKIP() << "no initramfs to be had as root";
    EXPECT_EQ(status, 0) << problem;
  }

  static constexpr int kCannot = 77;

  LockdownOptions options_{.max_descriptors = 64};
  std::string directory_;
  UniqueFd export_;
  int proc_self_;
};

TEST_F(LockdownTest, NoPathLeadsAnywhere) {
  InLockdown([&]() -> const char* {
    for (const char* path :
         {"/etc/passwd", "/proc/self/status", "/dev/null", "/tmp", "/proc", "../../../etc", "/bin/sh"}) {
      if (open(path, O_RDONLY) >= 0) return "opened a path of the host";
    }
    if (open(directory_.c_str(), O_RDONLY) >= 0) return "opened the export by its path";
    if (open("/new", O_CREAT | O_WRONLY, 0600) >= 0 || mkdir("/new", 0700) == 0) return "made a file in its root";
    if (chdir("/") != 0) return "its root is no directory";
    if (chroot(".") == 0 || mount("none", "/", "tmpfs", 0, nullptr) == 0 || umount("/") == 0) return "mounted";
    char* argv[] = {nullptr};
    if (execv("/bin/sh", argv) == 0) return "executed";
    return nullptr;
  });
}

// A dom0 without a disk, as Xen's own test images are, runs in the initramfs, out of which there is no pivot_root.
TEST_F(LockdownTest, NoPathLeadsAnywhereOutOfAnInitramfs) {
  const auto enter_initramfs = [] {
    // The namespace's first file system comes to light when all that lies on it is taken away.
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(kCannot);
    const int space = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (space < 0 || umount2("/", MNT_DETACH) != 0 || setns(space, CLONE_NEWNS) != 0) _exit(kCannot);
    if (mount("proc", "/proc", "proc", 0, nullptr) != 0 || chdir("/proc") != 0) _exit(kCannot);
    if (syscall(SYS_pivot_root, ".", ".") == 0 || errno != EINVAL) _exit(kCannot);
  };
  InLockdown(
      []() -> const char* {
        for (const char* path : {"/proc", "/proc/self/status", "/dev", "/root", "/init", "../proc", "../../init"}) {
          if (open(path, O_PATH) >= 0) return "opened a path of the initramfs";
        }
        if (umount2("/", MNT_DETACH) == 0 || chroot("..") == 0) return "uncovered the initramfs";
        if (open("/new", O_CREAT | O_WRONLY, 0600) >= 0) return "made a file in its root";
        return nullptr;
      },
      enter_initramfs);
}

TEST_F(LockdownTest, NoWayOutOfTheExport) {
  InLockdown([&]() -> const char* {
    int up = openat(export_.get(), "..", O_PATH | O_DIRECTORY);
    for (int i = 0; i < 10 && up >= 0; ++i) up = openat(up, "..", O_PATH | O_DIRECTORY);
    if (up < 0) return "cannot open .. of the export";
    struct stat top, above;
    if (fstat(export_.get(), &top) != 0 || fstat(up, &above) != 0) return "cannot stat";
    if (top.st_ino != above.st_ino || top.st_dev != above.st_dev) return ".. left the export";
    struct {
      file_handle head;
      unsigned char bytes[MAX_HANDLE_SZ];
    } handle{};
    handle.head.handle_bytes = MAX_HANDLE_SZ;
    const int top_fd = openat(export_.get(), ".", O_RDONLY | O_DIRECTORY);
    int mount_id;
    if (name_to_handle_at(top_fd, "", &handle.head, &mount_id, AT_EMPTY_PATH) != 0) return "cannot make a handle";
    if (open_by_handle_at(top_fd, &handle.head, O_RDONLY) >= 0 || errno != EPERM) return "may open by handle";
    return nullptr;
  });
}

TEST_F(LockdownTest, NoWayToTheRestOfProc) {
  InLockdown([&]() -> const char* {
    struct stat top, above;
    const int up = openat(proc_self_, "../../..", O_PATH | O_DIRECTORY);
    if (up < 0 || fstat(proc_self_, &top) != 0 || fstat(up, &above) != 0) return "cannot stat";
    if (top.st_ino != above.st_ino || top.st_dev != above.st_dev) return ".. left /proc/self/fd";
    for (const char* path : {"../status", "../../1/root", "../../sys/kernel/core_pattern"}) {
      if (openat(proc_self_, path, O_PATH) >= 0) return "opened something else of /proc";
    }
    return nullptr;
  });
}

TEST_F(LockdownTest, NoNetwork) {
  InLockdown([]() -> const char* {
    const int udp = socket(AF_INET, SOCK_DGRAM, 0);
    if (udp >= 0) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(9);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      if (connect(udp, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return "reached a network";
      ifreq interface {
        .ifr_ifrn = {.ifrn_name = "lo"}, .ifr_ifru = {}
      };
      interface.ifr_flags = IFF_UP;
      if (ioctl(udp, SIOCSIFFLAGS, &interface) == 0) return "brought an interface up";
    }
    if (socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0) return "made a raw socket";
    const int local = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "/x"};
    if (bind(local, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return "made a socket file";
    return nullptr;
  });
}

TEST_F(LockdownTest, NothingIsGained) {
  InLockdown([]() -> const char* {
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return "no_new_privs is off";
    if (prctl(PR_GET_DUMPABLE) != 0) return "can be traced";
    if (prctl(PR_SET_SECUREBITS, 0) == 0) return "changed its securebits";
    if (unshare(CLONE_NEWNS) == 0) return "entered a new namespace";
    // Exactly those of the table: CHOWN DAC_OVERRIDE FOWNER FSETID SETGID SETUID MKNOD.
    constexpr uint32_t kKept = 1U << 0 | 1U << 1 | 1U << 3 | 1U << 4 | 1U << 6 | 1U << 7 | 1U << 27;
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct data[2] = {};
    if (syscall(SYS_capget, &header, data) != 0) return "cannot read its capabilities";
    if (data[0].effective != kKept || data[0].permitted != kKept || data[1].permitted != 0) return "has others";
    if (data[0].inheritable != 0 || data[1].inheritable != 0) return "hands some on";
    for (unsigned capability = 0; capability < 41; ++capability) {
      if (prctl(PR_CAPBSET_READ, capability) != 0) return "could gain a capability by executing";
      if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) != 0) return "has an ambient capability";
      if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0) return "raised an ambient capability";
    }
    // Another uid and back brings none.
    if (setresuid(1000, 1000, 0) != 0 || setresuid(0, 0, 0) != 0) return "cannot change uids";
    if (sethostname("x", 1) == 0 || mknod("/x", S_IFREG, 0) == 0) return "has more capabilities";
    if (ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr) == 0) return "traced its parent";
    rlimit limit{.rlim_cur = 1000, .rlim_max = 1000};
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return "raised its limit of descriptors";
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0) return "may dump core";
    return nullptr;
  });
}

TEST_F(LockdownTest, TheExportIsFullyUsable) {
  InLockdown([&]() -> const char* {
    const int top = export_.get();
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const auto sub = static_cast<int>(syscall(SYS_openat2, top, "sub", &how, sizeof(how)));
    if (sub < 0) return "openat2 fails";
    // Born with its owner, by the thread's own ids; the capabilities stay.
    syscall(SYS_setfsgid, 2000);
    syscall(SYS_setfsuid, 1000);
    const int file = openat(sub, "file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) return "cannot create a file";
    if (status.st_uid != 1000 || status.st_gid != 2000) return "the file has another owner";
    // As uid 1000, in a directory of root: DAC_OVERRIDE stayed.
    if (write(file, "hello", 5) != 5) return "cannot write";

    // Reopened through the descriptor from before, also now that setfsuid has made the process undumpable.
    how.flags = O_PATH;
    const auto path = static_cast<int>(syscall(SYS_openat2, sub, "file", &how, sizeof(how)));
    const int reopened = openat(proc_self_, std::to_string(path).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char bytes[5];
    if (reopened < 0 || read(reopened, bytes, 5) != 5) return "cannot reopen through /proc/self/fd";

    if (fchownat(sub, "file", 7, 8, 0) != 0) return "cannot change an owner";
    if (fchmodat(sub, "file", 02770, 0) != 0 || fstatat(sub, "file", &status, 0) != 0) return "cannot change a mode";
    if ((status.st_mode & 07777) != 02770) return "setgid was lost";
    const timespec times[2] = {{1, 2}, {3, 4}};
    if (utimensat(sub, "file", times, 0) != 0) return "cannot change times";
    if (mknodat(sub, "device", S_IFCHR | 0666, makedev(1, 3)) != 0) return "cannot make a device node";
    if (openat(sub, "device", O_RDONLY) >= 0 || errno != EACCES) return "opened a device";
    if (mkdirat(sub, "dir", 0700) != 0 || symlinkat("/etc", sub, "link") != 0) return "cannot make names";
    if (renameat(sub, "file", top, "moved") != 0 || unlinkat(top, "moved", 0) != 0) return "cannot rename and remove";
    if (openat(top, "sub/link/passwd", O_RDONLY) >= 0) return "a symlink led out";
    return nullptr;
  });
}

// Of the directory's owner, without a capability: as the models that keep owners of their own are served.
TEST_F(LockdownTest, AnUnprivilegedServerIsTheOwnerAndNoMore) {
  constexpr uint32_t kUid = 1234, kGid = 5678;
  options_.powers = Powers::kNone;
  options_.owner = {.uid = kUid, .gid = kGid};
  ASSERT_EQ(chown(directory_.c_str(), kUid, kGid), 0);
  ASSERT_EQ(mknod((directory_ + "/roots").c_str(), S_IFREG | 0600, 0), 0);
  const gid_t before[] = {0, 4, 100};
  ASSERT_EQ(setgroups(std::size(before), before), 0);
  InLockdown([&]() -> const char* {
    uid_t uids[3];
    gid_t gids[3], groups[8];
    if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 || getresgid(&gids[0], &gids[1], &gids[2]) != 0) return "no ids";
    for (int i = 0; i < 3; ++i) {
      if (uids[i] != kUid || gids[i] != kGid) return "has other ids";
    }
    if (getgroups(std::size(groups), groups) != 0) return "is in groups";
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct data[2] = {};
    if (syscall(SYS_capget, &header, data) != 0) return "cannot read its capabilities";
    for (const auto& half : data) {
      if (half.effective != 0 || half.permitted != 0 || half.inheritable != 0) return "has a capability";
    }
    for (unsigned capability = 0; capability < 41; ++capability) {
      if (prctl(PR_CAPBSET_READ, capability) != 0) return "could gain a capability by executing";
    }
    if (prctl(PR_SET_SECUREBITS, 0) == 0 || setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0) return "became root";
    if (prctl(PR_GET_DUMPABLE) != 0) return "can be traced";

    const int top = export_.get();
    if (openat(top, "roots", O_RDONLY) >= 0 || errno != EACCES) return "opened a file of root";
    const int file = openat(top, "mine", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 || write(file, "hello", 5) != 5) return "cannot make a file";
    // What every server lives on: its own /proc/self/fd, though it cannot be traced, for opening and for attributes.
    const std::string path = std::to_string(openat(top, "mine", O_PATH | O_CLOEXEC));
    char bytes[5];
    const int reopened = openat(proc_self_, path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (reopened < 0 || read(reopened, bytes, 5) != 5) return "cannot reopen through /proc/self/fd";
    if (fchmodat(proc_self_, path.c_str(), 0640, 0) != 0) return "cannot change a mode through /proc/self/fd";
    if (linkat(proc_self_, path.c_str(), top, "other", AT_SYMLINK_FOLLOW) != 0)
      return "cannot link through /proc/self/fd";
    if (fchdir(proc_self_) != 0) return "cannot make it the working directory";
    if (setxattr(path.c_str(), "user.test", "x", 1, 0) != 0 && errno != EOPNOTSUPP) return "cannot set an attribute";
    return nullptr;
  });
}

// Runs `calls` behind the filter. Returns the signal that ended the process, 0 if it lived.
int SignalBehindFilter(const std::function<void()>& calls) {
  const pid_t child = fork();
  if (child == 0) {
    // (No core file: the kernel would dump one for SIGSYS.)
    const rlimit none{};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!ForbidOtherSystemCalls().ok()) _exit(1);
    calls();
    syscall(SYS_exit_group, 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << status;
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST(SystemCallFilterTest, EveryOtherSystemCallIsTheEnd) {
  if (!kFilterIsPossible) GTEST_SKIP() << "sanitizers make system calls of their own";
  const pid_t parent = getppid();
  const struct {
    const char* name;
    std::function<void()> call;
  } kForbidden[] = {
      {"execve", [] { execl("/bin/true", "true", nullptr); }},
      {"ptrace", [&] { ptrace(PTRACE_ATTACH, parent, nullptr, nullptr); }},
      {"kill", [&] { kill(parent, 0); }},
      {"tgkill of another", [&] { syscall(SYS_tgkill, parent, parent, 0); }},
      {"pidfd_open", [&] { syscall(SYS_pidfd_open, parent, 0); }},
      {"process_vm_readv", [&] { syscall(SYS_process_vm_readv, parent, nullptr, 0, nullptr, 0, 0); }},
      {"socket", [] { socket(AF_UNIX, SOCK_STREAM, 0); }},
      {"mount", [] { mount("none", "/", "tmpfs", 0, nullptr); }},
      {"unshare", [] { unshare(CLONE_NEWUSER); }},
      {"setns", [] { setns(0, 0); }},
      {"fork", [] { syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr); }},
      {"a namespace by clone", [] { syscall(SYS_clone, CLONE_NEWUSER, nullptr, nullptr, nullptr, nullptr); }},
      {"setresuid", [] { syscall(SYS_setresuid, 0, 0, 0); }},
      {"capset", [] { syscall(SYS_capset, nullptr, nullptr); }},
      {"name_to_handle_at", [] { name_to_handle_at(0, "", nullptr, nullptr, 0); }},
      {"open_by_handle_at", [] { open_by_handle_at(0, nullptr, 0); }},
      {"chroot", [] { syscall(SYS_chroot, "."); }},
      {"chmod of another flavour", [] { syscall(SYS_fchmod, 0, 0); }},
      {"executable memory", [] { (void)mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANON, -1, 0); }},
      {"memory made executable", [] { mprotect(nullptr, 4096, PROT_EXEC); }},
      {"a terminal's ioctl", [] { ioctl(0, TIOCSTI, "x"); }},
      {"privcmd's ioctl", [] { ioctl(0, _IOC(_IOC_NONE, 'P', 0, 0), nullptr); }},
      {"F_SETOWN", [&] { fcntl(0, F_SETOWN, parent); }},
      {"dumpable again", [] { prctl(PR_SET_DUMPABLE, 1); }},
      {"io_uring_setup", [] { syscall(SYS_io_uring_setup, 1, nullptr); }},
      {"a number that does not exist", [] { syscall(9999); }},
  };
  for (const auto& [name, call] : kForbidden) EXPECT_EQ(SignalBehindFilter(call), SIGSYS) << name;
}

TEST(SystemCallFilterTest, WhatAServerDoesIsNot) {
  if (!kFilterIsPossible) GTEST_SKIP() << "sanitizers make system calls of their own";
  EXPECT_EQ(SignalBehindFilter([] {
              std::thread([] {}).join();
              // A clone3 that cannot be looked into is refused without harm.
              if (syscall(SYS_clone3, nullptr, 0) != -1 || errno != ENOSYS) _exit(1);
              ioctl(-1, _IOC(_IOC_NONE, 'G', 0, 0), nullptr);
              ioctl(-1, _IOC(_IOC_NONE, 'E', 0, 0), nullptr);
              if (prctl(PR_GET_SECUREBITS) < 0) _exit(2);
              free(malloc(1 << 24));
            }),
            0);
  // An assertion that fails looks like one.
  EXPECT_EQ(SignalBehindFilter([] { abort(); }), SIGABRT);
}

TEST_F(LockdownTest, WithoutPrivilegesItSaysWhy) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (setresuid(1000, 1000, 1000) != 0) _exit(2);
    const absl::Status status = LockDown({.max_descriptors = 64});
    _exit(!status.ok() && status.message().find("cannot enter namespaces") != std::string::npos ? 0 : 1);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace virtfs::backend
