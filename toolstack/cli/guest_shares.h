// GuestShares: a living guest's shares, in its record and in xenstore, held by one process at a time.
//
// The record always comes first: who is killed in between leaves one that says what is to be, and `xl-virtfs watch`
// makes it so.
//
// Errors: one sentence for the operator.
// Threads: one. Holds the guest's GuestLock while it exists.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "toolstack/attached_shares.h"
#include "toolstack/config/places.h"
#include "toolstack/domain.h"
#include "toolstack/records/guest_lock.h"
#include "toolstack/records/record_store.h"
#include "toolstack/share_spec.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

class GuestShares {
 public:
  // Waits until nobody else has the guest. `store` must outlive it.
  static absl::StatusOr<GuestShares> Open(xenstore::Store& store, const Places& places, Domain guest);

  const Record& record() const { return record_; }

  // `text`: as WithDefaults gives it, and `spec` what it says. Returns the devid. A share that fails is in the record
  // no more.
  absl::StatusOr<uint32_t> Attach(std::string_view text, const ShareSpec& spec, std::chrono::milliseconds patience);

  // A share of the record, unless the watch has attached it already.
  absl::Status Restore(const RecordedShare& share, std::chrono::milliseconds patience);

  // The share that `device`, a devid or a tag, names. In the record, in xenstore or both.
  absl::StatusOr<uint32_t> Find(const std::string& device);
  // What is known of it in xenstore; nothing if it is in the record alone.
  std::optional<AttachedShare> Attached(uint32_t devid);

  // Takes it out of the record and out of xenstore. As RemoveShare: without `force`, its nodes stay if nobody answers.
  absl::Status Detach(uint32_t devid, std::chrono::milliseconds patience, bool force);

  // As if the guest had never had a share with a record: for a guest that is new.
  absl::Status Forget();

 private:
  GuestShares(xenstore::Store& store, std::string runtime, Domain guest, RecordStore records, GuestLock lock,
              Record record)
      : store_(store),
        runtime_(std::move(runtime)),
        guest_(std::move(guest)),
        records_(std::move(records)),
        lock_(std::move(lock)),
        record_(std::move(record)) {}

  absl::Status Save();
  absl::Status Write(const RecordedShare& share, std::chrono::milliseconds patience);

  xenstore::Store& store_;
  std::string runtime_;
  Domain guest_;
  RecordStore records_;
  GuestLock lock_;
  Record record_;
};

}  // namespace virtfs::toolstack
