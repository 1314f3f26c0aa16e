#include "toolstack/status/guest_status.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace virtfs::toolstack {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;

// Nothing that moves a terminal. Bytes beyond ASCII stay, since names may be in any language; JSON is UTF-8.
std::string Text(const Json& value) {
  std::string text = value.is_null() ? "" : value.get<std::string>();
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
  return text;
}

std::optional<int64_t> Number(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional<int64_t>(value.get<int64_t>());
}

OperationStatus ParseOperation(const std::string& name, const Json& operation) {
  OperationStatus result{.name = Text(name),
                         .count = operation.at("count").get<uint64_t>(),
                         .errors = operation.at("errors").get<uint64_t>(),
                         .longest = operation.at("max_ns").get<uint64_t>(),
                         .latency = {}};
  for (const Json& bucket : operation.at("latency_ns")) {
    result.latency.push_back({.from = bucket.at(0).get<uint64_t>(),
                              .to = bucket.at(1).get<uint64_t>(),
                              .count = bucket.at(2).get<uint64_t>()});
  }
  return result;
}

CountersStatus ParseCounters(const Json& counters) {
  CountersStatus result{.msize = counters.at("msize").get<uint64_t>(),
                        .bytes_read = counters.at("bytes_read").get<uint64_t>(),
                        .bytes_written = counters.at("bytes_written").get<uint64_t>(),
                        .refused_requests = counters.at("refused_requests").get<uint64_t>(),
                        .throttles = counters.at("throttled").at("times").get<uint64_t>(),
                        .throttled_nanoseconds = counters.at("throttled").at("ns").get<uint64_t>(),
                        .limits = {},
                        .operations = {}};
  for (const auto& [name, limit] : counters.at("limits").items()) {
    result.limits.push_back({.name = Text(name), .used = limit.at("used").get<uint64_t>(), .max = std::nullopt});
    if (limit.contains("max")) result.limits.back().max = limit.at("max").get<uint64_t>();
  }
  for (const auto& [name, operation] : counters.at("operations").items()) {
    result.operations.push_back(ParseOperation(name, operation));
  }
  return result;
}

ShareStatus ParseShare(const Json& share) {
  ShareStatus result{.devid = share.at("devid").get<uint32_t>(),
                     .transport = Text(share.at("transport")),
                     .tag = Text(share.at("tag")),
                     .path = Text(share.at("path")),
                     .readonly = share.at("readonly").get<bool>(),
                     .state = Text(share.at("state")),
                     .error = Text(share.at("error")),
                     .session = Text(share.at("session")),
                     .connected_since = Number(share.at("connected_since")),
                     .pid = Number(share.at("pid")),
                     .counters = std::nullopt};
  if (!share.at("counters").is_null()) result.counters = ParseCounters(share.at("counters"));
  return result;
}

}  // namespace

uint64_t OperationStatus::Percentile(double share) const {
  // As doubles, whose sum cannot wrap round.
  double all = 0;
  for (const Bucket& bucket : latency) all += static_cast<double>(bucket.count);
  if (all == 0) return 0;
  // Which one in order of length, from 1 on.
  const double rank = std::max(1.0, std::ceil(share * all));
  double before = 0;
  for (const Bucket& bucket : latency) {
    const auto count = static_cast<double>(bucket.count);
    if (before + count >= rank) {
      // The last bucket has no end of its own.
      const uint64_t end = std::max(bucket.from, std::min(bucket.to, longest));
      const double part = (rank - before) / count;
      if (part >= 1) return end;
      const uint64_t width = end - bucket.from;
      return bucket.from + std::min(width, static_cast<uint64_t>(static_cast<double>(width) * part));
    }
    before += count;
  }
  return longest;
}

absl::StatusOr<GuestStatus> ParseGuestStatus(std::string_view document) {
  try {
    const Json json = Json::parse(document);
    if (json.at("version").get<int>() != kVersion) {
      return absl::InvalidArgumentError(absl::StrCat("the keeper speaks version ", json.at("version").get<int>(),
                                                     " and this command version ", kVersion,
                                                     ": they are not of one installation"));
    }
    GuestStatus result{.domid = json.at("domid").get<uint32_t>(),
                       .backend_domid = json.at("backend_domid").get<uint32_t>(),
                       .pid = json.at("pid").get<int64_t>(),
                       .shares = {}};
    for (const Json& share : json.at("shares")) result.shares.push_back(ParseShare(share));
    return result;
  } catch (const Json::exception& mistake) {
    return absl::InvalidArgumentError(absl::StrCat("the keeper's answer makes no sense: ", mistake.what()));
  }
}

}  // namespace virtfs::toolstack
