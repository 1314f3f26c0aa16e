// Usage: how many files a tree holds and how much space they take, kept within ExportOptions::max_files and max_space.
//
// Files: inodes of any type beneath the root, each once however many names it has. Space: of each regular file its size
// rounded up to kUnit, holes as if they were filled (docs/decisions/0009 says why). Both are counted by a scan at the
// start (Export::CountTree) and from there on exactly, by what this process does:
//
//     what makes a file takes room for it first        UsageRoom
//     what may grow a file takes the growth first      Write, Resize
//     a file without a name counts while an Inode has a descriptor of it, so that it can be used and can grow:
//       what may take a last name looks afterwards     UsageRemoval
//       then the charge is one Inode's own (gone_)     NameLost, Charge
//       and goes with that Inode's descriptor          Leaves
//
// What other processes of the host do meanwhile is not seen; counts never fall below 0 for it.
//
// Errors: ENOSPC, before anything was done.
// Threads: any. Locks, in this order: a directory's entries (entries_), which file it is and whether it has a name
// (identities_), gone_mutex_; and on its own, a file's size (sizes_). Striped by InodeKey, and held during system calls
// as the kernel holds its own locks of the same things: entries while they are changed, sizes during pwritev2
// and ftruncate. None of them is ever taken where nothing is counted: there is no Usage then.
// Internal to fsops/host.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

#include "absl/functional/function_ref.h"
#include "base/result.h"
#include "fsops/host/attributes.h"
#include "fsops/host/inode.h"
#include "fsops/host/usage_gauges.h"

namespace virtfs::host {

class Usage {
 public:
  static constexpr uint64_t kUnit = 4096;

  struct Count {
    uint64_t files = 0;
    uint64_t space = 0;  // bytes, a multiple of kUnit

    friend bool operator==(const Count&, const Count&) = default;
  };
  // What a file of `size` bytes takes.
  static constexpr uint64_t SpaceOf(uint64_t size) { return size / kUnit * kUnit + (size % kUnit == 0 ? 0 : kUnit); }

  // A limit of 0: none. Only whole units of `max_space` can be used. `gauges` is counted in, and must outlive the
  // Usage; null: where nobody looks.
  Usage(uint64_t max_files, uint64_t max_space, UsageGauges* gauges = nullptr)
      : max_files_(max_files),
        max_space_(max_space / kUnit * kUnit),
        limits_space_(max_space != 0),
        files_(gauges != nullptr ? gauges->files : own_gauges_.files),
        space_(gauges != nullptr ? gauges->space : own_gauges_.space) {}
  Usage(const Usage&) = delete;
  Usage& operator=(const Usage&) = delete;

  // Space is up to date only where it is limited.
  Count now() const { return {files_.load(), space_.load()}; }
  bool limits_space() const { return limits_space_; }
  // What was there before.
  void Add(const Count& found);
  // The smaller of the limits and of what the file system has.
  void Limit(FileSystemStatus& status) const;

  // --- content ---

  // `write`, which may write `size` bytes at `offset` (none: at the end) to the file `key` that `fd` refers to, is
  // called with how many it may; fewer if the rest does not fit. Overwriting goes on at the same time, growing takes
  // turns.
  Result<size_t> Write(int fd, const InodeKey& key, std::optional<uint64_t> offset, size_t size,
                       absl::FunctionRef<Result<size_t>(size_t)> write);
  // `resize` gives the file `size` bytes, or fails.
  Result<void> Resize(int fd, const InodeKey& key, uint64_t size, absl::FunctionRef<Result<void>()> resize);

  // --- names ---

  using EntriesLock = std::unique_lock<std::mutex>;
  EntriesLock LockEntries(const InodeKey& dir) { return EntriesLock(entries_[Hash(dir) % entries_.size()]); }

  using IdentityLock = std::unique_lock<std::mutex>;
  IdentityLock LockIdentity(const InodeKey& key) { return IdentityLock(identities_[Hash(key) % identities_.size()]); }

