// What `xl-virtfs watch` tells its operator, on standard error: one line a message, "xl-virtfs watch: warning: ...".
// Bytes that are not printable ASCII are shown as '?': names and paths are others'.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <string_view>

namespace virtfs::toolstack {

enum class WatchLog : uint8_t { kError, kWarning, kInfo };

void Log(WatchLog level, std::string_view message);

}  // namespace virtfs::toolstack
