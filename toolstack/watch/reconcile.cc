#include "toolstack/watch/reconcile.h"

#include <algorithm>

#include "toolstack/attach.h"
#include "toolstack/records/record.h"

namespace virtfs::toolstack {
namespace {

using xenstore::State;

ShareKey KeyOf(const WantedShare& share) {
  return {.backend = share.backend, .type = TypeOf(share.spec), .devid = share.spec.devid.value_or(0)};
}

// That is what the record has, no more and no less.
bool Matches(const WantedShare& wanted, const FoundShare& found) {
  return KeyOf(wanted) == found.key && found.online && found.state != State::kUnknown &&
         found.nodes == std::map<std::string, std::string>(wanted.spec.nodes.begin(), wanted.spec.nodes.end());
}

const WantedShare* MatchOf(const Wanted& wanted, const FoundShare& found) {
  const auto match = std::find_if(wanted.shares.begin(), wanted.shares.end(),
                                  [&found](const WantedShare& share) { return Matches(share, found); });
  return match == wanted.shares.end() ? nullptr : &*match;
}

bool IsOf(std::string_view uuid, const FoundShare& share) {
  return share.mark().substr(0, share.mark().find(' ')) == uuid;
}

}  // namespace

std::string_view FoundShare::mark() const {
  const auto found = nodes.find(kMarkNode);
  return found == nodes.end() ? std::string_view() : std::string_view(found->second);
}

bool IsUnwanted(std::string_view uuid, const Wanted& wanted, const FoundShare& share) {
  if (share.mark().empty()) return false;
  return !IsOf(uuid, share) || (!wanted.unclear.contains(share.key.devid) && MatchOf(wanted, share) == nullptr);
}

std::vector<Action> Reconcile(std::string_view uuid, const Wanted& wanted, std::span<const FoundShare> found) {
  std::vector<Action> actions;
  for (const FoundShare& share : found) {
    if (!IsUnwanted(uuid, wanted, share)) {
      const WantedShare* const match = MatchOf(wanted, share);
      // Before InitWait a frontend would find nodes missing; behind it, the guest has removed its own.
      const bool ready = match != nullptr && share.state == State::kInitWait;
      if (share.handed_over) {
        actions.push_back({Step::kTakeBack, share.key, nullptr});
      } else if (ready && !share.has_frontend) {
        actions.push_back({Step::kFinish, share.key, match});
      }
    } else if (!IsOf(uuid, share) || share.state == State::kClosed || share.state == State::kUnknown || share.overdue) {
      // Of a former domain with this id nobody is left who could close.
      actions.push_back({Step::kRemove, share.key, nullptr});
    } else if (share.online) {
      actions.push_back({Step::kClose, share.key, nullptr});
    }
  }
  for (const WantedShare& share : wanted.shares) {
    const ShareKey key = KeyOf(share);
    // Whatever the type and the backend, two shares with one device id would have the same nodes in the guest.
    const bool taken = std::any_of(found.begin(), found.end(),
                                   [&key](const FoundShare& other) { return other.key.devid == key.devid; });
    if (!taken) actions.push_back({Step::kBegin, key, &share});
  }
  return actions;
}

}  // namespace virtfs::toolstack
