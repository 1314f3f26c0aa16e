#include "fsops/host/inode_table.h"

#include <unistd.h>

#include <cassert>
#include <optional>

namespace virtfs::host {

InodeTable::~InodeTable() { assert(size() == 0 && "an InodeRef outlives its Export"); }

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

InodeRef InodeTable::Shard::Find(const InodeKey& key, size_t hash) {
  for (Inode* inode = BucketOf(hash); inode != nullptr; inode = inode->next_in_bucket_) {
    // One without a reference is being destroyed; it takes itself out, and meanwhile has a successor beside it.
    if (inode->key_ == key && inode->TryRef()) return InodeRef(inode, InodeRef::Adopt());
  }
  return {};
}

InodeRef InodeTable::InternNew(UniqueFd& fd, const InodeKey& key, mode_t type, size_t hash) {
  // Where files are counted nobody removes this one until it is known whose its charge is.
  Usage::IdentityLock settling;
  std::optional<Usage::Count> nameless;
  if (usage_ != nullptr) {
    settling = usage_->LockIdentity(key);
    nameless = Usage::OfNameless(fd.get());
  }
  Shard& shard = ShardOf(hash);
  const std::lock_guard lock(shard.mutex);
  if (InodeRef found = shard.Find(key, hash)) return found;
  InodeRef made(new Inode(this, key, type, fd.release()), InodeRef::Adopt());
  shard.Insert(made.get(), hash);
  size_.fetch_add(1, std::memory_order_relaxed);
  if (nameless) usage_->Charge(*made, *nameless);
  return made;
}

Result<InodeRef> InodeTable::Intern(UniqueFd fd, const InodeKey& key, mode_t type) {
  const size_t hash = Hash(key);
  Shard& shard = ShardOf(hash);
  for (;;) {
    InodeRef found;
    {
      const std::lock_guard lock(shard.mutex);
      found = shard.Find(key, hash);
    }
    if (!found) found = InternNew(fd, key, type, hash);
    // Still there in a second round: Revive has taken it only if it succeeded.
    if (!fd.ok()) {  // NOLINT(bugprone-use-after-move)
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
    Usage::IdentityLock settling;
    std::optional<Usage::Count> nameless;
    if (usage_ != nullptr) {
      settling = usage_->LockIdentity(inode.key_);
      nameless = Usage::OfNameless(fd.get());
    }
    uint64_t state = Inode::kNoDescriptor;
    if (inode.state_.compare_exchange_strong(state, Inode::State(fd.get(), 1) | Inode::kRecent,
                                             std::memory_order_acq_rel, std::memory_order_relaxed)) {
      HeldDescriptor held(&inode, fd.release());
      if (nameless) usage_->Charge(inode, *nameless);
      if (usage_ != nullptr) settling.unlock();
      descriptors_.Add(inode);
      descriptors_.Trim();
      return held;
    }
    // Another thread was faster.
    if (const int other = inode.TryHold(); other >= 0) return HeldDescriptor(&inode, other);
  }
}

void InodeTable::Destroy(Inode* inode) {
  if (mapping_ != nullptr) mapping_->Forget(*inode);
  const size_t hash = Hash(inode->key_);
  {
    Shard& shard = ShardOf(hash);
    const std::lock_guard lock(shard.mutex);
    shard.Erase(inode, hash);
  }
  descriptors_.Remove(*inode);
  const int fd = Inode::DescriptorOf(inode->state_.load(std::memory_order_acquire));
  if (fd >= 0) {
    if (usage_ != nullptr && usage_->IsCharged(*inode)) {
      const Usage::IdentityLock settling = usage_->LockIdentity(inode->key_);
      usage_->Leaves(*inode, fd);
    }
    close(fd);
  }
  if (inode->has_token_) descriptors_.broker().Drop(inode->token_);
  delete inode;
  size_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace virtfs::host
