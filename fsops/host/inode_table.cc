#include "fsops/host/inode_table.h"

#include <unistd.h>

#include <algorithm>
#include <cassert>

namespace virtfs::host {

// --- Inode ---

int Inode::TryHold() {
  uint64_t state = state_.load(std::memory_order_acquire);
  for (;;) {
    if (DescriptorOf(state) < 0) return -1;
    if (state_.compare_exchange_weak(state, (state + 1) | kRecent, std::memory_order_acq_rel,
                                     std::memory_order_acquire)) {
      return DescriptorOf(state);
    }
  }
}

Result<HeldDescriptor> Inode::Hold() {
  const int fd = TryHold();
  if (fd >= 0) return HeldDescriptor(this, fd);
  return table_->Revive(*this, UniqueFd());
}

bool Inode::TryRef() {
  uint32_t count = references_.load(std::memory_order_relaxed);
  while (count != 0) {
    if (references_.compare_exchange_weak(count, count + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void Inode::Unref() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) table_->Destroy(this);
}

// --- DescriptorCache ---

void DescriptorCache::Link(Inode& inode) {
  inode.listed_ = true;
  inode.previous_ = newest_;
  inode.next_ = nullptr;
  (newest_ == nullptr ? oldest_ : newest_->next_) = &inode;
  newest_ = &inode;
  ++listed_;
}

void DescriptorCache::Unlink(Inode& inode) {
  inode.listed_ = false;
  (inode.previous_ == nullptr ? oldest_ : inode.previous_->next_) = inode.next_;
  (inode.next_ == nullptr ? newest_ : inode.next_->previous_) = inode.previous_;
  --listed_;
}

void DescriptorCache::Add(Inode& inode) {
  const std::lock_guard lock(mutex_);
  ++held_;
  if (!HasNoHandles(inode)) Link(inode);
}

bool DescriptorCache::HasNoHandles(const Inode& inode) const {
  return std::find(no_handles_.begin(), no_handles_.end(), inode.key_.dev) != no_handles_.end();
}

void DescriptorCache::Remove(Inode& inode) {
  const std::lock_guard lock(mutex_);
  if (inode.listed_) Unlink(inode);
  if (Inode::DescriptorOf(inode.state_.load(std::memory_order_acquire)) >= 0) --held_;
}

size_t DescriptorCache::held() const {
  const std::lock_guard lock(mutex_);
  return held_;
}

InodeRef DescriptorCache::TakeVictim(size_t limit) {
  // Bounded, since other threads wait; if all of these are in use, the next Add looks further round.
  constexpr size_t kMaxSteps = 64;

  const std::lock_guard lock(mutex_);
  if (held_ <= limit) return {};
  for (size_t steps = std::min(listed_, kMaxSteps); steps > 0; --steps) {
    Inode& inode = *oldest_;
    Unlink(inode);
    if (HasNoHandles(inode)) continue;  // listed before that was known
    const uint64_t state = inode.state_.fetch_and(~Inode::kRecent, std::memory_order_relaxed);
    const bool used = (state & Inode::kRecent) != 0 || Inode::HoldersOf(state) > 0;
    // Without a reference to take it is being destroyed, and its Remove waits for this lock.
    if (!used && inode.TryRef()) return InodeRef(&inode, InodeRef::Adopt());
    Link(inode);
  }
  return {};
}

// `inode` came from TakeVictim: no other thread can be evicting it, since it is in no list.
bool DescriptorCache::Evict(Inode& inode) {
  uint64_t state = inode.state_.fetch_add(1, std::memory_order_acq_rel) + 1;
  const int fd = Inode::DescriptorOf(state);
  assert(fd >= 0);

  if (!inode.has_token_) {
    // Other threads go on using the descriptor meanwhile.
    Result<HandleToken> token = broker_.Keep(fd);
    if (!token) {
      inode.Unhold();
      const std::lock_guard lock(mutex_);
      if (token.error() == Errno(EOPNOTSUPP)) {
        if (!HasNoHandles(inode)) no_handles_.push_back(inode.key_.dev);
        return true;
      }
      Link(inode);
      return token.error() == Errno(EXDEV);
    }
    inode.token_ = *token;
    inode.has_token_ = true;
  }

  // Only if nobody else holds it, and nobody has used it since it was chosen.
  state = Inode::State(fd, 1);
  const bool evicted = inode.state_.compare_exchange_strong(state, Inode::kNoDescriptor, std::memory_order_acq_rel,
                                                            std::memory_order_relaxed);
  if (evicted) {
    close(fd);
  } else {
    inode.Unhold();
  }
  const std::lock_guard lock(mutex_);
  if (evicted) {
    --held_;
  } else {
    Link(inode);
  }
  return true;
}

void DescriptorCache::Trim(size_t limit, int turns) {
  for (; turns > 0; --turns) {
    const InodeRef victim = TakeVictim(limit);
    if (!victim || !Evict(*victim)) return;
  }
}

void DescriptorCache::Trim() {
  // More than one, so that what was over the limit while all were in use is worked off.
  Trim(limit_, 8);
}

bool DescriptorCache::GiveUpSome() {
  const size_t before = held();
  Trim(0, 32);
  return held() < before;
}

// --- InodeTable ---

InodeTable::~InodeTable() { assert(size() == 0 && "an InodeRef outlives its Export"); }

size_t InodeTable::Hash(const InodeKey& key) {
  // Inode numbers are mostly consecutive: the multiplications spread them over the upper bits, which choose the shard,
  // and the folds over the lower ones, which choose the bucket.
  uint64_t hash = (key.ino ^ (key.dev << 32 | key.dev >> 32)) * 0x9e3779b97f4a7c15;
  hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93;
  return hash ^ hash >> 32;
}

void InodeTable::Shard::Insert(Inode* inode, size_t hash) {
  if (size >= buckets.size()) Grow();
  inode->next_in_bucket_ = std::exchange(BucketOf(hash), inode);
  ++size;
}

void InodeTable::Shard::Erase(const Inode* inode, size_t hash) {
  for (Inode** link = &BucketOf(hash); *link != nullptr; link = &(*link)->next_in_bucket_) {
    if (*link != inode) continue;
    *link = inode->next_in_bucket_;
    --size;
    return;
  }
}

void InodeTable::Shard::Grow() {
  std::vector<Inode*> old(buckets.size() * 2);
  old.swap(buckets);
  for (Inode* inode : old) {
    while (inode != nullptr) {
      Inode* const next = inode->next_in_bucket_;
      inode->next_in_bucket_ = std::exchange(BucketOf(Hash(inode->key_)), inode);
      inode = next;
    }
  }
}

Result<InodeRef> InodeTable::Intern(UniqueFd fd, const InodeKey& key, mode_t type) {
  const size_t hash = Hash(key);
  Shard& shard = ShardOf(hash);
  for (;;) {
    InodeRef found;
    {
      const std::lock_guard lock(shard.mutex);
      for (Inode* inode = shard.BucketOf(hash); inode != nullptr; inode = inode->next_in_bucket_) {
        // One without a reference is being destroyed; it takes itself out, and meanwhile has a successor beside it.
        if (inode->key_ == key && inode->TryRef()) {
          found = InodeRef(inode, InodeRef::Adopt());
          break;
        }
      }
      if (!found) {
        found = InodeRef(new Inode(this, key, type, fd.release()), InodeRef::Adopt());
        shard.Insert(found.get(), hash);
        size_.fetch_add(1, std::memory_order_relaxed);
      }
    }
    if (!fd.ok()) {
      descriptors_.Add(*found);
      descriptors_.Trim();
      return found;
    }

    // A file whose descriptor is held keeps its number, and `fd` is held too: the two are the same.
    if (found->TryHold() >= 0) {
      found->Unhold();
      return found;
    }
    // An evicted one may have been deleted and its number given to another within one tick of the file system's clock.
    // Only the broker can tell: what it still finds is the old file, and then both are the same as above.
    Result<HeldDescriptor> revived = Revive(*found, std::move(fd));
    if (revived) return found;
    if (!(revived.error() == Errno(ESTALE))) return revived.error();
    const std::lock_guard lock(shard.mutex);
    shard.Erase(found.get(), hash);
  }
}

Result<HeldDescriptor> InodeTable::Revive(Inode& inode, UniqueFd&& fresh) {
  // The caller has seen that there is no descriptor, after which the token stays as it is.
  Result<UniqueFd> again = descriptors_.broker().Reopen(inode.token_);
  if (!again && again.error() == Errno(EMFILE) && descriptors_.GiveUpSome()) {
    again = descriptors_.broker().Reopen(inode.token_);
  }
  if (!again) return again.error();

  UniqueFd fd = fresh.ok() ? std::move(fresh) : *std::move(again);
  for (;;) {
    uint64_t state = Inode::kNoDescriptor;
    if (inode.state_.compare_exchange_strong(state, Inode::State(fd.get(), 1) | Inode::kRecent,
                                             std::memory_order_acq_rel, std::memory_order_relaxed)) {
      HeldDescriptor held(&inode, fd.release());
      descriptors_.Add(inode);
      descriptors_.Trim();
      return held;
    }
    // Another thread was faster.
    if (const int other = inode.TryHold(); other >= 0) return HeldDescriptor(&inode, other);
  }
}

void InodeTable::Destroy(Inode* inode) {
  const size_t hash = Hash(inode->key_);
  {
    Shard& shard = ShardOf(hash);
    const std::lock_guard lock(shard.mutex);
    shard.Erase(inode, hash);
  }
  descriptors_.Remove(*inode);
  const int fd = Inode::DescriptorOf(inode->state_.load(std::memory_order_acquire));
  if (fd >= 0) close(fd);
  if (inode->has_token_) descriptors_.broker().Drop(inode->token_);
  delete inode;
  size_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace virtfs::host
