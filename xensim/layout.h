// The state of a simulated Xen, as it lies in the file `state` that every process of the simulation maps.
//
// There is no daemon: hypervisor and kernel drivers are these tables and the code that each process runs on them.
// - Words that a hot path reads without the lock are atomic. All else is read and written under State::lock.
// - A process may die at any instruction, so every record becomes valid by one last store (an id, a state), and what is
//   derived (Grant::maps, Port::pins) is counted anew when the lock is found with a dead owner.
//
// Units: pages are 4 KiB; a grant reference is the index of the page that it grants. Trust: none is needed, test code.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace xensim {

inline constexpr size_t kPageSize = 4096;
inline constexpr uint32_t kMaxDomains = 64;          // domain ids are 0..63
inline constexpr uint32_t kPagesPerDomain = 4096;    // the hard bound of what a domain can share
inline constexpr uint32_t kFirstFreeRef = 8;         // 0..7 are reserved by Xen; 1 is the xenstore ring
inline constexpr uint32_t kXenstoreRef = 1;          //
inline constexpr uint32_t kDefaultPageLimit = 1024;  // Linux's gntalloc.limit
inline constexpr uint32_t kMaxPorts = 1024;          // event channels of a domain; port 0 is never used
inline constexpr uint32_t kMaxHandles = 1024;
inline constexpr uint32_t kMaxUses = 65536;  // pages mapped at a time, of all domains together
inline constexpr uint32_t kMaxFaults = 32;
inline constexpr uint32_t kAnyDomain = UINT32_MAX;
inline constexpr uint64_t kMemoryBytes = uint64_t{kMaxDomains} * kPagesPerDomain * kPageSize;

// What is counted and what can be made to fail. kCopySegment counts nothing of its own: it is there for faults.
enum class Call : uint32_t {
  kGnttabOpen,
  kMap,
  kUnmap,
  kCopy,
  kCopySegment,
  kGntshrOpen,
  kShare,
  kUnshare,
  kEvtchnOpen,
  kBindUnbound,
  kBindInterdomain,
  kBindVirq,
  kUnbind,
  kNotify,
  kPending,
  kUnmask,
  kRestrict,
};
inline constexpr uint32_t kCalls = 17;
inline constexpr const char* kCallNames[kCalls] = {
    "gnttab_open", "map",     "unmap",       "copy",         "copy_segment",     "gntshr_open",
    "share",       "unshare", "evtchn_open", "bind_unbound", "bind_interdomain", "bind_virq",
    "unbind",      "notify",  "pending",     "unmask",       "restrict"};

struct Counter {
  std::atomic<uint64_t> calls;
  std::atomic<uint64_t> units;  // pages (map, unmap, share, unshare) or segments (copy) of the calls that succeeded
};

enum class DomainState : uint32_t { kAbsent, kAlive, kDying };  // kDying: destroyed, but pages are mapped still

struct Domain {
  std::atomic<DomainState> state;
  uint32_t page_limit;
  uint32_t ref_cursor;   // where the search for free pages goes on
  uint32_t port_cursor;  // likewise for ports
  Counter counters[kCalls];
};

// The next `after` matching calls pass, the `count` calls behind them fail with `error`.
struct Fault {
  std::atomic<uint32_t> active;
  Call call;
  uint32_t domid;  // of the caller, or kAnyDomain
  int error;
  std::atomic<int64_t> after;
  std::atomic<int64_t> count;
};

enum class HandleKind : uint32_t { kGnttab, kGntshr, kEvtchn };
inline constexpr uint32_t kUnrestricted = UINT32_MAX;

// An open handle. It lives as long as its open file description: a lock on that tells the others.
struct Handle {
  std::atomic<uint32_t> id;  // its index here and, above that, a number never used before; 0: the record is free
  HandleKind kind;
  uint32_t domid;
  int32_t pid;
  uint32_t restricted_to;  // xenevtchn_restrict
  uint32_t closed;         // closed by its owner, but pages mapped through it remain, as with the kernel's drivers
  uint64_t fifo_inode;     // kEvtchn: how xenevtchn_fdopen finds its record
  char command[16];
};

// What happens when a page is unmapped or unshared (xengnttab_map_grant_ref_notify).
struct UnmapNotify {
  uint32_t clears_byte;
  uint32_t offset;
  uint32_t sends_event;
  uint32_t port;  // of the domain that asked for it
};

// One page mapped through a handle.
struct Use {
  std::atomic<uint32_t> handle_id;  // 0: the record is free
  uint32_t domid;                   // whose page
  uint32_t ref;
  UnmapNotify notify;
};

// kRevoked: its owner holds it still, nobody can map it any more. kRetired: given up by its owner while mapped
// elsewhere; the page is not used again before the last mapping is gone.
enum class GrantState : uint32_t { kFree = 0, kGranted = 1, kRevoked = 2, kRetired = 3 };

struct Grant {
  std::atomic<uint32_t> word;  // GrantWord
  uint32_t maps;
  uint32_t owner;  // id of a handle, 0: the domain itself
  UnmapNotify notify;
};

struct GrantWord {
  GrantState state = GrantState::kFree;
  bool readonly = false;
  uint32_t to = 0;  // the domain that may use it

  static GrantWord Unpack(uint32_t word) { return {static_cast<GrantState>(word & 3), (word & 4) != 0, word >> 16}; }
  uint32_t Pack() const { return static_cast<uint32_t>(state) | (readonly ? 4U : 0U) | to << 16; }
};

enum class PortState : uint32_t { kFree = 0, kUnbound = 1, kInterdomain = 2, kVirq = 3 };

// What a port is bound to, in one word so that a notify sees either the old or the new.
struct Binding {
  PortState state = PortState::kFree;
  uint32_t domid = 0;  // the peer's, or who may become it
  uint32_t port = 0;   // the peer's port, or the number of the VIRQ

  static Binding Unpack(uint64_t word) {
    return {static_cast<PortState>(word & 0xff), static_cast<uint32_t>(word >> 8 & 0xffff),
            static_cast<uint32_t>(word >> 32)};
  }
  uint64_t Pack() const { return static_cast<uint64_t>(state) | uint64_t{domid} << 8 | uint64_t{port} << 32; }
};

inline constexpr uint32_t kPortMasked = 1;   // an event was delivered and not unmasked yet
inline constexpr uint32_t kPortPending = 2;  // another came meanwhile

struct Port {
  std::atomic<uint64_t> binding;
  std::atomic<uint32_t> flags;  // kPortMasked | kPortPending
  std::atomic<uint32_t> owner;  // id of an evtchn handle, 0: the domain itself
  uint32_t pins;                // unmap notifications that will use it; they keep it open
};

struct State {
  pthread_mutex_t lock;
  std::atomic<uint32_t> handles_opened;
  std::atomic<uint32_t> armed_faults;
  uint32_t use_cursor;
  Fault faults[kMaxFaults];
  Domain domains[kMaxDomains];
  Handle handles[kMaxHandles];
  Use uses[kMaxUses];
  Port ports[kMaxDomains][kMaxPorts];
  Grant grants[kMaxDomains][kPagesPerDomain];
};

}  // namespace xensim
