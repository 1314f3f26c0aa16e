#include "backend/counters/counters.h"

#include <algorithm>

#include "protocol/codec.h"
#include "protocol/messages.h"

namespace virtfs::backend {
namespace {

static_assert(kOperations == p9::Requests::kSize + 1);

constexpr std::array<std::string_view, kOperations> kNames = [] {
  std::array<std::string_view, kOperations> names{};
  size_t next = 0;
  p9::ForEachMessage(p9::Requests(), [&]<p9::Message M> { names[next++] = p9::MessageName<M>(); });
  names[next] = "other";
  return names;
}();

// By type.
constexpr std::array<uint8_t, 256> kIndices = [] {
  std::array<uint8_t, 256> indices{};
  indices.fill(kOperations - 1);
  uint8_t next = 0;
  p9::ForEachMessage(p9::Requests(), [&]<p9::Message M> { indices[M::kType] = next++; });
  return indices;
}();

void Add(std::atomic<uint64_t>& counter, uint64_t amount) { counter.fetch_add(amount, std::memory_order_relaxed); }

// Of a reply whose only field before the payload, or at all, is `count`.
uint32_t CountIn(std::span<const uint8_t> reply) {
  if (reply.size() < p9::kMinHeadSize<p9::Rread>) return 0;
  const uint8_t* const at = &reply[p9::kHeaderSize];
  return at[0] | uint32_t{at[1]} << 8 | uint32_t{at[2]} << 16 | uint32_t{at[3]} << 24;
}
static_assert(p9::kMinHeadSize<p9::Rread> == p9::kHeaderSize + sizeof(uint32_t));
static_assert(p9::kMinHeadSize<p9::Rwrite> == p9::kHeaderSize + sizeof(uint32_t));

}  // namespace

std::string_view NameOfOperation(size_t index) { return kNames[index]; }

void PoolCounters::Throttled(std::chrono::steady_clock::time_point now, std::chrono::steady_clock::time_point known,
                             std::chrono::steady_clock::time_point until) {
  if (known < now) Add(throttles, 1);
  const std::chrono::nanoseconds more = until - std::max(now, known);
  if (more.count() > 0) Add(throttled_nanoseconds, static_cast<uint64_t>(more.count()));
}

void Counters::Served(uint8_t type, std::span<const uint8_t> reply, std::chrono::nanoseconds took) {
  OperationCounters& operation = operations[kIndices[type]];
  const auto nanoseconds = static_cast<uint64_t>(std::max<std::chrono::nanoseconds::rep>(took.count(), 0));
  Add(operation.latency[LatencyBuckets::IndexOf(nanoseconds)], 1);
  uint64_t longest = operation.longest.load(std::memory_order_relaxed);
  while (longest < nanoseconds &&
         !operation.longest.compare_exchange_weak(longest, nanoseconds, std::memory_order_relaxed)) {
  }
  const uint8_t answer = reply.size() >= p9::kHeaderSize ? reply[sizeof(p9::Header::size)] : p9::Rlerror::kType;
  switch (answer) {
    case p9::Rlerror::kType:
      Add(operation.errors, 1);
      break;
    case p9::Rread::kType:
      Add(pool.bytes_read, CountIn(reply));
      break;
    case p9::Rwrite::kType:
      Add(pool.bytes_written, CountIn(reply));
      break;
    default:
      break;
  }
}

}  // namespace virtfs::backend
