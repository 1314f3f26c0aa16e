// Inode: one file of the export, of any type, held by what it is and not by its path. InodeRef shares it.
//
// There is one Inode per file however many fids and names lead to it. It keeps an O_PATH descriptor, or, when there are
// too many (DescriptorCache), a token of the HandleBroker for it, and gets the descriptor back when it is next needed.
// 72 bytes each; no string, no lock.
//
// Threads: everything here may be called from any thread. An Inode must not outlive its Export.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/result.h"
#include "fsops/host/handle_broker.h"

namespace virtfs::host {

class DescriptorCache;
class Inode;
class InodeTable;
class Usage;

// Which file this is. `birth` (nanoseconds, 0 where unknown) tells a file from a later one with the same number; where
// the clock is too coarse for that, InodeTable asks the broker before it takes two files for one.
struct InodeKey {
  uint64_t dev = 0;
  uint64_t ino = 0;
  int64_t birth = 0;

  friend bool operator==(const InodeKey&, const InodeKey&) = default;
};

// Inode numbers are mostly consecutive: the multiplications spread them over the upper bits, the folds over the lower
// ones; either may choose a shard or a bucket.
struct InodeKeyHash {
  size_t operator()(const InodeKey& key) const {
    uint64_t hash = (key.ino ^ (key.dev << 32 | key.dev >> 32)) * 0x9e3779b97f4a7c15;
    hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93;
    return hash ^ hash >> 32;
  }
};

// The inode's O_PATH descriptor, which cannot be taken away while this lives. For the length of an operation; an
// OpenFile holds one for its whole life, so that an open file works though it is unlinked. Does not keep a reference.
class HeldDescriptor {
 public:
  HeldDescriptor(HeldDescriptor&& other) noexcept : inode_(std::exchange(other.inode_, nullptr)), fd_(other.fd_) {}
  HeldDescriptor& operator=(HeldDescriptor&&) = delete;
  ~HeldDescriptor();

  int get() const { return fd_; }

 private:
  friend class Inode;
  friend class InodeTable;
  HeldDescriptor(Inode* inode, int fd) : inode_(inode), fd_(fd) {}

  Inode* inode_;
  int fd_;
};

class Inode {
 public:
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;

  const InodeKey& key() const { return key_; }
  // S_IFREG ...: what it is for the guest. A file never changes its type, but under a mapped model (mapping.h), where
  // this is what was last seen.
  mode_t type() const { return type_.load(std::memory_order_relaxed) & S_IFMT; }
  bool is_directory() const { return S_ISDIR(type()); }
  // It is a regular file on the host that stands for a file of another type.
  bool stands_in() const { return (type_.load(std::memory_order_relaxed) & kStandsIn) != 0; }

  // Of the Export; null: it counts nothing.
  Usage* usage() const;

  // ESTALE: the file is gone. No system call while the descriptor is there, else a call of the broker.
  Result<HeldDescriptor> Hold();

 private:
  friend class DescriptorCache;
  friend class Export;
  friend class HeldDescriptor;
  friend class InodeRef;
  friend class InodeTable;

  static constexpr uint16_t kStandsIn = 1;

  // state_: descriptor (32 bits) | kRecent | number of holders (31 bits). One word, so that taking the descriptor away
  // (only from nobody) and holding it exclude each other without a lock.
  static constexpr uint64_t kRecent = uint64_t{1} << 31;
  static constexpr uint64_t State(int fd, uint32_t holders) {
    return uint64_t{static_cast<uint32_t>(fd)} << 32 | holders;
  }
  static constexpr int DescriptorOf(uint64_t state) { return static_cast<int32_t>(state >> 32); }
  static constexpr uint32_t HoldersOf(uint64_t state) { return static_cast<uint32_t>(state & (kRecent - 1)); }
  static constexpr uint32_t kNoSlot = 0xffffffff;
  static constexpr uint64_t kNoDescriptor = uint64_t{0xffffffff} << 32;

  Inode(InodeTable* table, const InodeKey& key, mode_t type, int fd)
      : state_(State(fd, 0)), type_(static_cast<uint16_t>(type & S_IFMT)), table_(table), key_(key) {}
  ~Inode() = default;

  // The descriptor with one more holder, or -1 if there is none now.
  int TryHold();
  void Unhold() { state_.fetch_sub(1, std::memory_order_release); }
  void SetType(mode_t type, bool stands_in) {
    type_.store(static_cast<uint16_t>((type & S_IFMT) | (stands_in ? kStandsIn : 0)), std::memory_order_relaxed);
  }
  // False if the last reference has gone already.
  bool TryRef();
  void Unref();

  std::atomic<uint64_t> state_;
  std::atomic<uint32_t> references_{1};
  uint32_t slot_ = kNoSlot;     // DescriptorCache, under its lock
  std::atomic<uint16_t> type_;  // S_IFMT | kStandsIn
  bool has_token_ = false;      // written by the one evictor before it takes the descriptor away
  InodeTable* const table_;
  const InodeKey key_;
  HandleToken token_{};
  Inode* next_in_bucket_ = nullptr;  // InodeTable, under its shard's lock
};

class InodeRef {
 public:
  InodeRef() = default;
  // Another reference; the caller already has one.
  explicit InodeRef(Inode& inode) : inode_(&inode) { inode_->references_.fetch_add(1, std::memory_order_relaxed); }
  InodeRef(const InodeRef& other) : inode_(other.inode_) {
    if (inode_ != nullptr) inode_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  InodeRef(InodeRef&& other) noexcept : inode_(std::exchange(other.inode_, nullptr)) {}
  InodeRef& operator=(InodeRef other) noexcept {
    std::swap(inode_, other.inode_);
    return *this;
  }
  ~InodeRef() {
    if (inode_ != nullptr) inode_->Unref();
  }

  Inode* get() const { return inode_; }
  Inode& operator*() const { return *inode_; }
  Inode* operator->() const { return inode_; }
  explicit operator bool() const { return inode_ != nullptr; }
  friend bool operator==(const InodeRef&, const InodeRef&) = default;

 private:
  friend class DescriptorCache;
  friend class InodeTable;
  struct Adopt {};
  InodeRef(Inode* inode, Adopt) : inode_(inode) {}

  Inode* inode_ = nullptr;
};

inline HeldDescriptor::~HeldDescriptor() {
  if (inode_ != nullptr) inode_->Unhold();
}

}  // namespace virtfs::host
