// BufferPool: private memory for requests and replies: page-aligned blocks of 4 KiB, 8 KiB ... kept for the next
// request. Once the usual sizes have been used, a request allocates nothing.
//
// Bounded: what is out at once is bounded by the ring, whose slots name at most a page each; what is kept besides is at
// most `max_kept` bytes.
// Threads: any. A Buffer belongs to its holder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace virtfs::backend {

class BufferPool;

// A block from a pool, which goes back when this goes. Contents: anything.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    std::swap(size_class_, other.size_class_);
    return *this;
  }
  ~Buffer() { Reset(); }

  uint8_t* data() const { return data_; }
  void Reset();

 private:
  friend class BufferPool;
  Buffer(BufferPool* pool, uint8_t* data, size_t size_class) : pool_(pool), data_(data), size_class_(size_class) {}

  BufferPool* pool_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t size_class_ = 0;
};

class BufferPool {
 public:
  explicit BufferPool(size_t max_kept) : max_kept_(max_kept) {}
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // At least `size` bytes, which may be 0.
  Buffer Get(size_t size);

 private:
  friend class Buffer;
  static constexpr size_t kSmallest = 4096;
  static constexpr size_t kClasses = 16;  // up to 128 MiB

  void Put(uint8_t* data, size_t size_class);

  const size_t max_kept_;
  std::mutex mutex_;
  size_t kept_ = 0;
  std::array<std::vector<uint8_t*>, kClasses> free_;
};

inline void Buffer::Reset() {
  if (data_ != nullptr) pool_->Put(std::exchange(data_, nullptr), size_class_);
}

}  // namespace virtfs::backend
