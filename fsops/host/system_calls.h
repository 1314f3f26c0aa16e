// Every system call that fsops/host makes, with its reason: what a seccomp filter must let through. README.md says
// which operation makes which; system_calls_test.cc sees that no other is made.
#pragma once

#include <sys/syscall.h>

#include <array>

namespace virtfs::host {

struct SystemCall {
  int number;
  const char* name;
  const char* why;
};

// Of Export, OpenFile and FileIo, at any time. (Beside these: what memory, threads and locks need.)
inline constexpr std::array kSystemCalls = {
    SystemCall{SYS_openat2, "openat2",
               "look a name up, make a file, metadata of mapped-file; RESOLVE_BENEATH | NO_SYMLINKS | NO_MAGICLINKS"},
    SystemCall{SYS_openat, "openat",
               "open the file behind a held descriptor, by /proc/self/fd; \"..\" of a directory; nameless files"},
    SystemCall{SYS_close, "close", "give a descriptor back"},
    SystemCall{SYS_statx, "statx", "attributes and identity"},
    SystemCall{SYS_fstatfs, "fstatfs", "how full a file system is"},
    SystemCall{SYS_readlinkat, "readlinkat", "a symlink's target; always with the path \"\""},
    SystemCall{SYS_mkdirat, "mkdirat", "new directory"},
    SystemCall{SYS_symlinkat, "symlinkat", "new symlink"},
    SystemCall{SYS_mknodat, "mknodat", "new FIFO, socket, device node (only ever opened by the guest's own kernel)"},
    SystemCall{SYS_linkat, "linkat", "another name, from /proc/self/fd with AT_SYMLINK_FOLLOW; names of metadata"},
    SystemCall{SYS_renameat, "renameat", "rename"},
    SystemCall{SYS_unlinkat, "unlinkat", "remove"},
    SystemCall{SYS_fchownat, "fchownat", "owner; always with the path \"\" and AT_EMPTY_PATH"},
    SystemCall{SYS_fchmodat, "fchmodat", "permissions, by /proc/self/fd"},
    SystemCall{SYS_utimensat, "utimensat", "times; always with the path \"\" and AT_EMPTY_PATH"},
    SystemCall{SYS_ftruncate, "ftruncate", "size"},
    SystemCall{SYS_getxattr, "getxattr",
               "extended attribute, by the path \"N\" in the working directory /proc/self/fd"},
    SystemCall{SYS_listxattr, "listxattr", "their names, likewise"},
    SystemCall{SYS_setxattr, "setxattr", "likewise"},
    SystemCall{SYS_removexattr, "removexattr", "likewise"},
    SystemCall{SYS_preadv2, "preadv2", "data into a payload"},
    SystemCall{SYS_pwritev2, "pwritev2", "data out of a payload"},
    SystemCall{SYS_getdents64, "getdents64", "directory entries"},
    SystemCall{SYS_lseek, "lseek", "to a directory entry's cookie"},
    SystemCall{SYS_fcntl, "fcntl",
               "F_OFD_SETLK, F_OFD_GETLK: byte ranges; F_DUPFD_CLOEXEC, F_GETFL: to hand locks over"},
    SystemCall{SYS_fsync, "fsync", "data and metadata to the disk"},
    SystemCall{SYS_fdatasync, "fdatasync", "data to the disk"},
    SystemCall{SYS_setfsuid, "setfsuid", "the owner of what this thread makes"},
    SystemCall{SYS_setfsgid, "setfsgid", "its group"},
    SystemCall{SYS_setgroups, "setgroups", "the groups of the user that this thread acts for"},
    SystemCall{SYS_prctl, "prctl", "PR_GET_SECUREBITS, once per thread that makes files; PR_SET_SECUREBITS if it must"},
};

// Of Export::Make and PrepareCredentials only, before lock-down.
inline constexpr std::array kSystemCallsAtStart = {
    SystemCall{SYS_umask, "umask", "0: modes come with the guest's umask applied"},
    SystemCall{SYS_fchdir, "fchdir", "/proc/self/fd becomes the working directory"},
    SystemCall{SYS_prctl, "prctl", "PR_SET_SECUREBITS: SECBIT_NO_SETUID_FIXUP"},
};

// Of LocalHandleBroker, which is the keeper's; never of a server.
inline constexpr std::array kBrokerSystemCalls = {
    SystemCall{SYS_name_to_handle_at, "name_to_handle_at", "a handle of a descriptor"},
    SystemCall{SYS_open_by_handle_at, "open_by_handle_at", "a descriptor of a handle; CAP_DAC_READ_SEARCH"},
    SystemCall{SYS_openat, "openat", "\".\" of the first directory of a mount, to open handles on"},
    SystemCall{SYS_close, "close", "give a descriptor back"},
};

}  // namespace virtfs::host
