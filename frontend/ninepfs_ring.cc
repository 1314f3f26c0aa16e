#include "frontend/ninepfs_ring.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

namespace virtfs::frontend {
namespace {

// struct xen_9pfs_data_intf, each index in a cache line's reach of its counterpart.
constexpr uint32_t kInCons = 0, kInProd = 4, kOutCons = 64, kOutProd = 68, kOrder = 128, kRefs = 132;
constexpr uint32_t kLeastPages = 2;

std::atomic_ref<uint32_t> Word(const PagePool& page, uint32_t offset) {
  return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(page.page(0).data() + offset));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NinepfsRing>> NinepfsRing::Create(const GrantHandle& grants, uint32_t backend,
                                                                 uint32_t order) {
  auto interface = PagePool::Create(grants, backend, 1, 1, true);
  if (!interface.ok()) return interface.status();
  // Half as many again and again: it stays a power of two.
  auto data = PagePool::Create(grants, backend, 1U << order, kLeastPages, true);
  if (!data.ok()) return data.status();
  return std::unique_ptr<NinepfsRing>(new NinepfsRing(*std::move(interface), *std::move(data)));
}

NinepfsRing::NinepfsRing(std::unique_ptr<PagePool> interface, std::unique_ptr<PagePool> data)
    : interface_(std::move(interface)),
      data_(std::move(data)),
      size_(data_->size() * XEN_VIRTFS_PAGE_SIZE / 2),
      in_(data_->page(0).data()),
      out_(in_ + size_) {
  uint32_t order = 0;
  while (1U << order < data_->size()) ++order;
  Word(*interface_, kOrder).store(order, std::memory_order_relaxed);
  for (uint32_t i = 0; i < data_->size(); ++i) {
    Word(*interface_, kRefs + 4 * i).store(data_->gref(static_cast<PagePool::Index>(i)), std::memory_order_relaxed);
  }
}

NinepfsRing::Result NinepfsRing::Push(std::span<const uint8_t> head, std::span<const uint8_t> payload) {
  // Acquire: the backend has read what it gives back before we write there.
  const uint32_t used = out_prod_ - Word(*interface_, kOutCons).load(std::memory_order_acquire);
  if (used > size_) return Result::kFault;
  if (head.size() + payload.size() > size_ - used) return Result::kNo;
  for (const std::span<const uint8_t> part : {head, payload}) {
    const uint32_t at = out_prod_ & (size_ - 1);
    const size_t first = std::min<size_t>(part.size(), size_ - at);
    if (first > 0) std::memcpy(out_ + at, part.data(), first);
    if (first < part.size()) std::memcpy(out_, part.data() + first, part.size() - first);
    out_prod_ += static_cast<uint32_t>(part.size());
  }
  return Result::kYes;
}

bool NinepfsRing::Publish() {
  if (published_ == out_prod_) return false;
  published_ = out_prod_;
  Word(*interface_, kOutProd).store(out_prod_, std::memory_order_release);
  return true;
}

bool NinepfsRing::Readable() const {
  return Word(*interface_, kInProd).load(std::memory_order_relaxed) - next_.position >= needed_;
}

NinepfsRing::Result NinepfsRing::Next(Found& found) {
  const uint32_t prod = Word(*interface_, kInProd).load(std::memory_order_acquire);
  if (prod - released_ > size_ || prod - released_ < next_.position - released_) return Result::kFault;
  if (prod - next_.position < needed_) return Result::kNo;
  if (needed_ == p9::kHeaderSize) {
    Copy(next_.position, next_.bytes);
    const auto parsed = p9::ParseHeader(next_.bytes);
    if (!parsed.ok() || parsed->size > size_) return Result::kFault;
    next_.header = *parsed;
    needed_ = parsed->size;
    if (prod - next_.position < needed_) return Result::kNo;
  }
  found = next_;
  next_.position += needed_;
  needed_ = p9::kHeaderSize;
  return Result::kYes;
}

void NinepfsRing::Copy(uint32_t position, std::span<uint8_t> to) const {
  const uint32_t at = position & (size_ - 1);
  const size_t first = std::min<size_t>(to.size(), size_ - at);
  if (first > 0) std::memcpy(to.data(), in_ + at, first);
  if (first < to.size()) std::memcpy(to.data() + first, in_, to.size() - first);
}

// Told at told_ and looking since, the backend waits only if it has put more than half a ring behind that, as no reply
// is longer than the other half.
bool NinepfsRing::Release() {
  if (released_ == next_.position) return false;
  released_ = next_.position;
  Word(*interface_, kInCons).store(released_, std::memory_order_release);
  if (released_ - told_ < size_ / 2) return false;
  told_ = released_;
  return true;
}

}  // namespace virtfs::frontend
