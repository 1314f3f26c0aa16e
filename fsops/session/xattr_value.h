// XattrValue: an extended attribute's value (or the list of names) while a fid stands for it. Read with Tread after
// Txattrwalk; or gathered by Twrite after Txattrcreate, to be set at Tclunk.
//
// Its bytes count against the session's XattrBudget from the beginning, as many as it may come to have.
//
// What is gathered has no holes: a write begins within what is there or right behind it.
// Threads: any; calls on one value take turns, and none makes a system call under the lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/payload.h"
#include "base/result.h"
#include "fsops/host/export.h"
#include "fsops/session/ids.h"

namespace virtfs::session {

// Counts the bytes of one session's XattrValues. A Share is the right to have some.
class XattrBudget {
 public:
  class Share {
   public:
    Share(Share&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)), size_(other.size_) {}
    Share& operator=(Share&&) = delete;
    ~Share() {
      if (budget_ != nullptr) budget_->used_.fetch_sub(size_, std::memory_order_relaxed);
    }

   private:
    friend class XattrBudget;
    Share(XattrBudget* budget, uint64_t size) : budget_(budget), size_(size) {}
    XattrBudget* budget_;
    uint64_t size_;
  };

  // `used` is counted in, and must outlive the budget.
  XattrBudget(uint64_t limit, std::atomic<uint64_t>& used) : limit_(limit), used_(used) {}

  // ENOSPC.
  Result<Share> Take(uint64_t size);

 private:
  const uint64_t limit_;
  std::atomic<uint64_t>& used_;
};

class XattrValue {
 public:
  // The kernel's own limit (XATTR_SIZE_MAX); E2BIG beyond.
  static constexpr size_t kMaxSize = 65536;

  // To be read. ENOSPC: no room in `budget`.
  static Result<std::unique_ptr<XattrValue>> ForReading(XattrBudget& budget, std::string bytes);
  // To be written: `size` bytes of attribute `name`; 0: the attribute is to be removed. `bytes` is what is there
  // already.
  static Result<std::unique_ptr<XattrValue>> ForWriting(XattrBudget& budget, std::string name, size_t size,
                                                        host::XattrMode mode, std::string bytes = {});

  // How many bytes from `offset` on `room` got; 0 at the end or behind it. EBADF: it is to be written.
  Result<size_t> Read(uint64_t offset, const Payload& room);
  // All of `data`, or nothing: ENOSPC beyond the size, EINVAL with a hole before it. EBADF: it is to be read.
  Result<size_t> Write(uint64_t offset, const Payload& data);

  // Sets the attribute of `inode`, if this is to be written. EINVAL: not all bytes have come; others are the host's.
  // The attribute is unchanged then. `ids`: of the users and groups in an ACL (EOVERFLOW: the host has none such).
  Result<void> Set(host::Export& tree, host::Inode& inode, const Ids& ids);

  // --- for an image; while nothing else runs ---

  bool writable() const { return writable_; }
  const std::string& name() const { return name_; }
  size_t size() const { return size_; }
  host::XattrMode mode() const { return mode_; }
  const std::string& bytes() const { return bytes_; }

 private:
  XattrValue(XattrBudget::Share share, bool writable, std::string name, size_t size, host::XattrMode mode,
             std::string bytes)
      : share_(std::move(share)),
        writable_(writable),
        mode_(mode),
        size_(size),
        name_(std::move(name)),
        bytes_(std::move(bytes)) {}

  const XattrBudget::Share share_;
  const bool writable_;
  const host::XattrMode mode_;
  const size_t size_;       // Of all bytes.
  const std::string name_;  // Of what is to be written.
  std::mutex mutex_;        // Of bytes_, where they are to be written.
  std::string bytes_;
};

}  // namespace virtfs::session
