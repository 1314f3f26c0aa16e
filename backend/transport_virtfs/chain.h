// Chain: the slots of one request, checked: which bytes of which pages hold the 9P request, and which are for the reply
// (docs/virtfs.md, sections 5.1 and 6).
//
// Errors: a status of virtfs.h for the frontend.
// Threads: values. Trust: slots are the guest's words in private memory; an Extent is within its page, its gref is any.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/transport_virtfs/ring.h"

namespace virtfs::backend {

// A piece of one granted page: offset + size <= 4096, size >= 1.
struct Extent {
  uint32_t gref = 0;
  uint16_t offset = 0;
  uint16_t size = 0;

  friend bool operator==(const Extent&, const Extent&) = default;
};

struct Chain {
  std::vector<Extent> read;   // the request
  std::vector<Extent> write;  // room for the reply
  uint32_t read_size = 0;     // bytes of `read`
  uint32_t capacity = 0;      // bytes of `write`
};

// `sized`: the frontend wrote `version`, so a slot's size counts. Returns XEN_VIRTFS_STATUS_OKAY and fills `chain`, or
// the first status that applies in the order of section 7.3 (`chain` then holds nothing of use).
int16_t ParseChain(std::span<const Slot> slots, bool sized, Chain& chain);

}  // namespace virtfs::backend
