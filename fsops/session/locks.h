// Locks: the byte ranges that the clients of one session have locked, in the session and on the host.
//
// Who conflicts with whom inside the session is told by a LockTable per file. For the host the session is one holder
// per file: a LockFile has locked what all owners hold together, so that other sessions and the host's own processes
// conflict with it. docs/decisions/0008 says why.
//
// The table and the host always agree: the host is asked first, and what it refuses changes nothing here. Giving locks
// up needs no memory of the host's but to cut a range in two; if that fails, ENOLCK, and what is left stays locked in
// both.
//
// Errors: ENOLCK: too many ranges. Unlocking the middle of a range makes two of one; so that a client which is at its
// limit can give up parts, unlocking alone may go up to twice the limit (and then fails, as POSIX has it, changing
// nothing). EMFILE: no open file left for the LockFile of another file. EWOULDBLOCK: a lease is in the way of opening
// it. Others: the host's.
// Threads: any. Calls on one file take turns, also with the host's answer; those on different files do not wait.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/export.h"
#include "fsops/host/lock_file.h"
#include "fsops/session/fid_table.h"
#include "fsops/session/lock_table.h"

namespace virtfs::session {

class Locks {
 public:
  using Holder = LockTable::Holder;

  // `used` is counted in, and must outlive the Locks, as must the others.
  Locks(host::Export& tree, OpenFileBudget& open_files, uint32_t limit, std::atomic<uint64_t>& used)
      : tree_(tree), open_files_(open_files), limit_(limit), used_(used) {}

  // False: someone else holds a lock in the way; nothing has changed. `inode` must be open by range.fid for what the
  // lock takes (reading or writing).
  Result<bool> Lock(host::Inode& inode, const LockOwner& owner, const LockedRange& range);
  Result<void> Unlock(host::Inode& inode, const LockOwner& owner, host::ByteRange bytes);

  // A lock that is in the way of such a one. Of the session's own owners exactly; another on the host has the client_id
  // "host", and the proc_id 0 unless it is a process that can be seen from here.
  Result<std::optional<Holder>> Test(const host::OpenFile& file, const LockOwner& owner, host::LockType type,
                                     host::ByteRange bytes);

  // What was locked by `fid`, which stood for `inode` and is gone. Cannot fail; what a host refuses to unlock stays
  // locked there until the last range of the file is gone.
  void Release(host::Inode& inode, p9::Fid fid);
  // Everything. Not while other calls run.
  void Clear();

  // Ranges locked now, of all files.
  size_t size() const { return used_.load(std::memory_order_relaxed); }

  // --- for an image; not while other calls run ---

  struct Saved {
    host::InodeRef inode;
    std::vector<std::pair<LockOwner, LockedRange>> ranges;
    // By which the locks stay in force until a successor has them. Null: they are to be taken anew.
    std::shared_ptr<const UniqueFd> shared;
  };
  Result<std::vector<Saved>> Save();
  // Returns the fids of ranges that could not be had again, as someone else has locked there meanwhile; nothing is
  // locked by those fids then. EINVAL: ranges that contradict each other, or too many.
  Result<std::vector<p9::Fid>> Restore(const Saved& saved);

 private:
  struct File {
    explicit File(host::Inode& inode) : inode(inode) {}

    const host::InodeRef inode;
    uint32_t users = 0;  // Under files_mutex_.
    std::mutex mutex;    // Of the rest.
    LockTable table;
    std::optional<OpenFileBudget::Slot> slot;
    std::optional<host::LockFile> host;  // Whenever the table is not empty.
  };
  // One file's locks in the hands of one call. A File without ranges is gone with its last Use.
  class Use;

  // Makes sure that file.host can hold such a lock.
  Result<void> OpenFor(File& file, host::LockType type);
  Result<bool> LockOnHost(File& file, host::LockType type, host::ByteRange bytes);
  bool Reserve(size_t ranges, size_t limit);
  void GiveBack(size_t ranges) { used_.fetch_sub(ranges, std::memory_order_relaxed); }
  // After an Edit was applied for which growth, if above 0, was reserved.
  void Settle(ptrdiff_t growth) {
    if (growth < 0) GiveBack(static_cast<size_t>(-growth));
  }

  host::Export& tree_;
  OpenFileBudget& open_files_;
  const size_t limit_;
  std::atomic<uint64_t>& used_;
  std::mutex files_mutex_;  // Never held over a system call.
  absl::flat_hash_map<const host::Inode*, std::unique_ptr<File>> files_;
};

}  // namespace virtfs::session
