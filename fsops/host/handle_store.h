// HandleStore: file handles by token, a million of them in little memory.
//
// Handles of one mount, type and length are records of a fixed size, side by side in chunks: no pointer, no allocation
// and no hash slot for each. ext4's handle of 8 bytes takes 10. Growing copies nothing, so there is no peak. Memory of
// erased handles is used again, not given back.
//
// A token says in which records, at which index, and how often the record had been used: one that was erased finds
// nothing, until the record has been used 32768 times more.
//
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fsops/host/handle_broker.h"

namespace virtfs::host {

// What all records of a kind have in common.
struct HandleKind {
  int mount_fd = -1;
  int type = 0;      // file_handle::handle_type
  size_t bytes = 0;  // of the handle, at most MAX_HANDLE_SZ

  friend bool operator==(const HandleKind&, const HandleKind&) = default;
};

class HandleStore {
 public:
  struct Found {
    HandleKind kind;
    std::span<const uint8_t> handle;  // until the next Add or Erase
  };

  // None: there are 65536 kinds or 2^32 of this kind already. `handle` has kind.bytes.
  std::optional<HandleToken> Add(const HandleKind& kind, std::span<const uint8_t> handle);
  std::optional<Found> Find(HandleToken token);
  // False: it is not there.
  bool Erase(HandleToken token);

  size_t size() const { return size_; }

 private:
  using Uses = uint16_t;  // odd: the record holds a handle

  // The records of one kind: Uses, then the handle or, in a free record, the index of the next free one.
  class Records {
   public:
    explicit Records(const HandleKind& kind);

    const HandleKind& kind() const { return kind_; }
    std::optional<uint32_t> Take();
    void Free(uint32_t index);
    uint32_t count() const { return count_; }

    Uses uses(uint32_t index);
    std::span<uint8_t> handle(uint32_t index) { return {Record(index) + sizeof(Uses), kind_.bytes}; }

   private:
    static constexpr uint32_t kInChunk = 4096;
    static constexpr uint32_t kNone = 0xffffffff;

    uint8_t* Record(uint32_t index) { return chunks_[index / kInChunk].get() + index % kInChunk * record_size_; }
    void CountUse(uint32_t index);

    const HandleKind kind_;
    const size_t record_size_;
    std::vector<std::unique_ptr<uint8_t[]>> chunks_;
    uint32_t count_ = 0;  // records ever used
    uint32_t free_ = kNone;
  };

  // Where a token leads; none: nowhere.
  struct Position {
    Records* records;
    uint32_t index;
  };
  std::optional<Position> PositionOf(HandleToken token);

  std::vector<Records> kinds_;
  size_t size_ = 0;
};

}  // namespace virtfs::host