  // Files without a name. With the identity locked: `inode`, which is held, may have lost a name.
  void NameLost(const Inode& inode, int fd);
  // What the file takes; nothing if it has a name.
  static std::optional<Count> OfNameless(int fd);
  // With the identity locked: `inode` gets a descriptor of a file that takes `count` and has no name. It was removed
  // after it was looked up, or comes from a session's image, or was evicted and somebody else has it open.
  void Charge(const Inode& inode, const Count& count);
  // With the identity locked: `inode` has lost its descriptor `fd`, which is still open.
  void Leaves(const Inode& inode, int fd);
  // Whether Leaves would have something to do.
  bool IsCharged(const Inode& inode);

 private:
  friend class UsageRemoval;
  friend class UsageRoom;

  static size_t Hash(const InodeKey& key) { return InodeKeyHash()(key); }
  static bool Take(std::atomic<uint64_t>& used, uint64_t limit, uint64_t amount);
  static void GiveBack(std::atomic<uint64_t>& used, uint64_t amount);
  bool TakeRoom(const Count& room);
  void GiveBack(const Count& room);
  // Takes `most` of the space, or as much as there is of it; nothing if that is less than `least`.
  uint64_t TakeSpace(uint64_t least, uint64_t most);
  // A file was charged `charged` bytes; from now on as many as it has.
  void Settle(int fd, uint64_t charged);

  const uint64_t max_files_;
  const uint64_t max_space_;
  const bool limits_space_;
  UsageGauges own_gauges_;
  std::atomic<uint64_t>& files_;
  std::atomic<uint64_t>& space_;

  std::array<std::mutex, 64> entries_;
  std::array<std::mutex, 64> identities_;
  std::array<std::shared_mutex, 128> sizes_;

  std::mutex gone_mutex_;
  // gone_mutex_: the files without a name that are charged, and the Inode that each charge is bound to.
  std::unordered_map<InodeKey, const Inode*, InodeKeyHash> gone_;
  std::atomic<size_t> gone_count_{0};
};

// Room for one new file, given back unless the file was made. While it lives nobody else in this process changes
// entries of that directory, so that no UsageRemoval overlooks the new one. Empty: nothing is counted.
class UsageRoom {
 public:
  UsageRoom() = default;
  // ENOSPC. `size`: of what the file holds from the start.
  static Result<UsageRoom> Take(Usage& usage, const InodeKey& dir, uint64_t size);
  UsageRoom(UsageRoom&& other) noexcept
      : usage_(std::exchange(other.usage_, nullptr)), room_(other.room_), entries_(std::move(other.entries_)) {}
  UsageRoom& operator=(UsageRoom&&) = delete;
  ~UsageRoom() {
    if (usage_ != nullptr) usage_->GiveBack(room_);
  }

  // The file is there.
  void Used() { usage_ = nullptr; }

 private:
  Usage* usage_ = nullptr;
  Usage::Count room_;
  Usage::EntriesLock entries_;
};

// An entry that an unlinkat or a renameat is about to take from a file. While it lives nobody else in this process
// changes entries of that directory. Empty: nothing is counted.
class UsageRemoval {
 public:
  UsageRemoval() = default;
  // First the directory, then, if the entry is there, its file.
  UsageRemoval(Usage& usage, const InodeKey& dir) : usage_(&usage), entries_(usage.LockEntries(dir)) {}
  void Of(InodeRef file, HeldDescriptor held);
  UsageRemoval(UsageRemoval&&) = default;
  UsageRemoval& operator=(UsageRemoval&&) = delete;

  // The system call itself.
  Result<void> During(absl::FunctionRef<Result<void>()> remove);

 private:
  Usage* usage_ = nullptr;
  Usage::EntriesLock entries_;
  InodeRef inode_;
  std::optional<HeldDescriptor> held_;  // after inode_: released before the reference
};

}  // namespace virtfs::host
