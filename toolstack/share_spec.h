// ShareSpec: one share as an operator writes it, "tag=share,path=/srv/share,security_model=passthrough,readonly".
//
// Errors: one sentence that says what to write instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "options/share_options.h"

namespace virtfs::toolstack {

struct ShareSpec {
  std::string tag;                // what the guest mounts
  std::optional<uint32_t> devid;  // else the first that is free
  std::string backend;            // name or id of the domain that has the directory; empty: it is not said

  options::ShareOptions options;
  // The same as text: the nodes of the share's private directory, checked.
  std::vector<std::pair<std::string, std::string>> nodes;
};

// Keys: tag, devid, backend and those of options/option_table.h, each once. A comma separates; none of the values can
// hold one.
absl::StatusOr<ShareSpec> ParseShareSpec(std::string_view text);

}  // namespace virtfs::toolstack
