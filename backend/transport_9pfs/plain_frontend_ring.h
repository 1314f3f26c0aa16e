// PlainFrontendRing: a frontend's end of one 9pfs ring for tests: its indices, and its bytes by position. Offsets as
// the specification has them, not as the code does.
//
// Threads: one at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "backend/transport/guest_copy.h"

namespace virtfs::backend {

class PlainFrontendRing {
 public:
  static constexpr uint32_t kInCons = 0, kInProd = 4, kOutCons = 64, kOutProd = 68, kOrder = 128, kRefs = 132;

  PlainFrontendRing() = default;
  // `size`: bytes of one direction, half of what `data` has.
  PlainFrontendRing(uint32_t* interface, uint8_t* data, uint32_t size)
      : interface_(interface), data_(data), size_(size) {}

  std::atomic_ref<uint32_t> Word(uint32_t offset) { return std::atomic_ref<uint32_t>(interface_[offset / 4]); }
  uint32_t size() const { return size_; }

  // All indices.
  void StartAt(uint32_t position) {
    for (const uint32_t word : {kInCons, kInProd, kOutCons, kOutProd}) Word(word).store(position);
    prod_ = cons_ = position;
  }

  // Bytes behind those that are there; published by the next.
  void Put(std::span<const uint8_t> bytes) {
    const uint32_t at = prod_ & (size_ - 1);
    const size_t first = std::min<size_t>(bytes.size(), size_ - at);
    CopyToGuest(data_ + size_ + at, bytes.first(first));
    CopyToGuest(data_ + size_, bytes.subspan(first));
    prod_ += static_cast<uint32_t>(bytes.size());
  }
  void Publish() { Word(kOutProd).store(prod_); }
  uint32_t room() { return size_ - (prod_ - Word(kOutCons).load()); }
  uint32_t prod() const { return prod_; }

  // Bytes of replies that are published and not taken.
  uint32_t queued() { return Word(kInProd).load() - cons_; }
  // The reply that is next; empty if there is none, or not all of it: stock frontends do not look for that.
  std::vector<uint8_t> Take() {
    uint32_t size = 0;
    const uint32_t there = queued();
    if (there < sizeof(size)) return {};
    Copy({reinterpret_cast<uint8_t*>(&size), sizeof(size)});
    if (size < 7 || size > there) return {};
    std::vector<uint8_t> reply(size);
    Copy(reply);
    cons_ += size;
    Word(kInCons).store(cons_);
    return reply;
  }

 private:
  void Copy(std::span<uint8_t> to) const {
    const uint32_t at = cons_ & (size_ - 1);
    const size_t first = std::min<size_t>(to.size(), size_ - at);
    CopyFromGuest(to.first(first), data_ + at);
    CopyFromGuest(to.subspan(first), data_);
  }

  uint32_t* interface_ = nullptr;
  uint8_t* data_ = nullptr;
  uint32_t size_ = 0;
  uint32_t prod_ = 0, cons_ = 0;
};

}  // namespace virtfs::backend
