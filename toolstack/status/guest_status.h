// GuestStatus: how a guest's shares are, as its keeper says it (docs/status.md).
//
// Errors: InvalidArgument for what is no such document, in whole or in part.
// Trust: the document is a keeper's, but the numbers in it are those of servers, one of which its guest may have taken
// over, and tags are the guest's: numbers may be any, texts are made printable here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace virtfs::toolstack {

struct OperationStatus {
  struct Bucket {
    uint64_t from = 0, to = 0;  // nanoseconds; `to` is beyond it
    uint64_t count = 0;
  };

  std::string name;  // "Tgetattr"
  uint64_t count = 0;
  uint64_t errors = 0;
  uint64_t longest = 0;         // nanoseconds
  std::vector<Bucket> latency;  // in ascending order

  // Nanoseconds in which `share` of the operations (0.99: 99 of 100) were served; 0 if there were none. It lies in the
  // right bucket, and where in it is taken from how many there are.
  uint64_t Percentile(double share) const;
};

struct LimitStatus {
  std::string name;  // "open_files"
  uint64_t used = 0;
  std::optional<uint64_t> max;  // none: no bound, or only the wire's
};

struct CountersStatus {
  uint64_t msize = 0;  // 0: the guest has not begun a session
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t refused_requests = 0;  // beyond max-requests
  uint64_t throttles = 0;
  uint64_t throttled_nanoseconds = 0;
  std::vector<LimitStatus> limits;
  std::vector<OperationStatus> operations;  // those that there were
};

struct ShareStatus {
  uint32_t devid = 0;
  std::string transport;  // "virtfs" or "9pfs"
  std::string tag;
  std::string path;
  bool readonly = false;
  std::string state;                       // "Serving"
  std::string error;                       // empty: none
  std::string session;                     // empty: none
  std::optional<int64_t> connected_since;  // seconds since 1970; none: not connected
  std::optional<int64_t> pid;              // of its server; none: there is none
  std::optional<CountersStatus> counters;  // of the server, or of the last one that there was; none: there was none
};

struct GuestStatus {
  uint32_t domid = 0;
  uint32_t backend_domid = 0;
  int64_t pid = 0;  // of its keeper
  std::vector<ShareStatus> shares;
};

absl::StatusOr<GuestStatus> ParseGuestStatus(std::string_view document);

}  // namespace virtfs::toolstack
