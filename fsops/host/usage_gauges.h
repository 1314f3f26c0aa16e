// UsageGauges: how much a tree holds right now (usage.h), where others may look.
//
// Threads: any may read, relaxed; only the tree's Usage writes.
#pragma once

#include <atomic>
#include <cstdint>

namespace virtfs::host {

// 0 where nothing is counted; `space` is up to date only where it is limited.
struct UsageGauges {
  std::atomic<uint64_t> files = 0;
  std::atomic<uint64_t> space = 0;  // bytes
};

}  // namespace virtfs::host
