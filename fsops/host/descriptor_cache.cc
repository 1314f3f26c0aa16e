#include "fsops/host/descriptor_cache.h"

#include <unistd.h>

#include <algorithm>
#include <cassert>

namespace virtfs::host {

void DescriptorCache::Link(Inode& inode) {
  inode.slot_ = static_cast<uint32_t>(slots_.size());
  slots_.push_back(&inode);
}

void DescriptorCache::Unlink(Inode& inode) {
  Inode* const last = slots_.back();
  slots_[inode.slot_] = last;
  last->slot_ = inode.slot_;
  slots_.pop_back();
  inode.slot_ = Inode::kNoSlot;
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
  if (inode.slot_ != Inode::kNoSlot) Unlink(inode);
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
  for (size_t steps = std::min(slots_.size(), kMaxSteps); steps > 0; --steps) {
    if (hand_ >= slots_.size()) hand_ = 0;
    Inode& inode = *slots_[hand_];
    if (HasNoHandles(inode)) {  // got its slot before that was known
      Unlink(inode);
      continue;
    }
    // Past this slot in any case: who leaves it is followed by the newest, whose turn is a whole round from now.
    ++hand_;
    const uint64_t state = inode.state_.fetch_and(~Inode::kRecent, std::memory_order_relaxed);
    const bool used = (state & Inode::kRecent) != 0 || Inode::HoldersOf(state) > 0;
    // Without a reference to take it is being destroyed, and its Remove waits for this lock.
    if (used || !inode.TryRef()) continue;
    Unlink(inode);
    return InodeRef(&inode, InodeRef::Adopt());
  }
  return {};
}

// `inode` came from TakeVictim: no other thread can be evicting it, since it is in no slot.
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
      // This one has none, and never will: asking again would cost a call of the broker each time round.
      if (token.error() == Errno(EXDEV)) return true;
      Link(inode);
      return false;
    }
    inode.token_ = *token;
    inode.has_token_ = true;
  }

  // Who revives it waits until its charge is settled. That it is charged cannot begin now: only a holder can do that,
  // and leaves kRecent behind.
  Usage::IdentityLock settling;
  if (usage_ != nullptr && usage_->IsCharged(inode)) settling = usage_->LockIdentity(inode.key_);
  // Only if nobody else holds it, and nobody has used it since it was chosen.
  state = Inode::State(fd, 1);
  const bool evicted = inode.state_.compare_exchange_strong(state, Inode::kNoDescriptor, std::memory_order_acq_rel,
                                                            std::memory_order_relaxed);
  if (evicted) {
    if (settling.owns_lock()) usage_->Leaves(inode, fd);
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

}  // namespace virtfs::host
