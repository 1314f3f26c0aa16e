#include "frontend/ring.h"

#include <bit>
#include <cassert>
#include <cstring>

namespace virtfs::frontend {

static_assert(sizeof(xen_virtfsif_request) == XEN_VIRTFS_SLOT_SIZE && sizeof(xen_virtfsif_response) == 4);

Ring::Ring(std::span<uint8_t, XEN_VIRTFS_PAGE_SIZE> page) : page_(page.data()) {
  Word(kReqEvent).store(1, std::memory_order_relaxed);
  Word(kRspEvent).store(1, std::memory_order_relaxed);
}

void Ring::Push(std::span<const xen_virtfsif_request> slots) {
  assert(slots.size() <= free_slots());
  for (const xen_virtfsif_request& slot : slots) std::memcpy(Slot(req_prod_++), &slot, sizeof(slot));
}

bool Ring::Publish() {
  const uint32_t before = published_;
  published_ = req_prod_;
  // Sequentially consistent: the index must be visible before we look whether the backend sleeps, which does the two
  // the other way round. (No fence: ThreadSanitizer does not know them.)
  Word(kReqProd).store(published_, std::memory_order_seq_cst);
  const uint32_t event = Word(kReqEvent).load(std::memory_order_seq_cst);
  return published_ - event < published_ - before;
}

int Ring::Available() const {
  const uint32_t responses = Word(kRspProd).load(std::memory_order_acquire) - rsp_cons_;
  return responses <= published_ - rsp_cons_ ? static_cast<int>(responses) : -1;
}

xen_virtfsif_response Ring::Take() {
  // One load of the whole response, so that what is checked is what is used.
  const std::atomic_ref<uint32_t> slot(*reinterpret_cast<uint32_t*>(Slot(rsp_cons_++)));
  return std::bit_cast<xen_virtfsif_response>(slot.load(std::memory_order_relaxed));
}

bool Ring::Arm() {
  // As in Publish.
  Word(kRspEvent).store(rsp_cons_ + 1, std::memory_order_seq_cst);
  return Word(kRspProd).load(std::memory_order_seq_cst) == rsp_cons_;
}

}  // namespace virtfs::frontend
