// A GuestStatus as people and as scripts read it. docs/status.md says what each figure is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "toolstack/status/guest_status.h"

namespace virtfs::toolstack {

// Ends with a newline. `name` is the guest's, empty if it is not known; `now`: seconds since 1970.
std::string StatusTable(const GuestStatus& guest, const std::string& name, int64_t now);

// An array of guests, indented. As the keepers' own documents, but with percentiles in place of the histograms.
std::string StatusJson(const std::vector<GuestStatus>& guests);

// "1.2 ms", "37 ns": three digits at most.
std::string DurationText(uint64_t nanoseconds);
// "4.0 KiB", "37 bytes".
std::string SizeText(uint64_t bytes);

}  // namespace virtfs::toolstack
