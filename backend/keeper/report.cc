#include "backend/keeper/report.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "backend/keeper/log.h"

namespace virtfs::backend {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
// What an operator may write (docs/virtfs.md 11.3); but its node is the guest's to write.
constexpr size_t kMaxTag = 255;

uint64_t Read(const std::atomic<uint64_t>& number) { return number.load(std::memory_order_relaxed); }

// [[from, to, how many], ...] in nanoseconds, without those that are empty.
Json LatencyOf(const OperationCounters& operation) {
  Json latency = Json::array();
  for (uint32_t i = 0; i < LatencyBuckets::kCount; ++i) {
    const uint64_t count = Read(operation.latency[i]);
    if (count != 0) latency.push_back({LatencyBuckets::LowerEnd(i), LatencyBuckets::UpperEnd(i), count});
  }
  return latency;
}

Json OperationsOf(const Counters& counters) {
  Json operations = Json::object();
  for (size_t i = 0; i < kOperations; ++i) {
    const OperationCounters& operation = counters.operations[i];
    Json latency = LatencyOf(operation);
    if (latency.empty()) continue;
    // The sum may wrap round where the numbers are nonsense.
    uint64_t count = 0;
    for (const Json& bucket : latency) count += bucket[2].get<uint64_t>();
    operations[std::string(NameOfOperation(i))] = {{"count", count},
                                                   {"errors", Read(operation.errors)},
                                                   {"max_ns", Read(operation.longest)},
                                                   {"latency_ns", std::move(latency)}};
  }
  return operations;
}

// What is held now and what may be; no `max`: there is no bound of ours.
Json Limit(uint64_t used, uint64_t max) {
  Json limit = {{"used", used}};
  if (max != 0) limit["max"] = max;
  return limit;
}

Json LimitsOf(const Counters& counters, const options::ServerOptions& options) {
  Json limits = {
      {"requests", Limit(Read(counters.pool.requests), options.max_requests)},
      {"fids", Limit(Read(counters.session.fids), options.max_fids)},
      {"open_files", Limit(Read(counters.session.open_files), options.max_open_files)},
      {"locks", Limit(Read(counters.session.locks), options.max_locks)},
      {"xattr_bytes", Limit(Read(counters.session.xattr_bytes), options.max_xattr_bytes)},
  };
  // Where neither is bounded nothing is counted.
  if (options.max_files != 0) limits["files"] = Limit(Read(counters.usage.files), options.max_files);
  if (options.max_space != 0) limits["space"] = Limit(Read(counters.usage.space), options.max_space);
  return limits;
}

Json CountersOf(const Counters& counters, const options::ServerOptions& options) {
  return {
      {"msize", Read(counters.session.msize)},
      {"bytes_read", Read(counters.pool.bytes_read)},
      {"bytes_written", Read(counters.pool.bytes_written)},
      {"refused_requests", Read(counters.pool.refused)},
      {"throttled", {{"times", Read(counters.pool.throttles)}, {"ns", Read(counters.pool.throttled_nanoseconds)}}},
      {"limits", LimitsOf(counters, options)},
      {"operations", OperationsOf(counters)},
  };
}

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json ShareJson(const ShareReport& share) {
  return {
      {"devid", share.devid},
      {"transport", xenstore::NameOf(share.transport)},
      {"tag", Printable(share.tag.substr(0, kMaxTag))},
      {"path", share.path},
      {"readonly", share.options.readonly},
      {"state", NameOf(share.phase)},
      {"error", share.error.empty() ? Json(nullptr) : Json(share.error)},
      {"session", share.session.empty() ? Json(nullptr) : Json(share.session)},
      {"connected_since", OrNull(share.connected_since)},
      {"pid", OrNull(share.server)},
      {"counters", share.counters == nullptr ? Json(nullptr) : CountersOf(*share.counters, share.options)},
  };
}

}  // namespace

std::string ReportJson(uint32_t guest, uint32_t backend, const std::vector<ShareReport>& shares) {
  Json report = {{"version", kVersion}, {"domid", guest}, {"backend_domid", backend}, {"pid", getpid()}};
  Json& list = report["shares"] = Json::array();
  for (const ShareReport& share : shares) list.push_back(ShareJson(share));
  // A path may be any bytes.
  return report.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace virtfs::backend
