// Numbers and flags in xenstore nodes, as strictly as docs/virtfs.md section 11.2 has them: decimal, no sign, no
// blanks, no leading zeros. Whatever else a node says is no number.
//
// Trust: for the guest's bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace virtfs::xenstore {

inline std::optional<uint32_t> ParseNumber(std::string_view text, uint32_t min = 0, uint32_t max = UINT32_MAX) {
  if (text.empty() || text.size() > 10 || (text[0] == '0' && text.size() > 1)) return std::nullopt;
  uint64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value < min || value > max) return std::nullopt;
  return static_cast<uint32_t>(value);
}

inline std::optional<bool> ParseFlag(std::string_view text) {
  if (text == "1") return true;
  if (text == "0") return false;
  return std::nullopt;
}

}  // namespace virtfs::xenstore
