// The messages between a keeper and one of its servers: fixed-size structs, one per packet of a SOCK_SEQPACKET pair.
//
//     keeper                         server
//       Start (export, counters)->             fork and exec precede it
//                               <-  Locked     sandbox entered; from here on the server holds no right it does not need
//       Resume (memory)         ->             perhaps: the session to go on with (session_memory.h)
//       Connect                 ->             may follow Start at once; the server reads it when it is Locked
//                               <-  Connected  ring and event channel are served
//       Keep, Reopen, Drop      <-  (any time after Start)  Kept, Reopened ->
//       FindUser                <-  (any time after Start, of a share with enforce=server)  FoundUser ->
//       Stop                    ->             answer what is in flight, let go of the guest's memory, exit 0
//       HandOver (memory)       ->             in place of Stop: write the session into the memory before you end
//                               <-  HandedOver
//                               <-  Fault      at any time, once: why the server is about to exit
//
// Both ends are the same binary, so layouts may change freely. All integers are the machine's own.
// Trust: the keeper believes nothing that a server says (it may have been taken over by its guest) beyond its own
// share; a server trusts its keeper.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "options/share_options.h"

namespace virtfs::link {

enum class Kind : uint32_t {
  kStart = 1,
  kConnect,
  kStop,
  kLocked,
  kConnected,
  kFault,
  kKeep,
  kReopen,
  kDrop,
  kKept,
  kReopened,
  kFindUser,
  kFoundUser,
  kResume,
  kHandOver,
  kHandedOver,
};

// How many descriptors a packet of a kind carries.
enum class Carries { kNothing, kTwo, kPerhaps, kSome };

// As many descriptors as a packet of kSome may have; one has one at least.
inline constexpr size_t kMaxDescriptors = 16;

// keeper -> server, first. The descriptors are the export, an O_PATH descriptor of the root of a detached mount; and
// the memory for its counters (backend/counters).
struct Start {
  static constexpr Kind kKind = Kind::kStart;
  static constexpr Carries kCarries = Carries::kTwo;
  uint32_t domid = 0;  // the guest
  uint32_t devid = 0;  // with domid: which share, for messages
  options::ServerOptions options;
  uint32_t max_chain_slots = 0;  // as published to the guest
  uint32_t max_descriptors = 0;  // RLIMIT_NOFILE of the server
  uint32_t threads = 0;          // bound of the pool
  uint32_t log_level = 0;        // as backend/keeper/log.h counts them
};

inline constexpr uint32_t kMaxRingPages = 16;
inline constexpr uint32_t kMaxRings = 8;

// keeper -> server. Numbers that the guest wrote, parsed strictly but otherwise unchecked: hostile.
struct Connect {
  static constexpr Kind kKind = Kind::kConnect;
  static constexpr Carries kCarries = Carries::kNothing;
  uint32_t rings = 1;  // at most kMaxRings; of virtfs one
  std::array<uint32_t, kMaxRings> event_channels{};
  uint32_t ring_page_order = 0;  // of virtfs; at most log2(kMaxRingPages)
  // virtfs: the pages of the ring. 9pfs: the first page of each ring, which names the others.
  std::array<uint32_t, kMaxRingPages> ring_refs{};
  // virtfs only:
  uint32_t version = 0;  // 0: the frontend wrote none, so sizes of slots do not count
  uint32_t feature_persistent = 0;
};

struct Stop {
  static constexpr Kind kKind = Kind::kStop;
  static constexpr Carries kCarries = Carries::kNothing;
};

// keeper -> server, between Start and Connect. Carries the memory: so many tokens and bytes of an image, which another
// server wrote.
struct Resume {
  static constexpr Kind kKind = Kind::kResume;
  static constexpr Carries kCarries = Carries::kSome;
  uint64_t tokens = 0;
  uint64_t image = 0;
};

// keeper -> server. Carries memory.
struct HandOver {
  static constexpr Kind kKind = Kind::kHandOver;
  static constexpr Carries kCarries = Carries::kSome;
};

// server -> keeper. What lies in the memory; or `error`, a Linux errno, and nothing does.
struct HandedOver {
  static constexpr Kind kKind = Kind::kHandedOver;
  static constexpr Carries kCarries = Carries::kNothing;
  uint64_t tokens = 0;
  uint64_t image = 0;
  int32_t error = 0;
  uint32_t padding = 0;
};

struct Locked {
  static constexpr Kind kKind = Kind::kLocked;
  static constexpr Carries kCarries = Carries::kNothing;
};

struct Connected {
  static constexpr Kind kKind = Kind::kConnected;
  static constexpr Carries kCarries = Carries::kNothing;
};

// server -> keeper. One sentence, NUL-padded, cut if it is longer.
struct Fault {
  static constexpr Kind kKind = Kind::kFault;
  static constexpr Carries kCarries = Carries::kNothing;
  std::array<char, 256> text{};

  Fault() = default;
  explicit Fault(std::string_view sentence) { sentence.copy(text.data(), text.size()); }
  std::string_view sentence() const {
    std::string_view all(text.data(), text.size());
    return all.substr(0, all.find('\0'));
  }
};

// server -> keeper, the calls of host::HandleBroker. `sequence` is the caller's and comes back with the answer.
struct Keep {
  static constexpr Kind kKind = Kind::kKeep;
  static constexpr Carries kCarries = Carries::kSome;
  uint64_t sequence = 0;
};

struct Reopen {
  static constexpr Kind kKind = Kind::kReopen;
  static constexpr Carries kCarries = Carries::kNothing;
  uint64_t sequence = 0;
  uint64_t token = 0;
};

// No answer.
struct Drop {
  static constexpr Kind kKind = Kind::kDrop;
  static constexpr Carries kCarries = Carries::kNothing;
  static constexpr size_t kMaxTokens = 60;
  uint64_t count = 0;
  std::array<uint64_t, kMaxTokens> tokens{};
};

// keeper -> server. For each descriptor of the Keep, in its order. `error` is 0 or a Linux errno.
struct Kept {
  static constexpr Kind kKind = Kind::kKept;
  static constexpr Carries kCarries = Carries::kNothing;
  struct One {
    uint64_t token = 0;
    int32_t error = 0;
    uint32_t padding = 0;
  };
  uint64_t sequence = 0;
  uint64_t count = 0;
  std::array<One, kMaxDescriptors> files{};
};

// keeper -> server. Carries the O_PATH descriptor if `error` is 0.
struct Reopened {
  static constexpr Kind kKind = Kind::kReopened;
  static constexpr Carries kCarries = Carries::kPerhaps;
  uint64_t sequence = 0;
  int32_t error = 0;
  uint32_t padding = 0;
};

// server -> keeper, the call of host::UserDatabase.
struct FindUser {
  static constexpr Kind kKind = Kind::kFindUser;
  static constexpr Carries kCarries = Carries::kNothing;
  uint64_t sequence = 0;
  uint32_t uid = 0;
  uint32_t padding = 0;
};

inline constexpr uint32_t kMaxGroups = 1000;

// keeper -> server. `groups` are in ascending order and have `gid` among them.
struct FoundUser {
  static constexpr Kind kKind = Kind::kFoundUser;
  static constexpr Carries kCarries = Carries::kNothing;
  uint64_t sequence = 0;
  int32_t error = 0;  // 0 or a Linux errno
  uint32_t gid = 0;
  uint32_t count = 0;  // of groups
  uint32_t padding = 0;
  std::array<uint32_t, kMaxGroups> groups{};
};

}  // namespace virtfs::link
