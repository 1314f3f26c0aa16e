#include "fsops/host/usage.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "fsops/host/kernel.h"

namespace virtfs::host {
namespace {

Result<uint64_t> SizeOf(int fd) {
  struct statx stat;
  if (Result<void> done = StatX(fd, "", &stat); !done) return done.error();
  return uint64_t{stat.stx_size};
}

Usage::Count CountOf(const struct statx& stat) {
  return {.files = 1, .space = S_ISREG(stat.stx_mode) ? Usage::SpaceOf(stat.stx_size) : 0};
}

}  // namespace

// --- counting ---

bool Usage::Take(std::atomic<uint64_t>& used, uint64_t limit, uint64_t amount) {
  uint64_t before = used.load(std::memory_order_relaxed);
  do {
    if (amount > 0 && (before > limit || amount > limit - before)) return false;
  } while (!used.compare_exchange_weak(before, before + amount, std::memory_order_relaxed));
  return true;
}

// No further than to 0: what a host process made or grew was never taken.
void Usage::GiveBack(std::atomic<uint64_t>& used, uint64_t amount) {
  uint64_t before = used.load(std::memory_order_relaxed);
  while (!used.compare_exchange_weak(before, before - std::min(before, amount), std::memory_order_relaxed)) {
  }
}

bool Usage::TakeRoom(const Count& room) {
  if (!Take(files_, max_files_ == 0 ? UINT64_MAX : max_files_, room.files)) return false;
  if (Take(space_, limits_space_ ? max_space_ : UINT64_MAX, room.space)) return true;
  GiveBack(files_, room.files);
  return false;
}

void Usage::GiveBack(const Count& room) {
  GiveBack(files_, room.files);
  GiveBack(space_, room.space);
}

uint64_t Usage::TakeSpace(uint64_t least, uint64_t most) {
  uint64_t before = space_.load(std::memory_order_relaxed);
  uint64_t taken;
  do {
    taken = std::min(most, max_space_ - std::min(max_space_, before));
    if (taken < least) return 0;
  } while (!space_.compare_exchange_weak(before, before + taken, std::memory_order_relaxed));
  return taken;
}

void Usage::Add(const Count& found) {
  files_ += found.files;
  space_ += found.space;
}

void Usage::Limit(FileSystemStatus& status) const {
  const Count used = now();
  if (max_files_ != 0) {
    const uint64_t free = max_files_ - std::min(max_files_, used.files);
    // Some file systems make inodes as they are needed and say 0.
    status.free_files = status.files == 0 ? free : std::min(status.free_files, free);
    status.files = status.files == 0 ? max_files_ : std::min(status.files, max_files_);
  }
  if (limits_space_ && status.block_size != 0) {
    const uint64_t free = (max_space_ - std::min(max_space_, used.space)) / status.block_size;
    status.blocks = std::min(status.blocks, max_space_ / status.block_size);
    status.free_blocks = std::min(status.free_blocks, free);
    status.available_blocks = std::min(status.available_blocks, free);
  }
}

// --- content ---

void Usage::Settle(int fd, uint64_t charged) {
  // If its size cannot be had the file keeps what it was charged, until the next start.
  const Result<uint64_t> size = SizeOf(fd);
  if (!size) return;
  const uint64_t space = SpaceOf(*size);
  if (space < charged) GiveBack(space_, charged - space);
  if (space > charged) space_ += space - charged;
}

Result<size_t> Usage::Write(int fd, const InodeKey& key, std::optional<uint64_t> offset, size_t size,
                            absl::FunctionRef<Result<size_t>(size_t)> write) {
  const bool beyond_all_files = offset && *offset > INT64_MAX;  // refused by `write`
  if (size == 0 || beyond_all_files) return write(size);
  std::shared_mutex& mutex = sizes_[Hash(key) % sizes_.size()];
  if (offset) {
    // Nobody makes the file smaller meanwhile; who makes it larger does so within the space it has.
    const std::shared_lock overwriting(mutex);
    const Result<uint64_t> held = SizeOf(fd);
    if (!held) return held.error();
    if (*offset + size <= SpaceOf(*held)) return write(size);
  }

  const std::lock_guard growing(mutex);
  const Result<uint64_t> held = SizeOf(fd);
  if (!held) return held.error();
  const uint64_t from = offset.value_or(*held);
  const uint64_t before = SpaceOf(*held);
  const auto growth = [&](uint64_t end) { return std::max(SpaceOf(end), before) - before; };
  const uint64_t wanted = growth(from + size);
  const uint64_t taken = TakeSpace(growth(from + 1), wanted);
  const uint64_t charged = before + taken;
  if (taken < wanted) {
    if (charged <= from) return Errno(ENOSPC);
    size = charged - from;
  }
  Result<size_t> written = write(size);
  if (!written || *written < size) Settle(fd, charged);
  return written;
}

Result<void> Usage::Resize(int fd, const InodeKey& key, uint64_t size, absl::FunctionRef<Result<void>()> resize) {
  if (!limits_space_) return resize();
  const std::lock_guard lock(sizes_[Hash(key) % sizes_.size()]);
  const Result<uint64_t> held = SizeOf(fd);
  if (!held) return held.error();
  const uint64_t before = SpaceOf(*held);
  const uint64_t charged = std::max(before, SpaceOf(size));
  if (!TakeRoom({.files = 0, .space = charged - before})) return Errno(ENOSPC);
  Result<void> resized = resize();
  Settle(fd, charged);
  return resized;
}

// --- files without a name ---

std::optional<Usage::Count> Usage::OfNameless(int fd) {
  struct statx stat;
  if (!StatX(fd, "", &stat) || stat.stx_nlink != 0) return std::nullopt;
  return CountOf(stat);
}

void Usage::NameLost(const Inode& inode, int fd) {
  if (!OfNameless(fd)) return;
  const std::lock_guard lock(gone_mutex_);
  gone_[inode.key()] = &inode;
  gone_count_ = gone_.size();
}

void Usage::Charge(const Inode& inode, const Count& count) {
  const std::lock_guard lock(gone_mutex_);
  // Another one than `inode` is being destroyed.
  const bool charged = std::exchange(gone_[inode.key()], &inode) != nullptr;
  if (!charged) Add(count);
  gone_count_ = gone_.size();
}

bool Usage::IsCharged(const Inode& inode) {
  if (gone_count_ == 0) return false;
  const std::lock_guard lock(gone_mutex_);
  const auto gone = gone_.find(inode.key());
  return gone != gone_.end() && gone->second == &inode;
}

void Usage::Leaves(const Inode& inode, int fd) {
  struct statx stat;
  const bool known = StatX(fd, "", &stat).ok();
  const std::lock_guard lock(gone_mutex_);
  const auto gone = gone_.find(inode.key());
  if (gone == gone_.end() || gone->second != &inode) return;
  gone_.erase(gone);
  gone_count_ = gone_.size();
  if (known) GiveBack(CountOf(stat));
}

// --- what takes part ---

Result<UsageRoom> UsageRoom::Take(Usage& usage, const InodeKey& dir, uint64_t size) {
  UsageRoom room;
  room.room_ = {.files = 1, .space = Usage::SpaceOf(size)};
  room.entries_ = usage.LockEntries(dir);
  if (!usage.TakeRoom(room.room_)) return Errno(ENOSPC);
  room.usage_ = &usage;
  return room;
}

void UsageRemoval::Of(InodeRef file, HeldDescriptor held) {
  inode_ = std::move(file);
  held_.emplace(std::move(held));
}

Result<void> UsageRemoval::During(absl::FunctionRef<Result<void>()> remove) {
  if (!held_) return remove();
  const Usage::IdentityLock lock = usage_->LockIdentity(inode_->key());
  Result<void> done = remove();
  if (done) usage_->NameLost(*inode_, held_->get());
  return done;
}

}  // namespace virtfs::host
