// ShareSpec: one share as an operator writes it, "tag=share,path=/srv/share,security_model=passthrough,readonly".
//
// Errors: one sentence that says what to write instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace virtfs::toolstack {

struct ShareSpec {
  std::string tag;             // what the guest mounts
  std::string path;            // absolute, in the backend's domain
  std::string security_model;  // the backend says which ones it serves
  bool readonly = false;
  std::optional<uint32_t> max_msize;  // bytes
  std::optional<uint32_t> devid;      // else the first that is free
};

// Keys: tag, path, security_model, readonly (alone, or =0, =1), max-msize, devid. A comma separates; none of the values
// can hold one.
absl::StatusOr<ShareSpec> ParseShareSpec(std::string_view text);

}  // namespace virtfs::toolstack
