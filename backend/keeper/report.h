// ShareReport: how a share is, for whoever asks the keeper (docs/status.md); and the JSON that becomes of it.
//
// Trust: the numbers behind `counters` and the text of `tag` are hostile. Each number is read once, and how long the
// JSON is depends on none: at most some 200 KiB a share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/counters/counters.h"
#include "backend/keeper/share_table.h"
#include "options/share_options.h"
#include "xenstore/paths.h"

namespace virtfs::backend {

struct ShareReport {
  uint32_t devid = 0;
  xenstore::DeviceType transport = xenstore::DeviceType::kVirtfs;
  std::string tag = {};
  std::string path = {};
  Phase phase = Phase::kPreparing;
  std::string error = {};                       // why it cannot be served; empty: nothing is known
  std::string session = {};                     // the session-id that the guest was shown last; 9pfs has none
  std::optional<int64_t> connected_since = {};  // seconds since 1970; none: not connected
  std::optional<int64_t> server = {};           // its process, while there is one
  options::ServerOptions options = {};
  const Counters* counters = nullptr;  // of the server, or of the last one that there was; null: of none
};

// One line.
std::string ReportJson(uint32_t guest, uint32_t backend, const std::vector<ShareReport>& shares);

}  // namespace virtfs::backend
