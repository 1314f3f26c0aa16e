// Ring: the frontend's half of one virtfs ring: its indices, slots and the rules of publishing and waiting.
//
// It knows shared memory and nothing else: no event channel, no grants, no 9P. Our own positions live in private
// memory; a word that the backend writes is loaded once for each decision.
//
// Errors: a backend that breaks the ring's rules is a fault: the ring must not be used any more.
// Threads: one at a time, but Readable and Arm may run beside everything except Take.
// Trust: the backend can write all of the page at any time.
// Source: docs/virtfs.md, sections 4 to 7; include/xen/io/virtfs.h.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "xen/io/virtfs.h"

namespace virtfs::frontend {

class Ring {
 public:
  static constexpr uint32_t kSlots = XEN_VIRTFS_SLOTS_PER_PAGE;

  // `page` is one zeroed page, not announced to the backend yet.
  explicit Ring(std::span<uint8_t, XEN_VIRTFS_PAGE_SIZE> page);

  // Slots that a request may take.
  uint32_t free_slots() const { return kSlots - (req_prod_ - rsp_cons_); }

  // Writes slots behind those written before; not visible before Publish. At most free_slots().
  void Push(std::span<const xen_virtfsif_request> slots);

  // Shows the backend what was pushed. True: it sleeps and has to be notified.
  [[nodiscard]] bool Publish();

  // How many responses can be taken, or -1: the backend claims more than it was asked for.
  int Available() const;

  // The next response that Available has counted, copied out of the ring. Its slot is free from then on.
  xen_virtfsif_response Take();

  // Whether there is a response now: for polling.
  bool Readable() const { return Word(kRspProd).load(std::memory_order_relaxed) != rsp_cons_; }

  // Asks for an event with the next response. False: one is there already, do not wait.
  [[nodiscard]] bool Arm();

 private:
  static constexpr size_t kReqProd = 0;
  static constexpr size_t kReqEvent = 4;
  static constexpr size_t kRspProd = 8;
  static constexpr size_t kRspEvent = 12;

  std::atomic_ref<uint32_t> Word(size_t offset) const {
    return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(page_ + offset));
  }
  uint8_t* Slot(uint32_t index) const {
    return page_ + XEN_VIRTFS_RING_HEAD_SIZE + (index % kSlots) * XEN_VIRTFS_SLOT_SIZE;
  }

  uint8_t* page_;
  uint32_t req_prod_ = 0;   // Slots written.
  uint32_t published_ = 0;  // What the backend was last told of req_prod_.
  uint32_t rsp_cons_ = 0;
};

}  // namespace virtfs::frontend
