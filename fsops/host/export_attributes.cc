// Attributes of files, symlinks and whole file systems.
#include <linux/limits.h>
#include <sys/statfs.h>

#include <cstring>

#include "fsops/host/export.h"
#include "fsops/host/kernel.h"
#include "fsops/host/mapping.h"
#include "fsops/host/usage.h"

namespace virtfs::host {
namespace {

bool IsValid(const TimeChange& change) {
  // Beyond it the kernel reads UTIME_NOW and UTIME_OMIT.
  return change.kind != TimeChange::Kind::kSet || change.time.nanoseconds < 1'000'000'000;
}

timespec Timespec(const TimeChange& change) {
  switch (change.kind) {
    case TimeChange::Kind::kNow:
      return {0, UTIME_NOW};
    case TimeChange::Kind::kSet:
      return {change.time.seconds, static_cast<long>(change.time.nanoseconds)};
    default:
      return {0, UTIME_OMIT};
  }
}

Result<void> SetTimes(int fd, const TimeChange& atime, const TimeChange& mtime) {
  const timespec times[2] = {Timespec(atime), Timespec(mtime)};
  return Done(utimensat(fd, "", times, AT_EMPTY_PATH));
}

}  // namespace

Result<Attributes> Export::Stat(Inode& inode) {
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  if (mapping_) return mapping_->Stat(inode, held->get());
  struct statx stat;
  if (Result<void> done = StatX(held->get(), "", &stat); !done) return done.error();
  return AttributesOf(stat);
}

Result<void> Export::SetAttributes(Inode& inode, const AttributeChange& change, const OpenFile* open) {
  if (readonly()) return Errno(EROFS);
  // All that can be seen to be wrong is refused before anything is done.
  if (!IsValid(change.atime) || !IsValid(change.mtime)) return Errno(EINVAL);
  if (change.uid == kNoId || change.gid == kNoId) return Errno(EINVAL);
  if (change.mode && S_ISLNK(inode.type())) return Errno(EOPNOTSUPP);
  if (change.size && inode.is_directory()) return Errno(EISDIR);
  if (change.size && !S_ISREG(inode.type())) return Errno(EINVAL);
  if (change.size && *change.size > INT64_MAX) return Errno(EFBIG);

  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  const int fd = held->get();

  if (Result<void> done = mapping_ ? SetMapped(inode, fd, change) : SetOwnerAndMode(fd, change); !done) return done;
  if (change.size) {
    if (Result<void> done = Truncate(inode, fd, *change.size, open); !done) return done;
  }
  if (change.atime.kind != TimeChange::Kind::kKeep || change.mtime.kind != TimeChange::Kind::kKeep) {
    return SetTimes(fd, change.atime, change.mtime);
  }
  if (change.touch_ctime && !change.uid && !change.gid && !change.mode && !change.size) return TouchCtime(fd);
  return {};
}

Result<void> Export::SetOwnerAndMode(int fd, const AttributeChange& change) {
  if (change.uid || change.gid) {
    const int done = fchownat(fd, "", change.uid.value_or(kNoId), change.gid.value_or(kNoId), AT_EMPTY_PATH);
    const bool ignored = done < 0 && errno == EPERM && options_.model == SecurityModel::kNone;
    if (done < 0 && !ignored) return Errno::Last();
  }
  if (change.mode) {
    // fchmod refuses O_PATH; the link in /proc is followed to the file itself, whatever its type.
    const int done = fchmodat(proc_self_fd_.get(), DescriptorName(fd).c_str(), *change.mode & ALLPERMS, 0);
    if (done < 0) return Errno::Last();
  }
  return {};
}

// Never truncate(2), which waits for a lease to be broken; an open with O_NONBLOCK is refused instead.
Result<void> Export::Truncate(const Inode& inode, int fd, uint64_t size, const OpenFile* open) {
  UniqueFd own;
  int writable = -1;
  if (open != nullptr && open->flags().writes()) {
    writable = open->fd_.get();
  } else {
    Result<UniqueFd> opened = Reopen(fd, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    if (!opened) return opened.error();
    own = *std::move(opened);
    writable = own.get();
  }
  const auto resize = [&] { return Done(ftruncate(writable, static_cast<off_t>(size))); };
  return usage_ ? usage_->Resize(fd, inode.key(), size, resize) : resize();
}

Result<FileSystemStatus> Export::StatFileSystem(Inode& inode) {
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  struct statfs status;
  if (fstatfs(held->get(), &status) < 0) return Errno::Last();
  FileSystemStatus result;
  result.type = static_cast<uint32_t>(status.f_type);
  result.block_size = static_cast<uint32_t>(status.f_bsize);
  result.blocks = status.f_blocks;
  result.free_blocks = status.f_bfree;
  result.available_blocks = status.f_bavail;
  result.files = status.f_files;
  result.free_files = status.f_ffree;
  static_assert(sizeof(status.f_fsid) == sizeof(result.id));
  memcpy(&result.id, &status.f_fsid, sizeof(result.id));
  result.max_name = static_cast<uint32_t>(status.f_namelen);
  if (usage_) usage_->Limit(result);
  return result;
}

Result<std::string> Export::ReadLink(Inode& inode) {
  if (!S_ISLNK(inode.type())) return Errno(EINVAL);
  if (inode.stands_in()) return ReadStandIn(inode);
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  char target[PATH_MAX];
  const ssize_t size = readlinkat(held->get(), "", target, sizeof(target));
  if (size < 0) return Errno::Last();
  return std::string(target, static_cast<size_t>(size));
}

}  // namespace virtfs::host
