// LockFile: one open file description by which byte ranges of one file are locked on the host. Made by
// Export::OpenForLocks.
//
// Its locks are open file description locks (F_OFD_SETLK): they conflict with those of every other description and with
// the POSIX locks of every process, they are not lost when some other descriptor of the file is closed, and they last
// until this one is (and whatever Share made of it). Nothing here waits for a lock.
//
// Bytes are counted from 0, ranges are inclusive at both ends and end at 2^63 - 1 at most.
// Errors: the kernel's errno (ENOLCK, or EOPNOTSUPP and the like of a network file system).
// Threads: a LockFile is in one thread's hands at a time.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/open_file.h"

namespace virtfs::host {

enum class LockType : uint8_t { kRead, kWrite };

struct ByteRange {
  static constexpr uint64_t kMaxByte = INT64_MAX;

  uint64_t first = 0;
  uint64_t last = kMaxByte;

  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// Somebody else's lock.
struct HostLock {
  LockType type = LockType::kRead;
  ByteRange bytes;
  uint32_t pid = 0;  // 0: not known, as of another open file description or of a process in another pid namespace
};

class LockFile {
 public:
  // Whether it is open for what such a lock takes: reading or writing.
  bool CanHold(LockType type) const {
    return access_ == Access::kReadWrite || (access_ == Access::kRead) == (type == LockType::kRead);
  }

  // False: another one holds a lock in the way; then nothing has changed. One fcntl.
  Result<bool> Lock(LockType type, ByteRange bytes);
  Result<void> Unlock(ByteRange bytes);

  // A lock of others that is in the way of such a one. One fcntl.
  Result<std::optional<HostLock>> Test(LockType type, ByteRange bytes) const;
  // The same for a file of which no LockFile is there.
  static Result<std::optional<HostLock>> Test(const OpenFile& file, LockType type, ByteRange bytes);

  // Another descriptor of the same description, which keeps the locks as this one does.
  Result<UniqueFd> Share() const;

 private:
  friend class Export;
  LockFile(UniqueFd fd, Access access) : fd_(std::move(fd)), access_(access) {}

  UniqueFd fd_;
  Access access_;
};

}  // namespace virtfs::host
