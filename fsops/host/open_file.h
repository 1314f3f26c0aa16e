// OpenFile: a regular file or a directory opened for reading or writing. Made by Export::Open and Export::Create.
//
// It holds its Inode, so that everything asked of the Inode (Stat, SetAttributes) works though the file was unlinked.
// Costs two descriptors: its own and the Inode's, which cannot be evicted meanwhile.
//
// Threads: all methods from any thread; reads of one directory stream take turns, nothing else waits for another.
#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/inode.h"

namespace virtfs::host {

enum class Access : uint8_t { kRead, kWrite, kReadWrite };

// How to open. Whatever else Linux knows is either ours to decide (O_NONBLOCK, O_NOCTTY, O_CLOEXEC, O_NOFOLLOW) or the
// client's own matter (O_DIRECT, O_ASYNC, O_NOATIME).
struct OpenFlags {
  Access access = Access::kRead;
  bool truncate = false;
  bool append = false;
  bool exclusive = false;  // of Create only
  bool directory = false;  // ENOTDIR if it is none
  bool data_sync = false;  // every write is on the disk before it is answered
  bool sync = false;       // and so is the metadata

  // From the numbers of Linux's asm-generic/fcntl.h. EINVAL: access mode 3. Bits not listed above are ignored.
  static Result<OpenFlags> Parse(uint32_t flags);

  bool writes() const { return access != Access::kRead; }
};

struct DirectoryEntry {
  std::string_view name;  // "." and ".." are among them
  uint64_t ino = 0;       // on the directory's own device; of a mount point, that of what is mounted over
  uint64_t cookie = 0;    // where the *next* entry is: the argument that continues behind this one
  mode_t type = 0;  // S_IFREG ...; 0: it vanished before it could be asked, or it is a regular file that may stand
                    // for another type (mapping.h)
};

class Mapping;

class OpenFile {
 public:
  // The smallest buffer that can hold any entry.
  static constexpr size_t kMinDirectoryBuffer = 280;

  OpenFile(UniqueFd fd, InodeRef inode, HeldDescriptor held, OpenFlags flags, const Mapping* mapping)
      : fd_(std::move(fd)), inode_(std::move(inode)), held_(std::move(held)), flags_(flags), mapping_(mapping) {}

  Inode& inode() const { return *inode_; }
  OpenFlags flags() const { return flags_; }
  bool is_directory() const { return inode_->is_directory(); }

  // Calls `visit` for entries from `cookie` (0: the beginning) on until it returns false, or `buffer_size` bytes of
  // them (kMinDirectoryBuffer at least) are read. No visit: the end. ENOTDIR: not a directory. EINVAL: not a cookie.
  //
  // An entry takes the kernel 20 bytes and its name, rounded up to 8; a `buffer_size` of 6/7 of what the caller can
  // take at 24 bytes and the name never reads too much. That is worth it: a refused entry costs an lseek next time, and
  // on tmpfs before Linux 6.6 cookies are positions, which deletes shift unless the stream is read on without a seek.
  // System calls: a getdents64 per 32 KiB, one more at the end, and an lseek if `cookie` is not where the last call
  // ended.
  Result<void> ReadDirectory(uint64_t cookie, size_t buffer_size, absl::FunctionRef<bool(const DirectoryEntry&)> visit);

  // To the disk; `data_only` leaves out metadata that reading the data back does not need.
  Result<void> Sync(bool data_only);

 private:
  friend class Export;
  friend class FileIo;
  friend class LockFile;

  static constexpr size_t kDirectoryPiece = 32 << 10;  // on the stack

  // Of what the kernel says.
  mode_t TypeOf(const DirectoryEntry& entry) const;

  UniqueFd fd_;
  InodeRef inode_;
  HeldDescriptor held_;  // after inode_: released before the reference
  OpenFlags flags_;
  const Mapping* const mapping_;  // null: the host's own types and names are the guest's
  std::mutex mutex_;              // of the two below
  uint64_t position_ = 0;         // the cookie at which the kernel stands
  bool positioned_ = true;
};

}  // namespace virtfs::host
