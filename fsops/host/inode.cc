#include "fsops/host/inode.h"

#include "fsops/host/inode_table.h"

namespace virtfs::host {

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

Usage* Inode::usage() const { return table_->usage(); }

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

}  // namespace virtfs::host
