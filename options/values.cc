#include "options/values.h"

#include <algorithm>
#include <array>

namespace virtfs::options {

std::optional<uint64_t> ParseNumber(std::string_view text, uint64_t min, uint64_t max) {
  if (text.empty() || (text[0] == '0' && text.size() > 1)) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, static_cast<uint64_t>(c - '0'), &value)) {
      return std::nullopt;
    }
  }
  if (value < min || value > max) return std::nullopt;
  return value;
}

std::optional<uint64_t> ParseSize(std::string_view text, uint64_t min, uint64_t max) {
  constexpr std::string_view kUnits = "KMGT";
  unsigned shift = 0;
  if (!text.empty()) {
    if (const size_t unit = kUnits.find(text.back()); unit != kUnits.npos) {
      shift = 10 * (static_cast<unsigned>(unit) + 1);
      text.remove_suffix(1);
    }
  }
  const std::optional<uint64_t> number = ParseNumber(text, 0, max >> shift);
  if (!number || *number << shift < min) return std::nullopt;
  return *number << shift;
}

std::optional<uint32_t> ParsePermissions(std::string_view text, uint32_t needed) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  uint32_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + static_cast<uint32_t>(c - '0');
  }
  if (value > 0777 || (value & needed) != needed) return std::nullopt;
  return value;
}

std::optional<bool> ParseFlag(std::string_view text) {
  if (text == "1") return true;
  if (text == "0") return false;
  return std::nullopt;
}

std::optional<IdMap> ParseIdMap(std::string_view text) {
  IdMap map;
  for (bool more = true; more;) {
    const size_t plus = text.find('+');
    std::string_view rest = text.substr(0, plus);
    more = plus != text.npos;
    text.remove_prefix(more ? plus + 1 : text.size());

    std::array<uint32_t, 3> numbers{};
    for (size_t i = 0; i < numbers.size(); ++i) {
      const size_t colon = rest.find(':');
      if ((colon == rest.npos) != (i + 1 == numbers.size())) return std::nullopt;
      const std::optional<uint64_t> number = ParseNumber(rest.substr(0, colon), 0, UINT32_MAX);
      if (!number) return std::nullopt;
      numbers[i] = static_cast<uint32_t>(*number);
      rest.remove_prefix(std::min(rest.size(), colon == rest.npos ? rest.size() : colon + 1));
    }
    if (!map.Add({.guest = numbers[0], .host = numbers[1], .count = numbers[2]})) return std::nullopt;
  }
  return map;
}

}  // namespace virtfs::options
