#include "fsops/host/open_file.h"

#include <dirent.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "fsops/host/kernel.h"
#include "fsops/host/mapping.h"

namespace virtfs::host {
namespace {

// The kernel's linux_dirent64: ino[8] off[8] reclen[2] type[1], then the name and its NUL.
constexpr size_t kRecordSizeAt = 16;
constexpr size_t kTypeAt = 18;
constexpr size_t kNameAt = 19;

template <typename T>
T Load(const char* from) {
  T value;
  memcpy(&value, from, sizeof(value));
  return value;
}

}  // namespace

Result<OpenFlags> OpenFlags::Parse(uint32_t flags) {
  OpenFlags result;
  switch (flags & 3) {
    case 0:
      result.access = Access::kRead;
      break;
    case 1:
      result.access = Access::kWrite;
      break;
    case 2:
      result.access = Access::kReadWrite;
      break;
    default:
      return Errno(EINVAL);
  }
  // asm-generic/fcntl.h, whatever this host's own numbers are.
  constexpr uint32_t kExclusive = 0200, kTruncate = 01000, kAppend = 02000, kDataSync = 010000, kDirectory = 0200000;
  constexpr uint32_t kSync = 04000000;  // the bit that O_SYNC has and O_DSYNC has not
  result.exclusive = (flags & kExclusive) != 0;
  result.truncate = (flags & kTruncate) != 0;
  result.append = (flags & kAppend) != 0;
  result.data_sync = (flags & kDataSync) != 0;
  result.directory = (flags & kDirectory) != 0;
  result.sync = (flags & kSync) != 0;
  return result;
}

Result<void> OpenFile::ReadDirectory(uint64_t cookie, size_t buffer_size,
                                     absl::FunctionRef<bool(const DirectoryEntry&)> visit) {
  if (!is_directory()) return Errno(ENOTDIR);
  if (cookie > INT64_MAX) return Errno(EINVAL);

  const std::lock_guard lock(mutex_);
  if (!positioned_ || cookie != position_) {
    positioned_ = false;
    if (lseek(fd_.get(), static_cast<off_t>(cookie), SEEK_SET) < 0) return Errno::Last();
    position_ = cookie;
    positioned_ = true;
  }

  alignas(8) char buffer[kDirectoryPiece];
  bool visited = false;
  for (size_t left = std::max(buffer_size, kMinDirectoryBuffer); left >= kMinDirectoryBuffer;) {
    const ssize_t size = getdents64(fd_.get(), buffer, std::min(left, sizeof(buffer)));
    // What was visited stands; the error will be met again at the next cookie.
    if (size < 0 && visited) return {};
    if (size < 0) return Errno::Last();
    if (size == 0) return {};
    for (const char* record = buffer; record < buffer + size; record += Load<uint16_t>(record + kRecordSizeAt)) {
      DirectoryEntry entry;
      entry.name = record + kNameAt;
      entry.ino = Load<uint64_t>(record);
      entry.cookie = Load<uint64_t>(record + 8);
      entry.type = DTTOIF(record[kTypeAt]);
      if (mapping_ != nullptr && mapping_->Reserves(entry.name)) {
        position_ = entry.cookie;
        continue;
      }
      entry.type = TypeOf(entry);
      if (!visit(entry)) {
        positioned_ = false;
        return {};
      }
      visited = true;
      position_ = entry.cookie;
    }
    // Nothing visited would be taken for the end.
    if (visited) left -= std::min(left, static_cast<size_t>(size));
  }
  return {};
}

mode_t OpenFile::TypeOf(const DirectoryEntry& entry) const {
  mode_t type = entry.type;
  if (type == 0) {
    // A file system whose directories do not say.
    struct statx stat;
    if (StatX(fd_.get(), entry.name.data(), &stat)) type = stat.stx_mode & S_IFMT;
  }
  return mapping_ != nullptr && type == S_IFREG ? 0 : type;
}

Result<void> OpenFile::Sync(bool data_only) { return Done(data_only ? fdatasync(fd_.get()) : fsync(fd_.get())); }

}  // namespace virtfs::host
