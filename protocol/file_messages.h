// Messages about one open file: opening, creating, its bytes, locks.
//
// Source: diod's protocol.md.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocol/field.h"

namespace virtfs::p9 {

// Opens fid. flags are kOpen*. iounit is the most bytes for one read or write; 0: msize - kIoHeaderSize.
//
// size[4] Rlopen tag[2] qid[13] iounit[4]
struct Rlopen {
  static constexpr uint8_t kType = 13;
  Qid qid;
  uint32_t iounit = 0;
  static constexpr auto kFields = Fields(F<&Rlopen::qid>{"qid"}, F<&Rlopen::iounit>{"iounit"});
};

// size[4] Tlopen tag[2] fid[4] flags[4]
struct Tlopen {
  static constexpr uint8_t kType = 12;
  using Reply = Rlopen;
  Fid fid = kNoFid;
  uint32_t flags = 0;
  static constexpr auto kFields = Fields(F<&Tlopen::fid>{"fid"}, F<&Tlopen::flags>{"flags"});
};

// Makes a regular file in the directory fid and opens it; fid is the file from then on. flags are kOpen*, mode is after
// the client's umask, gid the caller's group.
//
// size[4] Rlcreate tag[2] qid[13] iounit[4]
struct Rlcreate {
  static constexpr uint8_t kType = 15;
  Qid qid;
  uint32_t iounit = 0;
  static constexpr auto kFields = Fields(F<&Rlcreate::qid>{"qid"}, F<&Rlcreate::iounit>{"iounit"});
};

// size[4] Tlcreate tag[2] fid[4] name[s] flags[4] mode[4] gid[4]
struct Tlcreate {
  static constexpr uint8_t kType = 14;
  using Reply = Rlcreate;
  Fid fid = kNoFid;
  std::string_view name;
  uint32_t flags = 0;
  uint32_t mode = 0;
  uint32_t gid = 0;
  static constexpr auto kFields =
      Fields(F<&Tlcreate::fid>{"fid"}, F<&Tlcreate::name>{"name"}, F<&Tlcreate::flags>{"flags"},
             F<&Tlcreate::mode>{"mode"}, F<&Tlcreate::gid>{"gid"});
};

// At most count bytes from offset; none at the end of the file.
//
// size[4] Rread tag[2] count[4] data[count]
struct Rread {
  static constexpr uint8_t kType = 117;
  static constexpr bool kHasPayload = true;
  uint32_t count = 0;
  static constexpr auto kFields = Fields(F<&Rread::count>{"count"});
};

// size[4] Tread tag[2] fid[4] offset[8] count[4]
struct Tread {
  static constexpr uint8_t kType = 116;
  using Reply = Rread;
  Fid fid = kNoFid;
  uint64_t offset = 0;
  uint32_t count = 0;
  static constexpr auto kFields = Fields(F<&Tread::fid>{"fid"}, F<&Tread::offset>{"offset"}, F<&Tread::count>{"count"});
};

// The reply's count is how many bytes were written.
//
// size[4] Rwrite tag[2] count[4]
struct Rwrite {
  static constexpr uint8_t kType = 119;
  uint32_t count = 0;
  static constexpr auto kFields = Fields(F<&Rwrite::count>{"count"});
};

// size[4] Twrite tag[2] fid[4] offset[8] count[4] data[count]
struct Twrite {
  static constexpr uint8_t kType = 118;
  using Reply = Rwrite;
  static constexpr bool kHasPayload = true;
  Fid fid = kNoFid;
  uint64_t offset = 0;
  uint32_t count = 0;
  static constexpr auto kFields =
      Fields(F<&Twrite::fid>{"fid"}, F<&Twrite::offset>{"offset"}, F<&Twrite::count>{"count"});
};

// datasync other than 0: data without times. Some clients leave it out.
//
// size[4] Rfsync tag[2]
struct Rfsync {
  static constexpr uint8_t kType = 51;
  static constexpr auto kFields = Fields();
};

// size[4] Tfsync tag[2] fid[4] datasync[4]
struct Tfsync {
  static constexpr uint8_t kType = 50;
  using Reply = Rfsync;
  Fid fid = kNoFid;
  uint32_t datasync = 0;
  static constexpr auto kFields = Fields(F<&Tfsync::fid>{"fid"}, OptionalF<&Tfsync::datasync>{"datasync"});
};

// Takes or gives up a POSIX record lock. type is kLockRead, kLockWrite or kLockUnlock, flags kLockBlock or
// kLockReclaim, length 0 up to the end; status is kLockSuccess and so on. The owner is proc_id at client_id.
//
// size[4] Rlock tag[2] status[1]
struct Rlock {
  static constexpr uint8_t kType = 53;
  uint8_t status = 0;
  static constexpr auto kFields = Fields(F<&Rlock::status>{"status"});
};

// size[4] Tlock tag[2] fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s]
struct Tlock {
  static constexpr uint8_t kType = 52;
  using Reply = Rlock;
  Fid fid = kNoFid;
  uint8_t type = 0;
  uint32_t flags = 0;
  uint64_t start = 0;
  uint64_t length = 0;
  uint32_t proc_id = 0;
  std::string_view client_id;
  static constexpr auto kFields =
      Fields(F<&Tlock::fid>{"fid"}, F<&Tlock::type>{"type"}, F<&Tlock::flags>{"flags"}, F<&Tlock::start>{"start"},
             F<&Tlock::length>{"length"}, F<&Tlock::proc_id>{"proc_id"}, F<&Tlock::client_id>{"client_id"});
};

// What stands in the way of such a lock: the reply is the lock of the holder, or kLockUnlock.
//
// size[4] Rgetlock tag[2] type[1] start[8] length[8] proc_id[4] client_id[s]
struct Rgetlock {
  static constexpr uint8_t kType = 55;
  uint8_t type = 0;
  uint64_t start = 0;
  uint64_t length = 0;
  uint32_t proc_id = 0;
  std::string_view client_id;
  static constexpr auto kFields =
      Fields(F<&Rgetlock::type>{"type"}, F<&Rgetlock::start>{"start"}, F<&Rgetlock::length>{"length"},
             F<&Rgetlock::proc_id>{"proc_id"}, F<&Rgetlock::client_id>{"client_id"});
};

// size[4] Tgetlock tag[2] fid[4] type[1] start[8] length[8] proc_id[4] client_id[s]
struct Tgetlock {
  static constexpr uint8_t kType = 54;
  using Reply = Rgetlock;
  Fid fid = kNoFid;
  uint8_t type = 0;
  uint64_t start = 0;
  uint64_t length = 0;
  uint32_t proc_id = 0;
  std::string_view client_id;
  static constexpr auto kFields =
      Fields(F<&Tgetlock::fid>{"fid"}, F<&Tgetlock::type>{"type"}, F<&Tgetlock::start>{"start"},
             F<&Tgetlock::length>{"length"}, F<&Tgetlock::proc_id>{"proc_id"}, F<&Tgetlock::client_id>{"client_id"});
};

}  // namespace virtfs::p9
