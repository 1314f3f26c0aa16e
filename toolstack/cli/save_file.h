// SaveFile: which guest a file of `xl save` holds, from the configuration in its head.
//
//   char magic[32]; u32 byteorder, mandatory_flags, optional_flags, optional_data_len; u32 config_len; char config[]
//
// The configuration is libxl's, as JSON.
//
// Errors: one sentence for the operator.
// Trust: the operator's file; every length in it is checked all the same.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace virtfs::toolstack {

struct SavedGuest {
  std::string name;
  std::string uuid;  // lower case
};

absl::StatusOr<SavedGuest> ReadSaveFile(const std::string& path);
// Of the file's beginning. `path` is for sentences only.
absl::StatusOr<SavedGuest> ParseSaveFile(const std::string& path, std::string_view head);

}  // namespace virtfs::toolstack
