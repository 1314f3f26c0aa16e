// Record: what shares a guest is to have, by its UUID, which outlives its domain ids: a reboot, a restore and a
// migration make a new domain with the same UUID, of whose shares xl knows nothing.
//
// Errors: a sentence for the operator.
// Trust: records are root's own files; a damaged one is refused as a whole, never taken for an empty one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "toolstack/share_spec.h"

namespace virtfs::toolstack {

struct RecordedShare {
  uint32_t devid = 0;
  // Name or id of the domain that has the directory, as the operator wrote it. By share, since a guest may have some of
  // several backends; and not an id where a name was written, since a driver domain that reboots gets another id.
  std::string backend = "0";
  // As ParseShareSpec takes it, without devid. What /etc/xen/virtfs.conf adds is in it already.
  std::string spec;

  bool operator==(const RecordedShare&) const = default;
};

struct Record {
  std::string uuid;
  std::string name;  // of the guest, for people
  std::vector<RecordedShare> shares;
  // Since when no domain has the UUID, in seconds since 1970, as far as `xl-virtfs watch` has seen; none while one has.
  std::optional<int64_t> absent_since;

  bool operator==(const Record&) const = default;
};

// Whether `text` is a UUID as xenstore has it, 36 characters in lower case; such a one is a file name, too.
bool IsUuid(std::string_view text);

// What both refuse: no UUID, two shares with the same devid, and what is not UTF-8, which JSON cannot hold.
absl::StatusOr<std::string> EncodeRecord(const Record& record);
absl::StatusOr<Record> DecodeRecord(std::string_view text);

// The node of a share's private directory that says whose record it is from: "UUID TAG". Shares without it were
// attached by somebody else (virtfs-attach), and nothing that goes by records touches them.
inline constexpr char kMarkNode[] = "x-record";

// The share as WriteShare takes it: what `share.spec` says, with its devid, and with the mark among its nodes.
absl::StatusOr<ShareSpec> SpecOf(const Record& record, const RecordedShare& share);

const RecordedShare* FindShare(const Record& record, uint32_t devid);
// The first device id that no share of the record has and that is not `taken` (in xenstore, by somebody else).
uint32_t FirstFreeDevid(const Record& record, absl::FunctionRef<bool(uint32_t)> taken);

}  // namespace virtfs::toolstack
