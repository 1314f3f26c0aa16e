// DescriptorCache: which of an export's Inodes keep a descriptor.
//
// Keeps their number at a limit by the clock algorithm (an approximation of least recently used in which a use costs no
// lock): Inodes with a descriptor stand in slots, round which a hand goes; whom it finds loses the descriptor, unless
// it was used since the last time round. Before a descriptor is closed the broker gets to know its file. That is asked
// for several at once, since asking is what takes time.
//
// Threads: any. The lock is not held during a system call or a call of the broker. Internal to fsops/host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "fsops/host/handle_broker.h"
#include "fsops/host/inode.h"
#include "fsops/host/usage.h"

namespace virtfs::host {

class DescriptorCache {
 public:
  // `usage` may be null, else it outlives this.
  DescriptorCache(HandleBroker& broker, size_t limit, Usage* usage) : broker_(broker), limit_(limit), usage_(usage) {}

  // `inode`, which has just got a descriptor, takes part from now on. The caller has a reference.
  void Add(Inode& inode);
  // `inode` is about to be destroyed.
  void Remove(Inode& inode);
  // Gives descriptors up until at most the limit is held, or nobody can give one up at once.
  void Trim();
  // The process is out of descriptors: gives some up whatever the limit. False: none.
  bool GiveUpSome();

  HandleBroker& broker() { return broker_; }
  size_t held() const;

 private:
  using Victims = std::vector<InodeRef>;

  // Those whose turn it is, out of their slots: so many that `aim` are held without them, or less. None while `limit`
  // is not exceeded.
  Victims TakeVictims(size_t limit, size_t aim);
  void Evict(const Victims& victims);
  // `inode` has a token and is held by the caller. False: somebody else holds it, or has used it since it was chosen;
  // it is held still.
  bool CloseUnlessUsed(Inode& inode);
  // Gets tokens for those that have none; without one an Inode cannot be evicted.
  void GetTokens(const Victims& victims);
  bool HasNoHandles(const Inode& inode) const;
  void Link(Inode& inode);
  void Unlink(Inode& inode);

  HandleBroker& broker_;
  const size_t limit_;
  Usage* const usage_;
  mutable std::mutex mutex_;
  std::vector<Inode*> slots_;
  size_t hand_ = 0;                   // the next slot to look at
  size_t held_ = 0;                   // in a slot or not
  std::vector<uint64_t> no_handles_;  // devices whose file systems have none; their Inodes are in no slot
};

}  // namespace virtfs::host
