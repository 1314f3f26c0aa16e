// What 9P says of a file, from what the host says: qids, Rgetattr, Rstatfs; and the way back, Tsetattr.
//
// Threads: QidPaths from any thread; the rest are functions of values.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/result.h"
#include "fsops/host/attributes.h"
#include "fsops/session/options.h"
#include "protocol/messages.h"

namespace virtfs::session {

// qid.path: 64 bits for (device, inode number).
//
// SessionOptions::devices says what of other devices: kWarn takes the inode number as it is. kRemap (and kForbid,
// should something be mounted over a directory that is in use) goes by this:
//
// On the device of the export's root it is the inode number itself while that has 48 bits. Every other pair of a device
// and the upper 16 bits of a number gets an index of 16 bits for its upper half: a hash of the pair, moved on by one
// while another pair has it. So it is the same in every session and after every restart unless two pairs collide, and
// an image carries the indices over even then.
class QidPaths {
 public:
  explicit QidPaths(uint64_t root_dev, SessionOptions::Devices devices = SessionOptions::Devices::kRemap)
      : root_dev_(root_dev), devices_(devices) {}

  bool AllowsAll() const { return devices_ != SessionOptions::Devices::kForbid; }
  // Whether clients may get to files of this device at all; ENODEV if not.
  bool Allows(uint64_t dev) const { return AllowsAll() || dev == root_dev_; }

  uint64_t Path(uint64_t dev, uint64_t ino);

  struct Entry {
    uint64_t dev;
    uint16_t prefix;  // Upper 16 bits of the inode number.
    uint16_t index;
  };
  std::vector<Entry> Entries();
  // Of another session. An entry that contradicts one that is there is left out.
  void Restore(std::span<const Entry> entries);

 private:
  using Key = std::pair<uint64_t, uint16_t>;

  const uint64_t root_dev_;
  const SessionOptions::Devices devices_;
  std::mutex mutex_;  // Only for what is not a plain number of the root's device.
  absl::flat_hash_map<Key, uint16_t> indices_;
  absl::flat_hash_map<uint16_t, Key> keys_;
};

// qid.type, of a mode or of its S_IFMT part.
uint8_t QidType(uint32_t mode);

// qid.version: another one after each change of contents or attributes, as fine as the host's ctime. Never 0, which
// tells a client not to cache.
uint32_t QidVersion(const host::Attributes& attributes);

p9::Rgetattr ToRgetattr(const host::Attributes& attributes, const p9::Qid& qid, uint64_t request_mask);

// EINVAL: unknown bits in `valid`, nanoseconds beyond a second.
Result<host::AttributeChange> ToAttributeChange(const p9::Tsetattr& request);

p9::Rstatfs ToRstatfs(const host::FileSystemStatus& status);

}  // namespace virtfs::session
