// AttachedShares: the shares that xenstore has of a guest, whoever attached them.
//
// Trust: the backend domains' private directories, which a guest cannot write. A tag is from there if the share has a
// record; else it is what the guest may have changed, made printable.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "xenstore/paths.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

struct AttachedShare {
  uint32_t backend = 0;
  xenstore::DeviceType type = xenstore::DeviceType::kVirtfs;
  uint32_t devid = 0;
  std::string tag;
  std::string path;
  std::string mark;   // kMarkNode of toolstack/records; empty: it was attached without a record
  std::string error;  // why it cannot be served; empty: it can
  xenstore::State state = xenstore::State::kUnknown;  // the backend's
  bool ready = false;                                 // the backend has it ready, and the guest was told of it
};

// By devid, ascending.
std::vector<AttachedShare> AttachedShares(xenstore::Store& store, uint32_t guest);

}  // namespace virtfs::toolstack
