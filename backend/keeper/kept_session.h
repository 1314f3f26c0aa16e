// KeptSession: a 9P session between two servers, as a value and as a file: what `xl-virtfs save` keeps beside a saved
// guest.
//
//     "xen-virtfs session 1\n"  id[d]  place[d]  count[4] count*(type[4] handle[d])  image[D]
//
// All little-endian; [d] a size of 4 bytes and as many, [D] one of 8. Nothing follows.
//
// Errors: a sentence for the operator.
// Threads: values.
// Trust: `image` is a server's, so a guest's, and nothing but bytes here: another server reads it, locked down. The
// rest is the keeper's own. Whoever could write the file could name any file of the file system by a handle, so only
// one that is nobody's but ours, and that nobody else can read or write, is read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/result.h"
#include "fsops/host/local_handle_broker.h"

namespace virtfs::backend {

struct KeptSession {
  std::string id;                       // the session-id that the guest knows
  std::string place;                    // PlaceOf its export
  std::vector<host::FileHandle> files;  // 1, 2 ... of the image
  std::vector<uint8_t> image;

  friend bool operator==(const KeptSession&, const KeptSession&) = default;
};

// What tells the directory `root` on its file system from all others, also after a restart of the host, as far as the
// file system knows itself. Handles of one place mean nothing in another.
Result<std::string> PlaceOf(int root);

std::vector<uint8_t> EncodeSession(const KeptSession& session);
// An error: what is wrong with it.
absl::StatusOr<KeptSession> DecodeSession(std::span<const uint8_t> bytes);

// The file is there as a whole, and on the disk, or not at all.
absl::Status WriteSessionFile(const std::string& path, const KeptSession& session);
absl::StatusOr<KeptSession> ReadSessionFile(const std::string& path);

}  // namespace virtfs::backend
