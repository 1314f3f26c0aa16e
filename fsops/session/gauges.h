// SessionGauges: what a session holds right now, where others may look: a server's are in memory that its keeper reads
// (backend/counters).
//
// These are not copies: the session's own budgets count here, so the numbers are exact whenever nothing runs.
// Threads: any may read, relaxed; only the session writes. One cache line.
#pragma once

#include <atomic>
#include <cstdint>

namespace virtfs {

struct alignas(64) SessionGauges {
  std::atomic<uint64_t> msize = 0;  // agreed on; 0: no version yet
  std::atomic<uint64_t> fids = 0;
  std::atomic<uint64_t> open_files = 0;  // as max_open_files counts: also a file that is open for its locks alone
  std::atomic<uint64_t> xattr_bytes = 0;
  std::atomic<uint64_t> locks = 0;  // byte ranges
};

}  // namespace virtfs
