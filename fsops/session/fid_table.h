// FidTable: what each of the client's fids stands for.
//
// A FidState never changes. Whoever looks a fid up gets a reference to the state of that moment and keeps it as long as
// the operation runs; Tclunk takes the fid out of the table at once and hurts nobody. An operation that gives a fid
// another state (Tlopen, Tlcreate, Twalk onto the same fid) announces it (BeginChange), so that there is one at a time.
//
// Threads: every method from any thread. One lock, held for one look-up.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "base/result.h"
#include "fsops/host/inode.h"
#include "fsops/host/open_file.h"
#include "fsops/session/names.h"
#include "fsops/session/xattr_value.h"
#include "protocol/field.h"

namespace virtfs::session {

// Counts the open files of one session. A Slot is the right to have one.
class OpenFileBudget {
 public:
  class Slot {
   public:
    Slot(Slot&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (budget_ != nullptr) budget_->used_.fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    friend class OpenFileBudget;
    explicit Slot(OpenFileBudget* budget) : budget_(budget) {}
    OpenFileBudget* budget_;
  };

  // `used` is counted in, and must outlive the budget.
  OpenFileBudget(uint32_t limit, std::atomic<uint64_t>& used) : limit_(limit), used_(used) {}

  // EMFILE.
  Result<Slot> Take() {
    Slot slot(this);
    if (used_.fetch_add(1, std::memory_order_relaxed) >= limit_) return Errno(EMFILE);
    return slot;
  }

 private:
  const uint32_t limit_;
  std::atomic<uint64_t>& used_;
};

// What a fid stands for beyond its file. Exactly one of `file` and `xattr` is there.
struct Opened {
  // By Tlopen or Tlcreate.
  Opened(OpenFileBudget::Slot slot, std::unique_ptr<host::OpenFile> file, uint32_t flags)
      : slot(std::move(slot)), file(std::move(file)), flags(flags) {}
  // By Txattrwalk or Txattrcreate.
  explicit Opened(std::unique_ptr<XattrValue> xattr) : xattr(std::move(xattr)) {}

  std::optional<OpenFileBudget::Slot> slot;
  std::unique_ptr<host::OpenFile> file;
  uint32_t flags = 0;  // As the client gave them (p9::kOpen*).
  // Whether the fid may have locked something (Locks); never unset.
  std::atomic<bool> locked = false;
  std::unique_ptr<XattrValue> xattr;
};

// The user of a fid who is nobody of the host.
inline constexpr uint32_t kNoOwner = 0xffffffff;

class FidState {
 public:
  FidState(uint32_t uid, host::InodeRef inode, NameRef name, std::unique_ptr<Opened> opened = nullptr)
      : inode(std::move(inode)), name(std::move(name)), opened(std::move(opened)), uid(uid) {}

  const host::InodeRef inode;  // Null: came in an image, and the file could not be had again.
  const NameRef name;
  const std::unique_ptr<Opened> opened;  // Null: nothing but the file.
  const uint32_t uid;  // Of the attach, the host's: who acts through this fid and owns what he makes; or kNoOwner.

 private:
  friend class FidRef;
  friend class FidTable;

  mutable std::atomic<uint32_t> references_ = 0;
  // Of the table, under its lock.
  p9::Fid fid_ = p9::kNoFid;
  bool changing_ = false;
};
static_assert(sizeof(FidState) <= 40, "a guest may have a million of them; malloc rounds 41 up to 64");

class FidRef {
 public:
  FidRef() = default;
  explicit FidRef(FidState* state) : state_(state) { Ref(); }
  FidRef(const FidRef& other) : state_(other.state_) { Ref(); }
  FidRef(FidRef&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  FidRef& operator=(FidRef other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~FidRef() {
    if (state_ != nullptr && state_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete state_;
  }

  const FidState& operator*() const { return *state_; }
  const FidState* operator->() const { return state_; }
  explicit operator bool() const { return state_ != nullptr; }

 private:
  friend class FidTable;
  void Ref() {
    if (state_ != nullptr) state_->references_.fetch_add(1, std::memory_order_relaxed);
  }

  FidState* state_ = nullptr;
};

class FidTable {
 public:
  // The right to give one fid another state; given up by its destructor.
  class Change {
   public:
    Change(Change&& other) noexcept : table_(std::exchange(other.table_, nullptr)), before_(std::move(other.before_)) {}
    Change& operator=(Change&&) = delete;
    ~Change();

    const FidState& before() const { return *before_; }
    // A fid that was clunked meanwhile stays clunked.
    void Commit(std::unique_ptr<FidState> after) &&;

   private:
    friend class FidTable;
    Change(FidTable* table, FidRef before) : table_(table), before_(std::move(before)) {}
    FidTable* table_;
    FidRef before_;
  };

  // `count` is how many fids there are, for others to see. It must outlive the table.
  FidTable(uint32_t limit, std::atomic<uint64_t>& count) : limit_(limit), count_(count) {}
  ~FidTable() { Clear(); }
  FidTable(const FidTable&) = delete;
  FidTable& operator=(const FidTable&) = delete;

  // For whatever concerns its file. EBADF: unknown. ESTALE: without an inode. EINVAL: it stands for an attribute.
  Result<FidRef> Find(p9::Fid fid);
  // For reading and writing: what has something opened, an attribute included. EBADF: unknown, or nothing is. ESTALE.
  Result<FidRef> FindOpened(p9::Fid fid);
  // EINVAL: kNoFid. EBADF: in use. ENFILE: too many.
  Result<void> Insert(p9::Fid fid, std::unique_ptr<FidState> state);
  // Whether `fid` still stands for this very state.
  bool Has(p9::Fid fid, const FidRef& state);
  // EBADF, ESTALE, EINVAL: as Find. EBUSY: another operation is changing it.
  Result<Change> BeginChange(p9::Fid fid);
  // EBADF: unknown. What it stood for lives on as long as the reference.
  Result<FidRef> Remove(p9::Fid fid);
  void Clear();

  size_t size();
  // Every fid there is, in no order.
  std::vector<std::pair<p9::Fid, FidRef>> Snapshot();

 private:
  // EINVAL: not a file's.
  static Result<void> CheckFile(const FidState& state);
  static p9::Fid FidOf(p9::Fid fid) { return fid; }
  static p9::Fid FidOf(const FidState* state) { return state->fid_; }
  struct Hash {
    using is_transparent = void;
    size_t operator()(const auto& fid) const { return absl::Hash<p9::Fid>()(FidOf(fid)); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const auto& a, const auto& b) const { return FidOf(a) == FidOf(b); }
  };
  // By the fid inside the state, which spares the set a copy of it. Each entry is one reference.
  using States = absl::flat_hash_set<FidState*, Hash, Equal>;

  // The entry's reference becomes the caller's.
  static FidRef Take(States& states, States::iterator entry);
  void Put(p9::Fid fid, std::unique_ptr<FidState> state);
  void Count() { count_.store(states_.size(), std::memory_order_relaxed); }

  const uint32_t limit_;
  std::atomic<uint64_t>& count_;
  std::mutex mutex_;
  States states_;
};

}  // namespace virtfs::session
