// Names in xenstore from which `xl-virtfs watch` tells what an event is about and which shares there are.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "xenstore/number.h"
#include "xenstore/paths.h"

namespace virtfs::toolstack {

inline constexpr uint32_t kMaxDomid = 0x7fef;  // DOMID_FIRST_RESERVED - 1

// "5" and "9pfs-5" beneath a guest's PrivateRoot (xenstore/paths.h); whatever else is there is no share.
inline std::optional<std::pair<xenstore::DeviceType, uint32_t>> ParseShareName(std::string_view name) {
  constexpr std::string_view kNinepfs = "9pfs-";
  const bool is_9pfs = name.starts_with(kNinepfs);
  if (is_9pfs) name.remove_prefix(kNinepfs.size());
  const std::optional<uint32_t> devid = xenstore::ParseNumber(name, 0, INT32_MAX);
  if (!devid) return std::nullopt;
  return std::pair(is_9pfs ? xenstore::DeviceType::kNinepfs : xenstore::DeviceType::kVirtfs, *devid);
}

// The domain id that comes next in `path` behind `root`; none if `path` is `root` itself or is elsewhere.
inline std::optional<uint32_t> DomidBelow(std::string_view root, std::string_view path) {
  if (!path.starts_with(root) || path.size() <= root.size() || path[root.size()] != '/') return std::nullopt;
  path.remove_prefix(root.size() + 1);
  return xenstore::ParseNumber(path.substr(0, path.find('/')), 0, kMaxDomid);
}

}  // namespace virtfs::toolstack
