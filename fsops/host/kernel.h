// System calls as Results, those that glibc 2.36 does not wrap included. Internal to fsops/host.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/attributes.h"
#include "fsops/host/inode.h"

namespace virtfs::host {

// 0 or more: success; the system call's own -1 becomes its errno.
inline Result<void> Done(int returned) {
  if (returned < 0) return Errno::Last();
  return {};
}

inline Result<UniqueFd> Opened(int returned) {
  if (returned < 0) return Errno::Last();
  return UniqueFd(returned);
}

// From the start of the file and by one system call: pwritev2.
inline Result<void> WriteWhole(int fd, std::string_view content) {
  if (content.empty()) return {};
  iovec vec{const_cast<char*>(content.data()), content.size()};
  const ssize_t size = pwritev2(fd, &vec, 1, 0, 0);
  if (size < 0) return Errno::Last();
  if (static_cast<size_t>(size) != content.size()) return Errno(ENOSPC);
  return {};
}

// One component beneath `dir`; no symlink, magic link or ".." is ever followed.
inline Result<UniqueFd> OpenBeneath(int dir, const char* name, int flags, uint32_t mode = 0) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_NOFOLLOW | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return Opened(static_cast<int>(syscall(SYS_openat2, dir, name, &how, sizeof(how))));
}

// "7" of descriptor 7: its name in /proc/self/fd.
class DescriptorName {
 public:
  explicit DescriptorName(int fd) { *std::to_chars(text_.begin(), text_.end() - 1, fd).ptr = '\0'; }
  const char* c_str() const { return text_.data(); }

 private:
  std::array<char, 16> text_;
};

// Of `fd` itself, or of `name` in it without following it.
inline Result<void> StatX(int fd, const char* name, struct statx* stat) {
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  return Done(statx(fd, name, flags, STATX_BASIC_STATS | STATX_BTIME, stat));
}

inline Time TimeOf(const statx_timestamp& time) { return {time.tv_sec, time.tv_nsec}; }

// The ctime becomes now. The kernel has no call for it. A chown to nobody would clear set-id bits, a chmod could undo
// another's; setting the atime to what it is can only lose a read's mark.
inline Result<void> TouchCtime(int fd) {
  struct statx stat;
  if (Result<void> done = StatX(fd, "", &stat); !done) return done;
  const timespec times[2] = {{stat.stx_atime.tv_sec, static_cast<long>(stat.stx_atime.tv_nsec)}, {0, UTIME_OMIT}};
  return Done(utimensat(fd, "", times, AT_EMPTY_PATH));
}

inline Attributes AttributesOf(const struct statx& stat) {
  Attributes result;
  result.dev = makedev(stat.stx_dev_major, stat.stx_dev_minor);
  result.ino = stat.stx_ino;
  result.mode = stat.stx_mode;
  result.uid = stat.stx_uid;
  result.gid = stat.stx_gid;
  result.nlink = stat.stx_nlink;
  result.rdev = makedev(stat.stx_rdev_major, stat.stx_rdev_minor);
  result.size = stat.stx_size;
  result.block_size = stat.stx_blksize;
  result.blocks = stat.stx_blocks;
  result.atime = TimeOf(stat.stx_atime);
  result.mtime = TimeOf(stat.stx_mtime);
  result.ctime = TimeOf(stat.stx_ctime);
  if ((stat.stx_mask & STATX_BTIME) != 0) result.birth = TimeOf(stat.stx_btime);
  return result;
}

inline InodeKey KeyOf(const Attributes& attributes) {
  InodeKey key{attributes.dev, attributes.ino, 0};
  // Unsigned, since a hostile file system's time may overflow; that only makes the hint worse.
  if (attributes.birth) {
    key.birth = static_cast<int64_t>(static_cast<uint64_t>(attributes.birth->seconds) * 1'000'000'000 +
                                     attributes.birth->nanoseconds);
  }
  return key;
}

}  // namespace virtfs::host
