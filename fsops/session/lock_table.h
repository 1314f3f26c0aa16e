// LockTable: which bytes of one file the clients of one session have locked, by the rules of POSIX record locks.
//
// An owner is a process of a client. It may read-lock what no other has write-locked, and write-lock what no other has
// locked; its own locks never stand in its way, the new one takes their place. Neighbouring ranges of one owner are one
// range where type and fid agree. Each range remembers the fid by which it was locked last, whose clunk releases it.
//
// A change is planned first and then applied, so that its cost can be counted and the host be asked in between.
//
// A value: no system calls, no locks of its own, from one thread at a time. Look-ups cost a step per owner and the
// logarithm of its ranges.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fsops/host/lock_file.h"
#include "protocol/field.h"

namespace virtfs::session {

struct LockOwner {
  uint32_t proc_id = 0;
  std::string client_id;

  friend auto operator<=>(const LockOwner&, const LockOwner&) = default;
};

struct LockedRange {
  host::ByteRange bytes;
  host::LockType type = host::LockType::kRead;
  p9::Fid fid = p9::kNoFid;
};

class LockTable {
 public:
  // A change to one owner's ranges: those that go, and those that come in their place.
  class Edit {
   public:
    // By how many ranges the table grows.
    ptrdiff_t growth() const { return static_cast<ptrdiff_t>(come_.size()) - static_cast<ptrdiff_t>(go_.size()); }

   private:
    friend class LockTable;
    LockOwner owner_;
    std::vector<uint64_t> go_;  // By their first bytes.
    std::vector<LockedRange> come_;
  };

  // `owner` has `range` and nothing else of these bytes. That no other stands in the way is the caller's to know.
  Edit PlanLock(const LockOwner& owner, const LockedRange& range) const;
  Edit PlanUnlock(const LockOwner& owner, host::ByteRange bytes) const;
  // Before any other change.
  void Apply(const Edit& edit);

  // Takes away what was locked by `fid`. `unheld` is of bytes of which nobody holds anything, those that were released
  // and are free now among them.
  struct Released {
    size_t ranges = 0;
    std::vector<host::ByteRange> unheld;
  };
  Released Release(p9::Fid fid);

  // A lock of another owner that is in the way of such a one: the one of the lowest byte in `bytes`, with all that its
  // owner holds around it in the same way.
  struct Holder {
    LockOwner owner;
    host::LockType type;
    host::ByteRange bytes;
  };
  std::optional<Holder> Conflict(const LockOwner& owner, host::LockType type, host::ByteRange bytes) const;

  // The parts of `bytes` of which nobody holds anything, but for `owner`, whose ranges do not count.
  std::vector<host::ByteRange> Unheld(host::ByteRange bytes, const LockOwner* owner) const;

  // Every range, by owner, then in order.
  std::vector<std::pair<LockOwner, LockedRange>> All() const;

  bool empty() const { return owners_.empty(); }
  size_t size() const;

 private:
  using Ranges = std::map<uint64_t, LockedRange>;  // By first byte; they do not overlap.

  // The first that reaches `byte` or is behind it.
  static Ranges::const_iterator FirstFrom(const Ranges& ranges, uint64_t byte);
  Edit Plan(const LockOwner& owner, host::ByteRange bytes, const LockedRange* range) const;

  std::map<LockOwner, Ranges> owners_;  // None without a range.
};

}  // namespace virtfs::session
