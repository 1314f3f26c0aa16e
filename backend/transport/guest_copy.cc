#include "backend/transport/guest_copy.h"

#include <atomic>
#include <cstring>

#include "base/sanitizer.h"

namespace virtfs::backend {
namespace {

template <typename T>
std::atomic_ref<T> Shared(uint8_t* at) {
  return std::atomic_ref<T>(*reinterpret_cast<T*>(at));
}

// A sanitizer sees the loops below and not the instruction.
#if defined(__x86_64__) && !VIRTFS_SANITIZED
#define VIRTFS_BULK_COPY 1
#endif

#if VIRTFS_BULK_COPY
// From so many bytes on, one instruction: it reads and writes each byte once, too, and does not fetch the lines that it
// overwrites, which the other side's processor had last.
constexpr size_t kBulk = 1024;

void BulkCopy(void* to, const void* from, size_t size) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}
#endif

size_t Unaligned(const uint8_t* at) { return reinterpret_cast<uintptr_t>(at) % sizeof(uint64_t); }

}  // namespace

void CopyFromGuest(std::span<uint8_t> to, const void* guest) {
  uint8_t* from = const_cast<uint8_t*>(static_cast<const uint8_t*>(guest));
  uint8_t* out = to.data();
  size_t left = to.size();
#if VIRTFS_BULK_COPY
  if (left >= kBulk) return BulkCopy(out, from, left);
#endif
  const auto one = [&] {
    *out++ = Shared<uint8_t>(from++).load(std::memory_order_relaxed);
    --left;
  };
  while (left > 0 && Unaligned(from) != 0) one();
  for (; left >= sizeof(uint64_t); left -= sizeof(uint64_t)) {
    const uint64_t word = Shared<uint64_t>(from).load(std::memory_order_relaxed);
    std::memcpy(out, &word, sizeof(word));
    from += sizeof(word);
    out += sizeof(word);
  }
  while (left > 0) one();
}

void CopyToGuest(void* guest, std::span<const uint8_t> from) {
  uint8_t* to = static_cast<uint8_t*>(guest);
  const uint8_t* in = from.data();
  size_t left = from.size();
#if VIRTFS_BULK_COPY
  if (left >= kBulk) return BulkCopy(to, in, left);
#endif
  const auto one = [&] {
    Shared<uint8_t>(to++).store(*in++, std::memory_order_relaxed);
    --left;
  };
  while (left > 0 && Unaligned(to) != 0) one();
  for (; left >= sizeof(uint64_t); left -= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, in, sizeof(word));
    Shared<uint64_t>(to).store(word, std::memory_order_relaxed);
    to += sizeof(word);
    in += sizeof(word);
  }
  while (left > 0) one();
}

}  // namespace virtfs::backend
