// KeeperSocket: where a guest's keeper tells how its shares are, to root of the domain that it runs in.
//
// Whoever connects gets one JSON document (docs/status.md) and the end of the stream; nothing is asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace virtfs::options {

// Sockets and locks, which no reboot of the host outlives.
inline constexpr char kRunDirectory[] = "/run/xen-virtfs";

inline constexpr std::string_view kKeeperSocketPrefix = "keeper-", kKeeperSocketSuffix = ".sock";

inline std::string KeeperSocket(const std::string& directory, uint32_t guest) {
  return absl::StrCat(directory, "/", std::string(kKeeperSocketPrefix), guest, std::string(kKeeperSocketSuffix));
}

}  // namespace virtfs::options
