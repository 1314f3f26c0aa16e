// Numbers of 9P2000.L that have a meaning of their own: flags, masks, statuses.
//
// All are what stands on the wire. Where Linux has a constant of the same meaning, the wire has Linux's generic value
// (that of x86), whatever the host's architecture says.
//
// Source: net/9p/9p.h of Linux and diod's protocol.md.
#pragma once

#include <cstdint>
#include <string_view>

namespace virtfs::p9 {

// The one dialect spoken here, and what a server answers to any other (an Rversion, not an error).
inline constexpr std::string_view kVersion = "9P2000.L";
inline constexpr std::string_view kVersionUnknown = "unknown";

// What Linux's client takes off msize for one read or write when Rlopen::iounit is 0.
inline constexpr uint32_t kIoHeaderSize = 24;
// Linux's client refuses a smaller msize.
inline constexpr uint32_t kMinMsize = 4096;

// Tattach::n_uname, Tauth::n_uname: use uname.
inline constexpr uint32_t kNoUname = 0xffffffff;
// Tsetattr::uid and gid, Tlcreate::gid ...: none given.
inline constexpr uint32_t kNoId = 0xffffffff;

// Qid::type, bits.
inline constexpr uint8_t kQidFile = 0x00;
inline constexpr uint8_t kQidSymlink = 0x02;
inline constexpr uint8_t kQidAppend = 0x40;
inline constexpr uint8_t kQidDirectory = 0x80;

// Tlopen::flags, Tlcreate::flags.
inline constexpr uint32_t kOpenReadOnly = 0;
inline constexpr uint32_t kOpenWriteOnly = 01;
inline constexpr uint32_t kOpenReadWrite = 02;
inline constexpr uint32_t kOpenAccessMask = 03;
inline constexpr uint32_t kOpenCreate = 0100;
inline constexpr uint32_t kOpenExclusive = 0200;
inline constexpr uint32_t kOpenNoCtty = 0400;
inline constexpr uint32_t kOpenTruncate = 01000;
inline constexpr uint32_t kOpenAppend = 02000;
inline constexpr uint32_t kOpenNonblock = 04000;
inline constexpr uint32_t kOpenDsync = 010000;
inline constexpr uint32_t kOpenAsync = 020000;
inline constexpr uint32_t kOpenDirect = 040000;
inline constexpr uint32_t kOpenLargeFile = 0100000;
inline constexpr uint32_t kOpenDirectory = 0200000;
inline constexpr uint32_t kOpenNoFollow = 0400000;
inline constexpr uint32_t kOpenNoAtime = 01000000;
inline constexpr uint32_t kOpenCloseOnExec = 02000000;
inline constexpr uint32_t kOpenSync = 04000000;  // Linux's O_SYNC is this and kOpenDsync together.

// Tgetattr::request_mask, Rgetattr::valid.
inline constexpr uint64_t kGetattrMode = 0x1;
inline constexpr uint64_t kGetattrNlink = 0x2;
inline constexpr uint64_t kGetattrUid = 0x4;
inline constexpr uint64_t kGetattrGid = 0x8;
inline constexpr uint64_t kGetattrRdev = 0x10;
inline constexpr uint64_t kGetattrAtime = 0x20;
inline constexpr uint64_t kGetattrMtime = 0x40;
inline constexpr uint64_t kGetattrCtime = 0x80;
inline constexpr uint64_t kGetattrIno = 0x100;
inline constexpr uint64_t kGetattrSize = 0x200;
inline constexpr uint64_t kGetattrBlocks = 0x400;
inline constexpr uint64_t kGetattrBtime = 0x800;
inline constexpr uint64_t kGetattrGen = 0x1000;
inline constexpr uint64_t kGetattrDataVersion = 0x2000;
inline constexpr uint64_t kGetattrBasic = 0x7ff;  // All up to blocks.
inline constexpr uint64_t kGetattrAll = 0x3fff;

// Tsetattr::valid. A time without its Set bit means the server's clock.
inline constexpr uint32_t kSetattrMode = 0x1;
inline constexpr uint32_t kSetattrUid = 0x2;
inline constexpr uint32_t kSetattrGid = 0x4;
inline constexpr uint32_t kSetattrSize = 0x8;
inline constexpr uint32_t kSetattrAtime = 0x10;
inline constexpr uint32_t kSetattrMtime = 0x20;
inline constexpr uint32_t kSetattrCtime = 0x40;
inline constexpr uint32_t kSetattrAtimeSet = 0x80;
inline constexpr uint32_t kSetattrMtimeSet = 0x100;

// Tunlinkat::flags.
inline constexpr uint32_t kUnlinkRemoveDirectory = 0x200;

// Txattrcreate::flags.
inline constexpr uint32_t kXattrCreate = 1;
inline constexpr uint32_t kXattrReplace = 2;

// Tlock::type, Tgetlock::type, Rgetlock::type.
inline constexpr uint8_t kLockRead = 0;
inline constexpr uint8_t kLockWrite = 1;
inline constexpr uint8_t kLockUnlock = 2;

// Tlock::flags.
inline constexpr uint32_t kLockBlock = 1;
inline constexpr uint32_t kLockReclaim = 2;

// Rlock::status.
inline constexpr uint8_t kLockSuccess = 0;
inline constexpr uint8_t kLockBlocked = 1;
inline constexpr uint8_t kLockError = 2;
inline constexpr uint8_t kLockGrace = 3;

}  // namespace virtfs::p9
