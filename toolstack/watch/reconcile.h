// Reconcile: what is to be done so that a guest's shares become those of its record. A pure function of the record and
// of what xenstore has.
//
// It is called again after whatever it said has been done, and whenever something changes, until it says nothing. Every
// action is one transaction of attach.h that waits for nobody, so whoever carries them out may be killed between any
// two.
//
// Shares without the record's mark (kMarkNode) are somebody else's: they are left alone, and are in the way if they
// have a device id of the record's.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "toolstack/share_spec.h"
#include "xenstore/paths.h"

namespace virtfs::toolstack {

// A share of the record: where it is to be and what is to be there, with devid and mark.
struct WantedShare {
  uint32_t backend = 0;
  ShareSpec spec;
};

struct Wanted {
  std::vector<WantedShare> shares;
  // Device ids of the record's other shares: their backend is not there now, or this version does not understand them.
  // They stay as they are.
  std::set<uint32_t> unclear;
};

// Which of a guest's shares, in xenstore.
struct ShareKey {
  uint32_t backend = 0;
  xenstore::DeviceType type = xenstore::DeviceType::kVirtfs;
  uint32_t devid = 0;

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the zero in it for a pointer.
  auto operator<=>(const ShareKey&) const = default;
};

// A share that xenstore has.
struct FoundShare {
  ShareKey key;
  std::map<std::string, std::string> nodes;           // of the private directory: the options and the mark
  xenstore::State state = xenstore::State::kUnknown;  // the backend's
  bool online = false;
  bool has_frontend = false;  // the guest has been told of it
  bool overdue = false;       // it should have closed long ago
  bool handed_over = false;   // closed for a save

  std::string_view mark() const;
};

enum class Step : uint8_t {
  kBegin,     // BeginShare
  kFinish,    // FinishShare
  kClose,     // AskToClose
  kRemove,    // RemoveNodes
  kTakeBack,  // TakeBack: who saved the guest was killed, and it lives on
};

struct Action {
  Step step;
  ShareKey key;
  const WantedShare* share;  // for kBegin and kFinish, one of those wanted; else null

  bool operator==(const Action&) const = default;
};

// `uuid`: of the domain. No two actions are about one share.
std::vector<Action> Reconcile(std::string_view uuid, const Wanted& wanted, std::span<const FoundShare> found);

// Whether a share of ours is there that the record does not have, or not as it is there: it has to go.
bool IsUnwanted(std::string_view uuid, const Wanted& wanted, const FoundShare& share);

}  // namespace virtfs::toolstack
