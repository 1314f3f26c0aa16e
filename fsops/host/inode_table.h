// InodeTable: the Inodes of one export, one per file.
//
// Threads: any. No lock is held during a system call or a call of the broker. Internal to fsops/host.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/descriptor_cache.h"
#include "fsops/host/handle_broker.h"
#include "fsops/host/inode.h"
#include "fsops/host/mapping.h"

namespace virtfs::host {

class InodeTable {
 public:
  // `usage` and `mapping`, which gets to know every Inode that is destroyed, may be null, else they outlive this.
  InodeTable(HandleBroker& broker, size_t max_descriptors, Usage* usage, Mapping* mapping)
      : usage_(usage), mapping_(mapping), descriptors_(broker, max_descriptors, usage) {}
  ~InodeTable();

  // The Inode of the file that O_PATH descriptor `fd` refers to and that `key` and `type` (S_IFMT) describe.
  Result<InodeRef> Intern(UniqueFd fd, const InodeKey& key, mode_t type);

  Usage* usage() const { return usage_; }

  DescriptorCache& descriptors() { return descriptors_; }
  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  friend class Inode;

  struct alignas(64) Shard {
    std::mutex mutex;
    std::vector<Inode*> buckets = std::vector<Inode*>(16);
    size_t size = 0;

    Inode*& BucketOf(size_t hash) { return buckets[hash & (buckets.size() - 1)]; }
    InodeRef Find(const InodeKey& key, size_t hash);  // empty: there is none
    void Insert(Inode* inode, size_t hash);
    void Erase(const Inode* inode, size_t hash);  // if it is there
    void Grow();
  };

  static size_t Hash(const InodeKey& key) { return InodeKeyHash()(key); }
  Shard& ShardOf(size_t hash) { return shards_[hash >> 58]; }

  // Adds an Inode, which takes `fd`, unless there is one by now.
  InodeRef InternNew(UniqueFd& fd, const InodeKey& key, mode_t type, size_t hash);
  // Gets the descriptor of an evicted inode back. `fresh`, where given, is a descriptor of what may be the same file;
  // it is taken instead of the broker's, but only if the broker still finds the file.
  Result<HeldDescriptor> Revive(Inode& inode, UniqueFd&& fresh);
  // The last reference has gone.
  void Destroy(Inode* inode);

  Usage* const usage_;
  Mapping* const mapping_;
  DescriptorCache descriptors_;
  std::atomic<size_t> size_{0};
  std::array<Shard, 64> shards_;
};

}  // namespace virtfs::host
