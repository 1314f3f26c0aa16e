// SharedPages: pages of a guest, mapped for reading and writing side by side for as long as this lives.
//
// Errors: not ok(), with errno.
// Threads: a value.
// Trust: the references are the guest's, and so is every byte of the pages at any moment.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

struct xengntdev_handle;

namespace virtfs::backend {

class SharedPages {
 public:
  SharedPages() = default;
  // One call of Xen. `grants` is borrowed.
  SharedPages(xengntdev_handle* grants, uint32_t domid, std::span<uint32_t> refs);
  SharedPages(SharedPages&& other) noexcept { *this = std::move(other); }
  SharedPages& operator=(SharedPages&& other) noexcept {
    std::swap(grants_, other.grants_);
    std::swap(address_, other.address_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~SharedPages();

  bool ok() const { return address_ != nullptr; }
  void* address() const { return address_; }

 private:
  xengntdev_handle* grants_ = nullptr;
  void* address_ = nullptr;
  uint32_t count_ = 0;
};

}  // namespace virtfs::backend
