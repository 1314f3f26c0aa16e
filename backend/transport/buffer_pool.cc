#include "backend/transport/buffer_pool.h"

#include <bit>
#include <cassert>
#include <cstdlib>
#include <new>

namespace virtfs::backend {

BufferPool::~BufferPool() {
  for (const auto& blocks : free_) {
    for (uint8_t* block : blocks) std::free(block);
  }
}

Buffer BufferPool::Get(size_t size) {
  const size_t size_class = size <= kSmallest ? 0 : std::bit_width((size - 1) / kSmallest);
  assert(size_class < kClasses);
  {
    std::lock_guard lock(mutex_);
    auto& blocks = free_[size_class];
    if (!blocks.empty()) {
      uint8_t* block = blocks.back();
      blocks.pop_back();
      kept_ -= kSmallest << size_class;
      return Buffer(this, block, size_class);
    }
  }
  void* block = std::aligned_alloc(kSmallest, kSmallest << size_class);
  if (block == nullptr) throw std::bad_alloc();
  return Buffer(this, static_cast<uint8_t*>(block), size_class);
}

void BufferPool::Put(uint8_t* data, size_t size_class) {
  {
    std::lock_guard lock(mutex_);
    const size_t size = kSmallest << size_class;
    if (kept_ + size <= max_kept_) {
      kept_ += size;
      free_[size_class].push_back(data);
      return;
    }
  }
  std::free(data);
}

}  // namespace virtfs::backend
