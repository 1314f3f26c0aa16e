#include "fsops/host/lock_file.h"

#include <fcntl.h>

#include "fsops/host/kernel.h"

namespace virtfs::host {
namespace {

// What the kernel calls F_RDLCK, F_WRLCK or F_UNLCK.
struct flock KernelLock(short type, ByteRange bytes) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(bytes.first);
  // 0: to the end, whatever that will be.
  lock.l_len = bytes.last == ByteRange::kMaxByte ? 0 : static_cast<off_t>(bytes.last - bytes.first + 1);
  return lock;
}

short KernelType(LockType type) { return type == LockType::kRead ? F_RDLCK : F_WRLCK; }

Result<std::optional<HostLock>> TestBy(int fd, LockType type, ByteRange bytes) {
  struct flock lock = KernelLock(KernelType(type), bytes);
  if (fcntl(fd, F_OFD_GETLK, &lock) < 0) return Errno::Last();
  if (lock.l_type == F_UNLCK) return std::optional<HostLock>();
  const auto first = static_cast<uint64_t>(lock.l_start);
  const uint64_t last = lock.l_len == 0 ? ByteRange::kMaxByte : first + static_cast<uint64_t>(lock.l_len) - 1;
  return std::optional(HostLock{.type = lock.l_type == F_RDLCK ? LockType::kRead : LockType::kWrite,
                                .bytes = {first, last},
                                .pid = lock.l_pid > 0 ? static_cast<uint32_t>(lock.l_pid) : 0});
}

}  // namespace

Result<bool> LockFile::Lock(LockType type, ByteRange bytes) {
  struct flock lock = KernelLock(KernelType(type), bytes);
  if (fcntl(fd_.get(), F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return Errno::Last();
}

Result<void> LockFile::Unlock(ByteRange bytes) {
  struct flock lock = KernelLock(F_UNLCK, bytes);
  return Done(fcntl(fd_.get(), F_OFD_SETLK, &lock));
}

Result<std::optional<HostLock>> LockFile::Test(LockType type, ByteRange bytes) const {
  return TestBy(fd_.get(), type, bytes);
}

Result<std::optional<HostLock>> LockFile::Test(const OpenFile& file, LockType type, ByteRange bytes) {
  return TestBy(file.fd_.get(), type, bytes);
}

Result<UniqueFd> LockFile::Share() const { return Opened(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0)); }

}  // namespace virtfs::host
