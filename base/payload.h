// Payload: bytes of a file on their way between the host and a guest, which nobody here may look at.
//
// The memory behind a Payload may be the guest's own pages, which the guest can rewrite at any moment. So there is no
// accessor that returns a pointer: a transport makes one from the segments it has checked, the session cuts it to size,
// and only host::FileIo can open it: for preadv and pwritev, where the kernel alone touches the bytes, and to copy the
// value of an extended attribute from or to private memory.
//
// Trust: contents hostile, segment list trusted (made and bounds-checked by the transport, in private memory).
// Threads: a value; it does not own the memory, which its request keeps alive.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace virtfs {

namespace host {
class FileIo;
}

class Payload {
 public:
  Payload() = default;

  // `segments` must outlive the Payload; `size` is what they hold together, in bytes.
  Payload(std::span<const iovec> segments, size_t size) : segments_(segments), size_(size) {}

  size_t size() const { return size_; }

  // Only the first `size` bytes count from now on. `size` beyond size() changes nothing.
  void Truncate(size_t size) {
    if (size < size_) size_ = size;
  }

 private:
  friend class host::FileIo;

  std::span<const iovec> segments_;
  size_t size_ = 0;
};

}  // namespace virtfs
