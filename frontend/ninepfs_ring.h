// NinepfsRing: the guest's end of one ring of Xen's 9pfs (io/9pfs.h; docs/9pfs.md): requests one way, replies the
// other, both as streams of bytes.
//
// Errors: kFault, when the backend's indices or sizes cannot be; nothing on the ring means anything then.
// Threads: one at a time for requests (Push, Publish), one at a time for replies (all else).
// Trust: the backend can write every byte of the pages at any time. Its indices and sizes are loaded once per decision
// and checked.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "frontend/page_pool.h"
#include "protocol/codec.h"

namespace virtfs::frontend {

class NinepfsRing {
 public:
  enum class Result { kYes, kNo, kFault };

  // Grants 1 + 2^order pages, or fewer where the kernel refuses so many, but 2^1 of data at least.
  static absl::StatusOr<std::unique_ptr<NinepfsRing>> Create(const GrantHandle& grants, uint32_t backend,
                                                             uint32_t order);

  // For the node ring-ref<N>.
  uint32_t ref() const { return interface_->gref(0); }
  // Bytes of one direction.
  uint32_t size() const { return size_; }

  // Puts one request behind the others, if there is room; the next Publish shows them. True: there was something.
  Result Push(std::span<const uint8_t> head, std::span<const uint8_t> payload);
  bool Publish();

  // A reply on the ring.
  struct Found {
    std::array<uint8_t, p9::kHeaderSize> bytes;  // of its header, copied
    p9::Header header;                           // what they say
    uint32_t position;
  };
  // The next reply that Next has not found yet.
  Result Next(Found& found);
  // A hint: whether Next would find one.
  bool Readable() const;
  // Of the bytes of a reply, from `position` on.
  void Copy(uint32_t position, std::span<uint8_t> to) const;
  // All that Next has found is done with. True: the backend may wait for that, and is to be told. (No reply is longer
  // than half of size().)
  bool Release();

 private:
  NinepfsRing(std::unique_ptr<PagePool> interface, std::unique_ptr<PagePool> data);

  std::unique_ptr<PagePool> interface_;
  std::unique_ptr<PagePool> data_;
  const uint32_t size_;
  uint8_t* const in_;
  uint8_t* const out_;

  uint32_t out_prod_ = 0;
  uint32_t published_ = 0;
  Found next_{};                       // where the next reply begins; the rest, once needed_ is its size
  uint32_t needed_ = p9::kHeaderSize;  // bytes of it that must be there to go on
  uint32_t released_ = 0;
  uint32_t told_ = 0;  // released_, when the backend was told last
};

}  // namespace virtfs::frontend
