#include "backend/transport_virtfs/ring.h"

#include <bit>
#include <cstddef>
#include <cstring>

namespace virtfs::backend {
namespace {

constexpr uint32_t kReqProd = offsetof(xen_virtfsif_sring, req_prod);
constexpr uint32_t kReqEvent = offsetof(xen_virtfsif_sring, req_event);
constexpr uint32_t kRspProd = offsetof(xen_virtfsif_sring, rsp_prod);
constexpr uint32_t kRspEvent = offsetof(xen_virtfsif_sring, rsp_event);
constexpr uint32_t kSlots = offsetof(xen_virtfsif_sring, ring);
static_assert(kSlots == XEN_VIRTFS_RING_HEAD_SIZE && sizeof(xen_virtfsif_sring_entry) == XEN_VIRTFS_SLOT_SIZE);

}  // namespace

const char* Describe(RingFault fault) {
  switch (fault) {
    case RingFault::kNone:
      break;
    case RingFault::kOverflow:
      return "the guest published more requests than its ring has slots";
    case RingFault::kPartialChain:
      return "the guest published a part of a chain";
    case RingFault::kLongChain:
      return "the guest published a chain of more slots than max-chain-slots";
  }
  return "nothing is wrong with the ring";
}

Ring::Ring(void* memory, uint32_t page_order, uint32_t max_chain_slots)
    : memory_(static_cast<uint8_t*>(memory)),
      slots_(std::bit_floor(((XEN_VIRTFS_PAGE_SIZE << page_order) - kSlots) / XEN_VIRTFS_SLOT_SIZE)),
      max_chain_slots_(max_chain_slots) {}

uint32_t Ring::SlotOffset(uint32_t index) const { return kSlots + (index & (slots_ - 1)) * XEN_VIRTFS_SLOT_SIZE; }

// Word by word, so that the copy is one load of each byte for the compiler too.
Slot Ring::CopySlot(uint32_t index) const {
  const uint32_t offset = SlotOffset(index);
  uint32_t words[3];
  for (uint32_t i = 0; i < 3; ++i) words[i] = Word<uint32_t>(offset + 4 * i).load(std::memory_order_relaxed);
  static_assert(sizeof(words) == sizeof(Slot));
  return std::bit_cast<Slot>(words);
}

Ring::Taken Ring::Fail(RingFault fault) {
  fault_ = fault;
  return Taken::kFault;
}

Ring::Taken Ring::Take(std::vector<Slot>& chain) {
  chain.clear();
  if (fault_ != RingFault::kNone) return Taken::kFault;
  const uint32_t cons = req_cons_.load(std::memory_order_relaxed);
  if (known_prod_ == cons) {
    // Acquire: the slots were written before it. rsp_prod_ afterwards: see there.
    const uint32_t prod = Word<uint32_t>(kReqProd).load(std::memory_order_acquire);
    const uint32_t unanswered = cons - rsp_prod_.load(std::memory_order_relaxed);
    if (prod - cons > slots_ - unanswered) return Fail(RingFault::kOverflow);
    known_prod_ = prod;
    if (prod == cons) return Taken::kNothing;
  }
  for (uint32_t index = cons;; ++index) {
    // req_prod moves at chain boundaries only, so a chain that begins before a published index ends before it.
    if (index == known_prod_) return Fail(RingFault::kPartialChain);
    if (chain.size() == max_chain_slots_) return Fail(RingFault::kLongChain);
    chain.push_back(CopySlot(index));
    if ((chain.back().flags & XEN_VIRTFSF_MORE) == 0) break;
  }
  req_cons_.store(cons + static_cast<uint32_t>(chain.size()), std::memory_order_relaxed);
  return Taken::kChain;
}

bool Ring::Waiting() const {
  return Word<uint32_t>(kReqProd).load(std::memory_order_relaxed) != req_cons_.load(std::memory_order_relaxed);
}

// The frontend stores req_prod, full barrier, loads req_event; we store req_event, full barrier, load req_prod. One of
// the two sees the other's store: either it notifies, or we do not sleep. Sequentially consistent operations are that
// barrier on x86 (the store is an xchg) and on Arm (stlr, ldar), and ThreadSanitizer knows them, unlike fences.
bool Ring::Sleepable() {
  if (fault_ != RingFault::kNone) return true;
  const uint32_t cons = req_cons_.load(std::memory_order_relaxed);
  Word<uint32_t>(kReqEvent).store(cons + 1, std::memory_order_seq_cst);
  return Word<uint32_t>(kReqProd).load(std::memory_order_seq_cst) == cons;
}

// The frontend notifies when its move of req_prod passes req_event - 1; it can have none below req_cons_ left to pass.
void Ring::Busy() {
  Word<uint32_t>(kReqEvent).store(req_cons_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

bool Ring::Respond(std::span<const uint16_t> ids, int16_t status) {
  const uint32_t old_prod = rsp_prod_.load(std::memory_order_relaxed);
  uint32_t prod = old_prod;
  for (const uint16_t id : ids) {
    const xen_virtfsif_response response{.id = id, .status = status};
    Word<uint32_t>(SlotOffset(prod++)).store(std::bit_cast<uint32_t>(response), std::memory_order_relaxed);
  }
  rsp_prod_.store(prod, std::memory_order_relaxed);
  // Releases the slots and the reply's bytes, and is the full barrier before rsp_event is loaded (see Sleepable): a
  // frontend that stored rsp_event and then saw no response is notified.
  Word<uint32_t>(kRspProd).store(prod, std::memory_order_seq_cst);
  const uint32_t event = Word<uint32_t>(kRspEvent).load(std::memory_order_seq_cst);
  return prod - event < prod - old_prod;
}

}  // namespace virtfs::backend
