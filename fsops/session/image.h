// Image: a session as a value, and its bytes.
//
//     "vfs9Limg" version[4] size[4]                    size: of the whole image
//     msize[4]                                         0: no version agreed on
//     count[4] count*(dev[8] prefix[2] index[2])       QidPaths
//     count[4] count*(fid[4] uid[4] file[4] dir[4] name[s] role[1] ...)
//         role 0: not open; 1: flags[4]; 2: bytes[d]; 3: name[s] size[4] mode[1] bytes[d]
//     count[4] count*(file[4] count[4] count*(fid[4] type[1] first[8] last[8] proc_id[4] client_id[s]))
//
// All little-endian, [s] as in 9P, [d] a size of 4 bytes and as many. `file`, and `dir` with `name`, are numbers of
// files: 0 is the root, the others have their tokens, which stand beside the bytes; kNoFile: none. `flags` are what the
// client gave, without what would truncate or create. Roles 2 and 3 are attributes that are being read and written
// (Txattrwalk, Txattrcreate). The last part are locked ranges.
//
// Trust: an image comes from another process that has read a guest's bytes. Parse checks its form, Operations::Restore
// what it says; what its tokens are good for is the broker's to check.
// Threads: values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/handle_broker.h"
#include "fsops/session/attributes.h"
#include "fsops/session/lock_table.h"
#include "protocol/field.h"

namespace virtfs::session {

// An XattrValue.
struct ImageXattr {
  bool writable = false;
  std::string name;  // This and the following two of what is written.
  uint32_t size = 0;
  uint8_t mode = 0;
  std::string bytes;
};

struct Image {
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNoFile = 0xffffffff;

  // With open_flags or xattr or neither.
  struct FidEntry {
    p9::Fid fid = p9::kNoFid;
    uint32_t uid = 0;
    uint32_t file = kNoFile;
    uint32_t dir = kNoFile;
    std::string name;
    std::optional<uint32_t> open_flags;
    std::optional<ImageXattr> xattr;
  };
  struct Locked {
    uint32_t file = kNoFile;
    std::vector<std::pair<LockOwner, LockedRange>> ranges;
  };

  uint32_t msize = 0;
  std::vector<QidPaths::Entry> qid_paths;
  std::vector<FidEntry> fids;
  std::vector<Locked> locked;
  // Beside the bytes: the tokens of file 1, 2 ...; the descriptors that hold those locks, as many, or none at all.
  std::vector<host::HandleToken> tokens;
  std::vector<std::shared_ptr<const UniqueFd>> lock_files;
};

std::vector<uint8_t> Serialize(const Image& image);

// EINVAL: not the bytes of an Image, or of another version.
Result<Image> Parse(std::span<const uint8_t> bytes);

}  // namespace virtfs::session
