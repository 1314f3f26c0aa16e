// SessionMemory: a session on its way between a server and its keeper: the tokens of its files, then its image
// (fsops/session), in a memfd of the keeper's.
//
// The memory has a fixed size, which nothing that a server does can change; only what was written takes any.
//
// Errors: EFBIG: the session is too long for it. EPROTO: there cannot be a session of those sizes.
// Threads: any; of one memory one at a time.
// Trust: what a server has written is hostile. It is copied once, and means nothing to the keeper: the image goes to
// another server as it is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/handle_broker.h"

namespace virtfs::link {

// A million fids take some 40 MiB.
inline constexpr uint64_t kSessionMemory = uint64_t{64} << 20;

struct SessionBytes {
  std::vector<host::HandleToken> tokens;  // of file 1, 2 ...
  std::vector<uint8_t> image;
};

Result<UniqueFd> MakeSessionMemory();

// Once, into memory that nobody has used yet.
Result<void> WriteSession(int memory, std::span<const host::HandleToken> tokens, std::span<const uint8_t> image);

// What the other side says that it has written: so many tokens, and an image of so many bytes.
Result<SessionBytes> ReadSession(int memory, uint64_t tokens, uint64_t image);

}  // namespace virtfs::link
