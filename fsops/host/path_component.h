// PathComponent: one name in a directory, as bytes, NUL-terminated and safe to hand to a system call beside a directory
// descriptor: it can name nothing but an entry of that very directory.
//
// Never "", ".", "..", and never with '/' or NUL inside. ".." of a walk is not a name but Export::Parent.
// Trust: Parse takes a guest's bytes; a PathComponent is checked. No allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace virtfs::host {

class PathComponent {
 public:
  static constexpr size_t kMaxSize = 255;  // NAME_MAX

  // ENAMETOOLONG beyond kMaxSize bytes, ENOENT for "", EINVAL for ".", "..", '/' and NUL.
  static Result<PathComponent> Parse(std::string_view name);

  const char* c_str() const { return bytes_.data(); }
  size_t size() const { return size_; }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  explicit PathComponent(std::string_view name);

  uint8_t size_;
  std::array<char, kMaxSize + 1> bytes_;  // only [0, size_] is set
};

}  // namespace virtfs::host
