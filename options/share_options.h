// ShareOptions: what an operator can say about a share, as values. option_table.h has the texts, docs/virtfs.md 11.3
// the bounds.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "base/id_map.h"

namespace virtfs::options {

// What the guest finds: a virtfs device, or one of Xen's 9pfs, which stock guests have a driver for.
enum class Transport : uint32_t { kVirtfs = 1, kNinepfs };

// How owners, modes and special files are kept on the host.
enum class SecurityModel : uint32_t { kPassthrough = 1, kMappedXattr, kMappedFile, kNone };

// What about files of other file systems that are mounted inside the directory.
enum class Devices : uint32_t { kRemap = 1, kForbid, kWarn };

// Who decides what a guest's user may do: the guest's kernel, or the host's for a process of that user.
enum class Enforce : uint32_t { kClient = 1, kServer };

// Whose ids of the guest become anon_uid and anon_gid.
enum class Squash : uint32_t { kNone = 1, kRoot, kAll };

// A token bucket. 0 per second: no bound.
struct Rate {
  uint64_t per_second = 0;
  uint64_t burst = 0;  // what may come at once after a pause; 0: as much as in one second
};

// All that a server must know. A plain value of fixed size: it is part of a message.
struct ServerOptions {
  Transport transport = Transport::kVirtfs;
  SecurityModel security_model = SecurityModel::kPassthrough;
  Enforce enforce = Enforce::kClient;
  Devices devices = Devices::kRemap;
  Squash squash = Squash::kNone;
  bool readonly = false;

  // Permissions of the host's files and directories under the mapped models.
  uint32_t file_mode = 0600;
  uint32_t directory_mode = 0700;
  uint32_t umask = 0;  // permissions that nothing gets which the guest makes

  IdMap uid_map = {};
  IdMap gid_map = {};
  uint32_t anon_uid = 65534;  // ids of the host
  uint32_t anon_gid = 65534;

  uint32_t max_msize = 1 << 20;  // bytes; what a one-page ring can just about carry
  uint32_t max_fids = 1024 * 1024;
  uint32_t max_open_files = 4096;
  uint64_t max_xattr_bytes = 16 << 20;
  uint32_t max_locks = 16 * 1024;
  uint32_t max_requests = 0;  // in flight; 0: as many as the ring holds
  uint64_t max_files = 0;     // 0: no bound of ours
  uint64_t max_space = 0;     // bytes; 0: no bound of ours
  Rate operations = {};       // 9P requests
  Rate bytes = {};            // of Tread and Twrite
};
static_assert(std::is_trivially_copyable_v<ServerOptions>);

struct ShareOptions {
  std::string path;  // absolute, in the backend's domain
  ServerOptions server;
  uint64_t given = 0;  // which options were said, as bits by their places in the table
};

}  // namespace virtfs::options
