// SessionOptions: the bounds of one session, and what the operator chose for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "base/id_map.h"

namespace virtfs {

struct SessionGauges;

namespace host {
class UserDatabase;
}

// Which users and groups of the guest are which of the host.
struct IdOptions {
  IdMap uids = {};
  IdMap gids = {};
  // Whose ids become these two of the host instead: root's, or all.
  enum class Squash : uint8_t { kNone, kRoot, kAll };
  Squash squash = Squash::kNone;
  uint32_t anon_uid = 65534;
  uint32_t anon_gid = 65534;
};

// Every bound is per session. Whether the tree may be changed is the Export's own option.
struct SessionOptions {
  // The msize agreed on is at most this. At least p9::kMinMsize.
  uint32_t max_msize = 512 * 1024;

  // Fids at once; the next one: ENFILE. A Linux guest holds one for every name that its kernel has cached.
  uint32_t max_fids = 1024 * 1024;

  // Open files and directories at once, each of which pins a descriptor; the next one: EMFILE.
  uint32_t max_open_files = 4096;

  // Bytes of extended attributes that fids hold at once, read (Txattrwalk) or about to be written (Txattrcreate); more:
  // ENOSPC.
  uint64_t max_xattr_bytes = 16 << 20;

  // A call that a lease blocks is to be served again; after so long it is answered EAGAIN: the kernel ends a lease that
  // is in the way (/proc/sys/fs/lease-break-time, 45 s unless set otherwise), so it is none.
  std::chrono::milliseconds longest_block{50'000};

  // Byte ranges locked at once; the next one: ENOLCK.
  uint32_t max_locks = 16 * 1024;

  // What to do about files of other file systems that are mounted inside the tree: qids are unique all the same
  // (kRemap); such files cannot be reached, ENODEV, though the names of mount points are seen (kForbid); or their
  // numbers are taken as they are, and a guest may take two files for one (kWarn).
  enum class Devices : uint8_t { kRemap, kForbid, kWarn };
  Devices devices = Devices::kRemap;
  // Called once, from any thread, under kWarn: when the client has come to such a file.
  std::function<void()> on_foreign_device = {};

  IdOptions ids = {};

  // Where the session counts what it holds; null: where nobody looks. Must outlive the session.
  SessionGauges* gauges = nullptr;

  // Null: the guest's kernel decides who may do what. Else the host's does, for the user who attached and the groups
  // that this says he has. Must outlive the session; the process must have host::Rights::kOfUsers.
  host::UserDatabase* users = nullptr;
};

}  // namespace virtfs
