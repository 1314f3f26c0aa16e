#include "fsops/host/descriptor_cache.h"

#include <unistd.h>

#include <algorithm>
#include <cassert>

namespace virtfs::host {
namespace {

// Descriptors given up together.
constexpr size_t kAtOnce = 16;

}  // namespace

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

DescriptorCache::Victims DescriptorCache::TakeVictims(size_t limit, size_t aim) {
  // Bounded, since other threads wait; if all of these are in use, the next Add looks further round.
  constexpr size_t kMaxSteps = 64;

  Victims victims;
  const std::lock_guard lock(mutex_);
  if (held_ <= limit) return victims;
  const size_t wanted = std::min(held_ - aim, kAtOnce);
  for (size_t steps = std::min(slots_.size(), kMaxSteps); steps > 0 && victims.size() < wanted; --steps) {
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
    victims.push_back(InodeRef(&inode, InodeRef::Adopt()));
  }
  return victims;
}

void DescriptorCache::GetTokens(const Victims& victims) {
  std::vector<Inode*> without;
  std::vector<int> fds;
  for (const InodeRef& inode : victims) {
    if (inode->has_token_) continue;
    without.push_back(inode.get());
    fds.push_back(Inode::DescriptorOf(inode->state_.load(std::memory_order_relaxed)));
  }
  if (fds.empty()) return;
  const std::vector<Result<HandleToken>> tokens = broker_.KeepAll(fds);
  for (size_t i = 0; i < without.size(); ++i) {
    Inode& inode = *without[i];
    if (tokens[i]) {
      inode.token_ = *tokens[i];
      inode.has_token_ = true;
      continue;
    }
    const std::lock_guard lock(mutex_);
    const Errno error = tokens[i].error();
    if (error == Errno(EOPNOTSUPP)) {
      if (!HasNoHandles(inode)) no_handles_.push_back(inode.key_.dev);
    } else if (!(error == Errno(EXDEV))) {
      Link(inode);
    }
    // Otherwise it has none, and never will: asking again would cost a call of the broker each time round.
  }
}

bool DescriptorCache::CloseUnlessUsed(Inode& inode) {
  // Who revives it waits until its charge is settled. That it is charged cannot begin now: only a holder can do that,
  // and leaves kRecent behind.
  Usage::IdentityLock settling;
  if (usage_ != nullptr && usage_->IsCharged(inode)) settling = usage_->LockIdentity(inode.key_);
  const int fd = Inode::DescriptorOf(inode.state_.load(std::memory_order_relaxed));
  assert(fd >= 0);
  uint64_t state = Inode::State(fd, 1);
  if (!inode.state_.compare_exchange_strong(state, Inode::kNoDescriptor, std::memory_order_acq_rel,
                                            std::memory_order_relaxed)) {
    return false;
  }
  if (settling.owns_lock()) usage_->Leaves(inode, fd);
  close(fd);
  return true;
}

// `victims` came from TakeVictims: no other thread can be evicting them, since they are in no slot.
void DescriptorCache::Evict(const Victims& victims) {
  // Held while the broker is asked, during which other threads go on using the descriptors.
  for (const InodeRef& inode : victims) inode->state_.fetch_add(1, std::memory_order_acq_rel);
  GetTokens(victims);
  for (const InodeRef& inode : victims) {
    if (!inode->has_token_) {
      inode->Unhold();
      continue;
    }
    const bool evicted = CloseUnlessUsed(*inode);
    if (!evicted) inode->Unhold();
    const std::lock_guard lock(mutex_);
    if (evicted) {
      --held_;
    } else {
      Link(*inode);
    }
  }
}

void DescriptorCache::Trim() {
  // The more descriptors there are, the more go at once; a few only if there are few.
  const size_t spare = std::min(limit_ / 8, kAtOnce - 1);
  Evict(TakeVictims(limit_, limit_ - spare));
}

bool DescriptorCache::GiveUpSome() {
  const size_t before = held();
  for (int turn = 0; turn < 2; ++turn) Evict(TakeVictims(0, 0));
  return held() < before;
}

}  // namespace virtfs::host
