#include "fsops/session/locks.h"

#include <string>

namespace virtfs::session {

using host::Access;
using host::ByteRange;
using host::LockType;

class Locks::Use {
 public:
  Use(Locks& locks, host::Inode& inode) : locks_(locks) {
    {
      const std::lock_guard lock(locks.files_mutex_);
      std::unique_ptr<File>& file = locks.files_[&inode];
      if (file == nullptr) file = std::make_unique<File>(inode);
      file_ = file.get();
      ++file_->users;
    }
    file_->mutex.lock();
  }
  ~Use() {
    file_->mutex.unlock();
    std::unique_ptr<File> unused;  // Closed after the lock.
    const std::lock_guard lock(locks_.files_mutex_);
    // Nobody else can have come to its table: that takes being counted.
    if (--file_->users > 0 || !file_->table.empty()) return;
    const auto entry = locks_.files_.find(file_->inode.get());
    unused = std::move(entry->second);
    locks_.files_.erase(entry);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  File& operator*() const { return *file_; }
  File* operator->() const { return file_; }

 private:
  Locks& locks_;
  File* file_;
};

bool Locks::Reserve(size_t ranges, size_t limit) {
  if (used_.fetch_add(ranges, std::memory_order_relaxed) + ranges <= limit) return true;
  GiveBack(ranges);
  return false;
}

Result<void> Locks::OpenFor(File& file, LockType type) {
  if (file.host.has_value() && file.host->CanHold(type)) return {};
  if (!file.slot.has_value()) {
    Result<OpenFileBudget::Slot> slot = open_files_.Take();
    if (!slot.ok()) return slot.error();
    file.slot.emplace(*std::move(slot));
  }
  // Only for reading as long as that will do: a host process may want to execute the file, or to hold a lease.
  const bool only_read = type == LockType::kRead && !file.host.has_value();
  Result<host::LockFile> opened = tree_.OpenForLocks(*file.inode, only_read ? Access::kRead : Access::kReadWrite);
  // A user who may write and not read is refused both; write locks take only the one.
  if (!opened.ok() && opened.error() == Errno(EACCES) && type == LockType::kWrite && !file.host.has_value()) {
    opened = tree_.OpenForLocks(*file.inode, Access::kWrite);
  }
  if (!opened.ok()) return opened.error();
  // Read locks do not conflict with each other, so the new description gets them while the old one still has them. (The
  // write locks of a description that could not read do conflict: such a file gets no read locks.)
  for (const auto& [owner, range] : file.table.All()) {
    const Result<bool> locked = opened->Lock(range.type, range.bytes);
    if (!locked.ok()) return locked.error();
    if (!*locked) return Errno(EACCES);
  }
  file.host = *std::move(opened);
  return {};
}

Result<bool> Locks::LockOnHost(File& file, LockType type, ByteRange bytes) {
  if (Result<void> open = OpenFor(file, type); !open.ok()) return open.error();
  return file.host->Lock(type, bytes);
}

Result<bool> Locks::Lock(host::Inode& inode, const LockOwner& owner, const LockedRange& range) {
  const Use file(*this, inode);
  if (file->table.Conflict(owner, range.type, range.bytes).has_value()) return false;
  const LockTable::Edit edit = file->table.PlanLock(owner, range);
  const ptrdiff_t growth = edit.growth();
  const size_t more = growth > 0 ? static_cast<size_t>(growth) : 0;
  if (more > 0 && !Reserve(more, limit_)) return Errno(ENOLCK);
  // Of these bytes nobody else holds more than a read lock, and that only if this is one too: so the union of what all
  // hold is this very type, and the host decides in one step.
  const Result<bool> locked = LockOnHost(*file, range.type, range.bytes);
  if (!locked.ok() || !*locked) {
    GiveBack(more);
    return locked;
  }
  file->table.Apply(edit);
  Settle(growth);
  return true;
}

Result<void> Locks::Unlock(host::Inode& inode, const LockOwner& owner, ByteRange bytes) {
  const Use file(*this, inode);
  if (!file->host.has_value()) return {};
  LockTable::Edit edit = file->table.PlanUnlock(owner, bytes);
  const ptrdiff_t growth = edit.growth();
  const size_t more = growth > 0 ? static_cast<size_t>(growth) : 0;
  if (more > 0 && !Reserve(more, 2 * limit_)) return Errno(ENOLCK);
  for (const ByteRange& unheld : file->table.Unheld(bytes, &owner)) {
    const Result<void> unlocked = file->host->Unlock(unheld);
    if (unlocked.ok()) continue;
    // What went before is gone there, and now here.
    GiveBack(more);
    if (unheld.first > bytes.first) {
      edit = file->table.PlanUnlock(owner, {bytes.first, unheld.first - 1});
      if (edit.growth() > 0) Reserve(static_cast<size_t>(edit.growth()), SIZE_MAX);
      file->table.Apply(edit);
      Settle(edit.growth());
    }
    return unlocked;
  }
  file->table.Apply(edit);
  Settle(growth);
  return {};
}

Result<std::optional<Locks::Holder>> Locks::Test(const host::OpenFile& file, const LockOwner& owner, LockType type,
                                                 ByteRange bytes) {
  const Use use(*this, file.inode());
  if (std::optional<Holder> holder = use->table.Conflict(owner, type, bytes)) return holder;
  const Result<std::optional<host::HostLock>> found =
      use->host.has_value() ? use->host->Test(type, bytes) : host::LockFile::Test(file, type, bytes);
  if (!found.ok()) return found.error();
  if (!found->has_value()) return std::optional<Holder>();
  const host::HostLock& lock = **found;
  return std::optional(
      Holder{.owner = {.proc_id = lock.pid, .client_id = "host"}, .type = lock.type, .bytes = lock.bytes});
}

void Locks::Release(host::Inode& inode, p9::Fid fid) {
  const Use file(*this, inode);
  const LockTable::Released released = file->table.Release(fid);
  GiveBack(released.ranges);
  if (file->table.empty()) {
    file->host.reset();  // With all its locks; before the answer, whoever else waits for this file.
    file->slot.reset();
    return;
  }
  for (const ByteRange& bytes : released.unheld) static_cast<void>(file->host->Unlock(bytes));
}

void Locks::Clear() {
  const std::lock_guard lock(files_mutex_);
  files_.clear();
  used_.store(0, std::memory_order_relaxed);
}

Result<std::vector<Locks::Saved>> Locks::Save() {
  std::vector<Saved> all;
  const std::lock_guard lock(files_mutex_);
  for (const auto& [inode, file] : files_) {
    Result<UniqueFd> shared = file->host->Share();
    if (!shared.ok()) return shared.error();
    all.push_back({.inode = file->inode,
                   .ranges = file->table.All(),
                   .shared = std::make_shared<const UniqueFd>(*std::move(shared))});
  }
  return all;
}

Result<std::vector<p9::Fid>> Locks::Restore(const Saved& saved) {
  std::vector<p9::Fid> lost;
  {
    const Use file(*this, *saved.inode);
    if (saved.shared != nullptr) {
      Result<host::LockFile> adopted = tree_.AdoptLockFile(*saved.inode, *saved.shared);
      if (!adopted.ok()) return adopted.error();
      Result<OpenFileBudget::Slot> slot = open_files_.Take();
      if (!slot.ok()) return slot.error();
      file->slot.emplace(*std::move(slot));
      file->host = *std::move(adopted);
    }
    for (const auto& [owner, range] : saved.ranges) {
      if (file->table.Conflict(owner, range.type, range.bytes).has_value()) return Errno(EINVAL);
      const LockTable::Edit edit = file->table.PlanLock(owner, range);
      if (edit.growth() != 1 || !Reserve(1, 2 * limit_)) return Errno(EINVAL);
      // Changes nothing where the description has it already, which is how one knows that it has.
      const Result<bool> locked = LockOnHost(*file, range.type, range.bytes);
      if (locked.ok() && *locked) {
        file->table.Apply(edit);
      } else {
        GiveBack(1);
        lost.push_back(range.fid);
      }
    }
  }
  for (const p9::Fid fid : lost) Release(*saved.inode, fid);
  return lost;
}

}  // namespace virtfs::session
