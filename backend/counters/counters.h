// Counters: what a server has done and holds, written by it while it serves, read by its keeper at any time.
//
// They lie in memory that both have mapped (counters_memory.h), the keeper read-only. Zeros are a valid start. The
// layout is this binary's own business: keeper and server are the same binary, and nobody else maps it.
//
// Threads: any, on either side; each number is an atomic of its own and is written relaxed, so numbers that are read
// together need not be of the same moment.
// Trust: a keeper believes no number (its server may have been taken over): it copies each one once, and bounds nothing
// of its own by any.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "backend/counters/latency_buckets.h"
#include "fsops/host/usage_gauges.h"
#include "fsops/session/gauges.h"

namespace virtfs::backend {

// Those of the protocol, and one for all that is none.
inline constexpr size_t kOperations = 29;
// "Tgetattr"; "other" for the last. `index` is below kOperations.
std::string_view NameOfOperation(size_t index);

// Of one type of request. How many there were is the sum of `latency`.
struct OperationCounters {
  std::atomic<uint64_t> errors;   // those that were answered Rlerror
  std::atomic<uint64_t> longest;  // nanoseconds
  // From when the whole request was in the server's memory until its reply was made; not how long it lay on the ring
  // before, nor how long the reply took to the guest.
  std::array<std::atomic<uint64_t>, LatencyBuckets::kCount> latency;
};

struct alignas(64) PoolCounters {
  // The ring is left alone from `now` until `until`; it is known already that it is until `known`.
  void Throttled(std::chrono::steady_clock::time_point now, std::chrono::steady_clock::time_point known,
                 std::chrono::steady_clock::time_point until);

  std::atomic<uint64_t> requests = 0;               // in flight
  alignas(64) std::atomic<uint64_t> throttles = 0;  // how often the ring was left alone for the guest's debt
  std::atomic<uint64_t> throttled_nanoseconds = 0;  // and for how long in all
  std::atomic<uint64_t> refused = 0;                // requests beyond max-requests
  alignas(64) std::atomic<uint64_t> bytes_read = 0;
  std::atomic<uint64_t> bytes_written = 0;
};

struct Counters {
  // A request of `type` has been served in `took`. `reply`: the head of the answer.
  void Served(uint8_t type, std::span<const uint8_t> reply, std::chrono::nanoseconds took);

  PoolCounters pool;
  SessionGauges session;
  host::UsageGauges usage;
  std::array<OperationCounters, kOperations> operations;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free,
              "each side of shared memory must see the other's numbers whole");

}  // namespace virtfs::backend
