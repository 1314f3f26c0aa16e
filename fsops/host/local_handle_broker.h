// LocalHandleBroker: the HandleBroker that makes and opens the handles itself; of the keeper, of tests and benches.
//
// Needs CAP_DAC_READ_SEARCH in the initial user namespace for Reopen (EPERM without). A handle names a file within its
// file system, so a descriptor of each mount is kept, on which Reopen opens: the first directory of that mount that was
// ever kept. A file of a mount of which no directory was kept is EXDEV.
//
// Trust: the descriptors given to Keep may come from a hostile server; they are never opened but for directories, and a
// token can only ever give back the file of a descriptor that was shown.
// Threads: any; no system call under the lock.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/unique_fd.h"
#include "fsops/host/handle_broker.h"
#include "fsops/host/handle_store.h"

namespace virtfs::host {

// A handle by value. It names a file of its file system as long as that exists, also for another process, and for one
// of another day.
struct FileHandle {
  int type = 0;                // file_handle::handle_type
  std::vector<uint8_t> bytes;  // none: of no file

  friend bool operator==(const FileHandle&, const FileHandle&) = default;
};

// Of the file that `fd` refers to, O_PATH is enough.
Result<FileHandle> HandleOf(int fd);

class LocalHandleBroker : public HandleBroker {
 public:
  // `root`: a directory of the export (O_PATH is enough), only borrowed; its mount is the first that is known.
  // Keep beyond `max_tokens` is ENOSPC.
  explicit LocalHandleBroker(int root, size_t max_tokens = 4 << 20);

  Result<HandleToken> Keep(int fd) override;
  Result<UniqueFd> Reopen(HandleToken token) override;
  void Drop(HandleToken token) override;

  // For a broker of another process: the handle behind a token; of no file if the file is not on the root's own mount,
  // or nobody knows the token.
  FileHandle Show(HandleToken token) const;
  // As Keep, of a file on the root's mount, whose file system must be the one that the handle is of. Whoever may write
  // `handle` chooses any file of it. ESTALE: it is of no file.
  Result<HandleToken> Adopt(const FileHandle& handle);

  size_t kept() const;

 private:
  static constexpr size_t kMaxMounts = 256;

  struct Mount {
    int id;
    UniqueFd directory;
  };
  // The descriptor of mount `id`, on which `fd` is; -1 if none can be had.
  int MountDescriptor(int id, int fd);

  const size_t max_tokens_;
  mutable std::mutex mutex_;
  std::vector<Mount> mounts_;  // never shrinks: a HandleKind's mount_fd stays open
  mutable HandleStore handles_;
};

}  // namespace virtfs::host
