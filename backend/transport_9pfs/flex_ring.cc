#include "backend/transport_9pfs/flex_ring.h"

#include <algorithm>
#include <cassert>
#include <cstddef>

#include "backend/transport/guest_copy.h"

extern "C" {
#include <xen/io/9pfs.h>
}

namespace virtfs::backend {
namespace {

constexpr uint32_t kInCons = offsetof(xen_9pfs_data_intf, in_cons);
constexpr uint32_t kInProd = offsetof(xen_9pfs_data_intf, in_prod);
constexpr uint32_t kOutCons = offsetof(xen_9pfs_data_intf, out_cons);
constexpr uint32_t kOutProd = offsetof(xen_9pfs_data_intf, out_prod);

}  // namespace

const char* Describe(FlexFault fault) {
  switch (fault) {
    case FlexFault::kNone:
      break;
    case FlexFault::kOverflow:
      return "the guest published more requests than its ring holds";
    case FlexFault::kUnderflow:
      return "the guest took more replies off its ring than there were";
    case FlexFault::kShortMessage:
      return "the guest sent a request that is shorter than its own header";
    case FlexFault::kLongMessage:
      return "the guest sent a request that is longer than msize or its ring";
  }
  return "nothing is wrong with the ring";
}

FlexRing::FlexRing(void* interface, void* data, uint32_t order, uint32_t max_message)
    : interface_(static_cast<uint8_t*>(interface)),
      in_(static_cast<uint8_t*>(data)),
      out_(in_ + FlexRingSize(order)),
      size_(FlexRingSize(order)),
      max_message_(max_message),
      known_prod_(Word(kOutCons).load(std::memory_order_relaxed)),
      out_cons_(known_prod_),
      in_prod_(Word(kInProd).load(std::memory_order_relaxed)) {
  assert(order <= kMaxFlexRingOrder && max_message <= size_ && size_ == XEN_FLEX_RING_SIZE(order));
}

std::atomic_ref<uint32_t> FlexRing::Word(uint32_t offset) const {
  return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(interface_ + offset));
}

FlexRing::Taken FlexRing::Fail(FlexFault fault) {
  fault_.store(fault, std::memory_order_relaxed);
  return Taken::kFault;
}

// Loads out_prod. Acquire: the bytes before it were written before it.
bool FlexRing::LoadProd() {
  const uint32_t prod = Word(kOutProd).load(std::memory_order_acquire);
  const uint32_t cons = out_cons_.load(std::memory_order_relaxed);
  // Nor may it go back to before what was seen already.
  if (prod - cons > size_ || prod - cons < known_prod_ - cons) {
    Fail(FlexFault::kOverflow);
    return false;
  }
  known_prod_ = prod;
  return true;
}

// The bytes from `position` on; in two pieces if they go round the end.
void FlexRing::CopyOut(uint32_t position, std::span<uint8_t> to) const {
  const uint32_t from = position & (size_ - 1);
  const size_t first = std::min<size_t>(to.size(), size_ - from);
  CopyFromGuest(to.first(first), out_ + from);
  CopyFromGuest(to.subspan(first), out_);
}

FlexRing::Taken FlexRing::Next(p9::Header& header) {
  if (fault() != FlexFault::kNone) return Taken::kFault;
  const uint32_t cons = out_cons_.load(std::memory_order_relaxed);
  for (;;) {
    const uint32_t needed = needed_.load(std::memory_order_relaxed);
    if (known_prod_ - cons < needed) {
      if (!LoadProd()) return Taken::kFault;
      if (known_prod_ - cons < needed) return Taken::kNothing;
    }
    if (has_header_) break;
    CopyOut(cons, header_);
    const Result<p9::Header> parsed = p9::ParseHeader(header_);
    if (!parsed.ok()) return Fail(FlexFault::kShortMessage);
    if (parsed->size > max_message_) return Fail(FlexFault::kLongMessage);
    needed_.store(parsed->size, std::memory_order_relaxed);
    has_header_ = true;
  }
  const Result<p9::Header> parsed = p9::ParseHeader(header_);
  header = *parsed;
  return Taken::kMessage;
}

void FlexRing::Read(std::span<uint8_t> message) {
  const uint32_t size = needed_.load(std::memory_order_relaxed);
  assert(has_header_ && message.size() == size);
  std::copy(header_.begin(), header_.end(), message.begin());
  const uint32_t cons = out_cons_.load(std::memory_order_relaxed);
  CopyOut(cons + p9::kHeaderSize, message.subspan(p9::kHeaderSize));
  has_header_ = false;
  needed_.store(p9::kHeaderSize, std::memory_order_relaxed);
  out_cons_.store(cons + size, std::memory_order_relaxed);
  // Release: the copy is made before the guest may write there again.
  Word(kOutCons).store(cons + size, std::memory_order_release);
}

bool FlexRing::Waiting() const {
  if (fault() != FlexFault::kNone) return true;
  // Read may be going on: then whatever comes of this is looked at again.
  const uint32_t cons = out_cons_.load(std::memory_order_relaxed);
  return Word(kOutProd).load(std::memory_order_relaxed) - cons >= needed_.load(std::memory_order_relaxed);
}

bool FlexRing::Published(uint32_t& position) {
  if (!LoadProd()) return false;
  position = known_prod_;
  return true;
}

bool FlexRing::Reached(uint32_t position) const {
  const auto left = static_cast<int32_t>(position - out_cons_.load(std::memory_order_relaxed));
  return left < static_cast<int32_t>(needed_.load(std::memory_order_relaxed));
}

FlexRing::Sent FlexRing::Write(std::span<const uint8_t> reply) {
  const uint32_t prod = in_prod_.load(std::memory_order_relaxed);
  // Acquire: the guest has read what it gives back before we write there.
  const uint32_t queued = prod - Word(kInCons).load(std::memory_order_acquire);
  if (queued > size_) {
    Fail(FlexFault::kUnderflow);
    return Sent::kFault;
  }
  if (reply.size() > size_ - queued) return Sent::kNoRoom;
  const uint32_t to = prod & (size_ - 1);
  const size_t first = std::min<size_t>(reply.size(), size_ - to);
  CopyToGuest(in_ + to, reply.first(first));
  CopyToGuest(in_, reply.subspan(first));
  const uint32_t next = prod + static_cast<uint32_t>(reply.size());
  in_prod_.store(next, std::memory_order_relaxed);
  // Release: the whole reply is there before a frontend sees any of it. Stock frontends look for a header and then
  // read on without looking again.
  Word(kInProd).store(next, std::memory_order_release);
  return Sent::kSent;
}

bool FlexRing::HasRoom(uint32_t size) const {
  const uint32_t queued = in_prod_.load(std::memory_order_relaxed) - Word(kInCons).load(std::memory_order_relaxed);
  // More than all: Write is to find the fault.
  return queued > size_ || size <= size_ - queued;
}

}  // namespace virtfs::backend
