#include "fsops/host/path_component.h"

#include <cstring>

namespace virtfs::host {

Result<PathComponent> PathComponent::Parse(std::string_view name) {
  if (name.empty()) return Errno(ENOENT);
  if (name.size() > kMaxSize) return Errno(ENAMETOOLONG);
  if (name == "." || name == "..") return Errno(EINVAL);
  if (name.find('/') != name.npos || name.find('\0') != name.npos) return Errno(EINVAL);
  return PathComponent(name);
}

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only the bytes that count are set.
PathComponent::PathComponent(std::string_view name) : size_(static_cast<uint8_t>(name.size())) {
  memcpy(bytes_.data(), name.data(), name.size());
  bytes_[name.size()] = '\0';
}

}  // namespace virtfs::host
