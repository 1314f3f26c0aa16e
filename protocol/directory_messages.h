// Messages about directories and the names in them.
//
// Source: diod's protocol.md.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocol/field.h"

namespace virtfs::p9 {

// One entry in the payload of an Rreaddir: qid[13] offset[8] type[1] name[s]. Not a message: it has no header.
struct DirEntry {
  Qid qid;
  uint64_t offset = 0;  // Cookie of the entry after this one, for Treaddir::offset; opaque to the client.
  uint8_t type = 0;     // DT_* of Linux.
  std::string_view name;
  static constexpr auto kFields = Fields(F<&DirEntry::qid>{"qid"}, F<&DirEntry::offset>{"offset"},
                                         F<&DirEntry::type>{"type"}, F<&DirEntry::name>{"name"});
};

// DirEntry after DirEntry, at most count bytes, from the cookie offset (0: the first); none at the end.
//
// size[4] Rreaddir tag[2] count[4] data[count]
struct Rreaddir {
  static constexpr uint8_t kType = 41;
  static constexpr bool kHasPayload = true;
  uint32_t count = 0;
  static constexpr auto kFields = Fields(F<&Rreaddir::count>{"count"});
};

// size[4] Treaddir tag[2] fid[4] offset[8] count[4]
struct Treaddir {
  static constexpr uint8_t kType = 40;
  using Reply = Rreaddir;
  Fid fid = kNoFid;
  uint64_t offset = 0;
  uint32_t count = 0;
  static constexpr auto kFields =
      Fields(F<&Treaddir::fid>{"fid"}, F<&Treaddir::offset>{"offset"}, F<&Treaddir::count>{"count"});
};

// mode is after the client's umask, gid the caller's group.
//
// size[4] Rmkdir tag[2] qid[13]
struct Rmkdir {
  static constexpr uint8_t kType = 73;
  Qid qid;
  static constexpr auto kFields = Fields(F<&Rmkdir::qid>{"qid"});
};

// size[4] Tmkdir tag[2] dfid[4] name[s] mode[4] gid[4]
struct Tmkdir {
  static constexpr uint8_t kType = 72;
  using Reply = Rmkdir;
  Fid dfid = kNoFid;
  std::string_view name;
  uint32_t mode = 0;
  uint32_t gid = 0;
  static constexpr auto kFields =
      Fields(F<&Tmkdir::dfid>{"dfid"}, F<&Tmkdir::name>{"name"}, F<&Tmkdir::mode>{"mode"}, F<&Tmkdir::gid>{"gid"});
};

// Makes `name` in the directory fid, which points to symtgt. gid is the caller's group.
//
// size[4] Rsymlink tag[2] qid[13]
struct Rsymlink {
  static constexpr uint8_t kType = 17;
  Qid qid;
  static constexpr auto kFields = Fields(F<&Rsymlink::qid>{"qid"});
};

// size[4] Tsymlink tag[2] fid[4] name[s] symtgt[s] gid[4]
struct Tsymlink {
  static constexpr uint8_t kType = 16;
  using Reply = Rsymlink;
  Fid fid = kNoFid;
  std::string_view name;
  std::string_view symtgt;
  uint32_t gid = 0;
  static constexpr auto kFields = Fields(F<&Tsymlink::fid>{"fid"}, F<&Tsymlink::name>{"name"},
                                         F<&Tsymlink::symtgt>{"symtgt"}, F<&Tsymlink::gid>{"gid"});
};

// Where the symbolic link points to.
//
// size[4] Rreadlink tag[2] target[s]
struct Rreadlink {
  static constexpr uint8_t kType = 23;
  std::string_view target;
  static constexpr auto kFields = Fields(F<&Rreadlink::target>{"target"});
};

// size[4] Treadlink tag[2] fid[4]
struct Treadlink {
  static constexpr uint8_t kType = 22;
  using Reply = Rreadlink;
  Fid fid = kNoFid;
  static constexpr auto kFields = Fields(F<&Treadlink::fid>{"fid"});
};

// Makes a device, FIFO, socket or plain file. mode with the type of the file; gid is the caller's group.
//
// size[4] Rmknod tag[2] qid[13]
struct Rmknod {
  static constexpr uint8_t kType = 19;
  Qid qid;
  static constexpr auto kFields = Fields(F<&Rmknod::qid>{"qid"});
};

// size[4] Tmknod tag[2] dfid[4] name[s] mode[4] major[4] minor[4] gid[4]
struct Tmknod {
  static constexpr uint8_t kType = 18;
  using Reply = Rmknod;
  Fid dfid = kNoFid;
  std::string_view name;
  uint32_t mode = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t gid = 0;
  static constexpr auto kFields =
      Fields(F<&Tmknod::dfid>{"dfid"}, F<&Tmknod::name>{"name"}, F<&Tmknod::mode>{"mode"}, F<&Tmknod::major>{"major"},
             F<&Tmknod::minor>{"minor"}, F<&Tmknod::gid>{"gid"});
};

// Makes `name` in the directory dfid another name of fid.
//
// size[4] Rlink tag[2]
struct Rlink {
  static constexpr uint8_t kType = 71;
  static constexpr auto kFields = Fields();
};

// size[4] Tlink tag[2] dfid[4] fid[4] name[s]
struct Tlink {
  static constexpr uint8_t kType = 70;
  using Reply = Rlink;
  Fid dfid = kNoFid;
  Fid fid = kNoFid;
  std::string_view name;
  static constexpr auto kFields = Fields(F<&Tlink::dfid>{"dfid"}, F<&Tlink::fid>{"fid"}, F<&Tlink::name>{"name"});
};

// Moves fid into the directory dfid, as `name`.
//
// size[4] Rrename tag[2]
struct Rrename {
  static constexpr uint8_t kType = 21;
  static constexpr auto kFields = Fields();
};

// size[4] Trename tag[2] fid[4] dfid[4] name[s]
struct Trename {
  static constexpr uint8_t kType = 20;
  using Reply = Rrename;
  Fid fid = kNoFid;
  Fid dfid = kNoFid;
  std::string_view name;
  static constexpr auto kFields = Fields(F<&Trename::fid>{"fid"}, F<&Trename::dfid>{"dfid"}, F<&Trename::name>{"name"});
};

// Moves a name from one directory to another.
//
// size[4] Rrenameat tag[2]
struct Rrenameat {
  static constexpr uint8_t kType = 75;
  static constexpr auto kFields = Fields();
};

// size[4] Trenameat tag[2] olddirfid[4] oldname[s] newdirfid[4] newname[s]
struct Trenameat {
  static constexpr uint8_t kType = 74;
  using Reply = Rrenameat;
  Fid olddirfid = kNoFid;
  std::string_view oldname;
  Fid newdirfid = kNoFid;
  std::string_view newname;
  static constexpr auto kFields = Fields(F<&Trenameat::olddirfid>{"olddirfid"}, F<&Trenameat::oldname>{"oldname"},
                                         F<&Trenameat::newdirfid>{"newdirfid"}, F<&Trenameat::newname>{"newname"});
};

// Removes the name from the directory dirfd. flags: kUnlinkRemoveDirectory or 0.
//
// size[4] Runlinkat tag[2]
struct Runlinkat {
  static constexpr uint8_t kType = 77;
  static constexpr auto kFields = Fields();
};

// size[4] Tunlinkat tag[2] dirfd[4] name[s] flags[4]
struct Tunlinkat {
  static constexpr uint8_t kType = 76;
  using Reply = Runlinkat;
  Fid dirfd = kNoFid;
  std::string_view name;
  uint32_t flags = 0;
  static constexpr auto kFields =
      Fields(F<&Tunlinkat::dirfd>{"dirfd"}, F<&Tunlinkat::name>{"name"}, F<&Tunlinkat::flags>{"flags"});
};

// Removes the file and gives the fid up, even if that fails.
//
// size[4] Rremove tag[2]
struct Rremove {
  static constexpr uint8_t kType = 123;
  static constexpr auto kFields = Fields();
};

// size[4] Tremove tag[2] fid[4]
struct Tremove {
  static constexpr uint8_t kType = 122;
  using Reply = Rremove;
  Fid fid = kNoFid;
  static constexpr auto kFields = Fields(F<&Tremove::fid>{"fid"});
};

}  // namespace virtfs::p9
