#include "toolstack/status/status_text.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace virtfs::toolstack {
namespace {

using Json = nlohmann::ordered_json;

constexpr struct {
  const char* name;
  double share;
} kPercentiles[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}};

// The largest of the units that leaves at least one of it; at most three digits.
struct Unit {
  const char* name;
  double size;
};
template <size_t kUnits>
std::string Scaled(double value, const Unit (&units)[kUnits]) {
  const Unit* unit = &units[0];
  for (const Unit& larger : units) {
    // What would be rounded to 1000 is one of the next.
    if (value >= larger.size * 0.9995) unit = &larger;
  }
  const double scaled = value / unit->size;
  const int decimals = unit == &units[0] || scaled >= 9.95 ? 0 : 1;
  return absl::StrFormat("%.*f %s", decimals, scaled, unit->name);
}

// "2 d 3 h", "5 min".
std::string SinceText(int64_t seconds) {
  constexpr int64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
  if (seconds < kMinute) return absl::StrCat(std::max<int64_t>(seconds, 0), " s");
  if (seconds < kHour) return absl::StrCat(seconds / kMinute, " min");
  if (seconds < kDay) return absl::StrCat(seconds / kHour, " h ", seconds % kHour / kMinute, " min");
  return absl::StrCat(seconds / kDay, " d ", seconds % kDay / kHour, " h");
}

std::string LimitText(const LimitStatus& limit) {
  const bool is_size = limit.name == "space" || limit.name == "xattr_bytes";
  const auto number = [&](uint64_t value) { return is_size ? SizeText(value) : absl::StrCat(value); };
  const std::string name = absl::StrReplaceAll(limit.name, {{"_", " "}});
  return limit.max ? absl::StrCat(name, " ", number(limit.used), " of ", number(*limit.max))
                   : absl::StrCat(name, " ", number(limit.used));
}

std::string CountersTable(const CountersStatus& counters) {
  std::string text = absl::StrCat("  read ", SizeText(counters.bytes_read), ", written ",
                                  SizeText(counters.bytes_written), "; msize ", counters.msize, "\n  in use: ");
  absl::StrAppend(&text,
                  absl::StrJoin(counters.limits, ", ",
                                [](std::string* out, const LimitStatus& limit) { out->append(LimitText(limit)); }),
                  "\n");
  if (counters.throttles != 0) {
    absl::StrAppend(&text, "  throttled ", counters.throttles, " times, ", DurationText(counters.throttled_nanoseconds),
                    " in all\n");
  }
  if (counters.refused_requests != 0) {
    absl::StrAppend(&text, "  refused ", counters.refused_requests, " requests beyond max-requests\n");
  }
  if (counters.operations.empty()) return text;
  absl::StrAppendFormat(&text, "  %-12s %12s %8s %9s %9s %9s %9s\n", "operation", "count", "errors", "p50", "p95",
                        "p99", "max");
  for (const OperationStatus& operation : counters.operations) {
    absl::StrAppendFormat(&text, "  %-12s %12d %8d", operation.name, operation.count, operation.errors);
    for (const auto& percentile : kPercentiles) {
      absl::StrAppendFormat(&text, " %9s", DurationText(operation.Percentile(percentile.share)));
    }
    absl::StrAppendFormat(&text, " %9s\n", DurationText(operation.longest));
  }
  return text;
}

std::string ShareTable(const ShareStatus& share, int64_t now) {
  std::string text = absl::StrCat("share ", share.devid, " ", share.tag.empty() ? "(no tag)" : share.tag, ": ",
                                  share.path.empty() ? "(not ready yet)" : share.path,
                                  share.readonly ? ", read-only" : "", "\n  ", share.transport, ", ", share.state);
  if (share.connected_since) absl::StrAppend(&text, " for ", SinceText(now - *share.connected_since));
  if (share.pid) absl::StrAppend(&text, ", by process ", *share.pid);
  if (!share.session.empty()) absl::StrAppend(&text, ", session ", share.session);
  absl::StrAppend(&text, "\n");
  if (!share.error.empty()) absl::StrAppend(&text, "  ", share.error, "\n");
  if (!share.counters) return text;
  if (!share.pid) absl::StrAppend(&text, "  what its last server had counted:\n");
  return absl::StrCat(text, CountersTable(*share.counters));
}

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json OrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json CountersJson(const CountersStatus& counters) {
  Json limits = Json::object(), operations = Json::object();
  for (const LimitStatus& limit : counters.limits) {
    limits[limit.name] = {{"used", limit.used}, {"max", OrNull(limit.max)}};
  }
  for (const OperationStatus& operation : counters.operations) {
    Json& json = operations[operation.name] = {{"count", operation.count}, {"errors", operation.errors}};
    for (const auto& percentile : kPercentiles) {
      json[absl::StrCat(percentile.name, "_ns")] = operation.Percentile(percentile.share);
    }
    json["max_ns"] = operation.longest;
  }
  return {{"msize", counters.msize},
          {"bytes_read", counters.bytes_read},
          {"bytes_written", counters.bytes_written},
          {"refused_requests", counters.refused_requests},
          {"throttled", {{"times", counters.throttles}, {"ns", counters.throttled_nanoseconds}}},
          {"limits", std::move(limits)},
          {"operations", std::move(operations)}};
}

Json ShareJson(const ShareStatus& share) {
  return {{"devid", share.devid},
          {"transport", share.transport},
          {"tag", share.tag},
          {"path", share.path},
          {"readonly", share.readonly},
          {"state", share.state},
          {"error", OrNull(share.error)},
          {"session", OrNull(share.session)},
          {"connected_since", OrNull(share.connected_since)},
          {"pid", OrNull(share.pid)},
          {"counters", share.counters ? CountersJson(*share.counters) : Json(nullptr)}};
}

}  // namespace

std::string DurationText(uint64_t nanoseconds) {
  constexpr Unit kUnits[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
  return Scaled(static_cast<double>(nanoseconds), kUnits);
}

std::string SizeText(uint64_t bytes) {
  constexpr Unit kUnits[] = {{"bytes", 1}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
  return Scaled(static_cast<double>(bytes), kUnits);
}

std::string StatusTable(const GuestStatus& guest, const std::string& name, int64_t now) {
  std::string text = absl::StrCat("domain ", guest.domid, name.empty() ? "" : absl::StrCat(" (", name, ")"),
                                  ", served by process ", guest.pid, "\n");
  if (guest.shares.empty()) absl::StrAppend(&text, "no shares\n");
  for (const ShareStatus& share : guest.shares) absl::StrAppend(&text, "\n", ShareTable(share, now));
  return text;
}

std::string StatusJson(const std::vector<GuestStatus>& guests) {
  Json json = Json::array();
  for (const GuestStatus& guest : guests) {
    Json shares = Json::array();
    for (const ShareStatus& share : guest.shares) shares.push_back(ShareJson(share));
    json.push_back({{"domid", guest.domid},
                    {"backend_domid", guest.backend_domid},
                    {"pid", guest.pid},
                    {"shares", std::move(shares)}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace virtfs::toolstack
