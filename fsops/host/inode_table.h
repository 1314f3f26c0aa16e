// InodeTable: the Inodes of one export, one per file, and DescriptorCache: which of them keep a descriptor.
//
// Threads: any. No lock of these is held during a system call or a call of the broker.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/handle_broker.h"
#include "fsops/host/inode.h"

namespace virtfs::host {

// Keeps the number of descriptors at its limit by the clock algorithm (an approximation of least recently used in which
// a use costs no lock): Inodes with a descriptor stand in a list; the oldest goes, or, if it was used since the last
// time round, goes back to the end.
class DescriptorCache {
 public:
  DescriptorCache(HandleBroker& broker, size_t limit) : broker_(broker), limit_(limit) {}

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
  void Trim(size_t limit, int turns);
  // Whose turn it is, out of the list and with a reference; empty if there is none near.
  InodeRef TakeVictim(size_t limit);
  // False: no use in trying others now.
  bool Evict(Inode& inode);
  bool HasNoHandles(const Inode& inode) const;
  void Link(Inode& inode);
  void Unlink(Inode& inode);

  HandleBroker& broker_;
  const size_t limit_;
  mutable std::mutex mutex_;
  Inode* oldest_ = nullptr;
  Inode* newest_ = nullptr;
  size_t listed_ = 0;
  size_t held_ = 0;                   // listed or not
  std::vector<uint64_t> no_handles_;  // devices whose file systems have none; their Inodes are never listed
};

class InodeTable {
 public:
  InodeTable(HandleBroker& broker, size_t max_descriptors) : descriptors_(broker, max_descriptors) {}
  ~InodeTable();

  // The Inode of the file that O_PATH descriptor `fd` refers to and that `key` and `type` (S_IFMT) describe.
  Result<InodeRef> Intern(UniqueFd fd, const InodeKey& key, mode_t type);

  DescriptorCache& descriptors() { return descriptors_; }
  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  friend class Inode;

  struct alignas(64) Shard {
    std::mutex mutex;
    std::vector<Inode*> buckets = std::vector<Inode*>(16);
    size_t size = 0;

    Inode*& BucketOf(size_t hash) { return buckets[hash & (buckets.size() - 1)]; }
    void Insert(Inode* inode, size_t hash);
    void Erase(const Inode* inode, size_t hash);  // if it is there
    void Grow();
  };

  static size_t Hash(const InodeKey& key);
  Shard& ShardOf(size_t hash) { return shards_[hash >> 58]; }

  // Gets the descriptor of an evicted inode back. `fresh`, where given, is a descriptor of what may be the same file;
  // it is taken instead of the broker's, but only if the broker still finds the file.
  Result<HeldDescriptor> Revive(Inode& inode, UniqueFd&& fresh);
  // The last reference has gone.
  void Destroy(Inode* inode);

  DescriptorCache descriptors_;
  std::atomic<size_t> size_{0};
  std::array<Shard, 64> shards_;
};

}  // namespace virtfs::host
