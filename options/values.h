// Values of options as text: strict, each with one meaning. Nothing else is understood: no signs, no blanks.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/id_map.h"

namespace virtfs::options {

// Decimal without leading zeros.
std::optional<uint64_t> ParseNumber(std::string_view text, uint64_t min, uint64_t max);

// As ParseNumber, or with one of K, M, G, T behind it: times 1024, 1024^2 ...
std::optional<uint64_t> ParseSize(std::string_view text, uint64_t min, uint64_t max);

// Up to four octal digits, at most 0777; `needed` are bits that must be set.
std::optional<uint32_t> ParsePermissions(std::string_view text, uint32_t needed);

// "1" or "0".
std::optional<bool> ParseFlag(std::string_view text);

// GUEST:HOST:COUNT, several joined by '+', at least one.
std::optional<IdMap> ParseIdMap(std::string_view text);

}  // namespace virtfs::options
