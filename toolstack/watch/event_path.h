// From the path of an event in xenstore `xl-virtfs watch` tells what it is about.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "xenstore/number.h"
#include "xenstore/paths.h"

namespace virtfs::toolstack {

// The domain id that comes next in `path` behind `root`; none if `path` is `root` itself or is elsewhere.
inline std::optional<uint32_t> DomidBelow(std::string_view root, std::string_view path) {
  if (!path.starts_with(root) || path.size() <= root.size() || path[root.size()] != '/') return std::nullopt;
  path.remove_prefix(root.size() + 1);
  return xenstore::ParseNumber(path.substr(0, path.find('/')), 0, xenstore::kMaxDomid);
}

}  // namespace virtfs::toolstack
