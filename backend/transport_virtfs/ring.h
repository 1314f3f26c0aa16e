// Ring: the backend's side of one shared ring (docs/virtfs.md, section 4): takes chains of request slots off it, puts
// response slots on it. It looks at nothing in a slot but MORE.
//
// Every shared word is loaded once per decision into a local, checked, and then used. Our own positions live in private
// memory; nothing that was written to the ring is read back. ring.h of Xen gives the layout only.
//
// Errors: a RingFault, after which nothing on the ring can be trusted. It stays: every later Take reports it again.
// Threads: one at a time in Take, Sleepable and Busy; one at a time in Respond; any in Waiting; all of them at once.
// Trust: the guest may write every byte of the pages at any moment.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "xen/io/virtfs.h"

namespace virtfs::backend {

using Slot = xen_virtfsif_request;
static_assert(sizeof(Slot) == XEN_VIRTFS_SLOT_SIZE);

// What can be wrong with a ring as a whole.
enum class RingFault {
  kNone,
  kOverflow,      // more requests published than there are slots, or the index went back
  kPartialChain,  // the last published slot says that there is MORE
  kLongChain,     // a chain of more than max-chain-slots
};

// A sentence for the operator.
const char* Describe(RingFault fault);

class Ring {
 public:
  enum class Taken { kChain, kNothing, kFault };

  // `memory`: 2^page_order contiguous mapped pages, which outlive the Ring. Bound to an empty ring, as a frontend
  // announces it: all indices 0.
  Ring(void* memory, uint32_t page_order, uint32_t max_chain_slots);

  uint32_t slots() const { return slots_; }
  RingFault fault() const { return fault_; }

  // Copies the next chain's slots to `chain`, whose former contents are lost.
  Taken Take(std::vector<Slot>& chain);

  // Whether there is something to take, faults included. A hint: it decides nothing that Take does not check.
  bool Waiting() const;

  // Asks the frontend for an event with its next request. True: there is none yet, so the caller may wait for the
  // event. False: something is there already, perhaps without an event.
  bool Sleepable();

  // Asks for no events: the caller will look by itself.
  void Busy();

  // Answers one chain: a response with each id, all with `status`. True: the frontend wants to be notified.
  [[nodiscard]] bool Respond(std::span<const uint16_t> ids, int16_t status);

  // As if so many slots had been used: both indices, so that a test can make them wrap.
  void StartAtForTest(uint32_t index) {
    known_prod_ = req_cons_ = index;
    rsp_prod_ = index;
  }

 private:
  template <typename T>
  std::atomic_ref<T> Word(uint32_t offset) const {
    return std::atomic_ref<T>(*reinterpret_cast<T*>(memory_ + offset));
  }
  uint32_t SlotOffset(uint32_t index) const;
  Slot CopySlot(uint32_t index) const;
  Taken Fail(RingFault fault);

  uint8_t* const memory_;
  const uint32_t slots_;
  const uint32_t max_chain_slots_;

  RingFault fault_ = RingFault::kNone;
  uint32_t known_prod_ = 0;  // the last req_prod that was loaded and found good
  std::atomic<uint32_t> req_cons_ = 0;
  // Moved by Respond before the shared word, so that Take, having seen requests that came because of a response, also
  // sees that the response's slots are free.
  std::atomic<uint32_t> rsp_prod_ = 0;
};

}  // namespace virtfs::backend
