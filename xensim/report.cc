#include "xensim/report.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "xensim/handles.h"

namespace xensim {
namespace {

constexpr const char* kKindNames[] = {"gnttab", "gntshr", "evtchn"};

uint32_t CountPorts(State& state, const Handle& handle) {
  uint32_t count = 0;
  for (const Port& port : state.ports[handle.domid]) {
    if (port.owner == handle.id && Binding::Unpack(port.binding).state != PortState::kFree) ++count;
  }
  return count;
}

uint32_t CountShared(State& state, const Handle& handle) {
  uint32_t count = 0;
  for (const Grant& grant : state.grants[handle.domid]) {
    if (grant.owner == handle.id && GrantWord::Unpack(grant.word).state != GrantState::kFree) ++count;
  }
  return count;
}

uint32_t CountMapped(State& state, const Handle& handle) {
  uint32_t count = 0;
  for (const Use& use : state.uses) {
    if (use.handle_id == handle.id) ++count;
  }
  return count;
}

}  // namespace

std::optional<Call> CallNamed(const std::string& name) {
  for (uint32_t i = 0; i < kCalls; ++i) {
    if (name == kCallNames[i]) return static_cast<Call>(i);
  }
  return std::nullopt;
}

CallCount CountOf(World& world, uint32_t domid, Call call) {
  const Counter& counter = world.state().domains[domid].counters[static_cast<uint32_t>(call)];
  return {counter.calls, counter.units};
}

void ResetCounts(World& world) {
  for (Domain& domain : world.state().domains) {
    for (Counter& counter : domain.counters) {
      counter.calls = 0;
      counter.units = 0;
    }
  }
}

std::vector<Holding> HoldingsOf(World& world, std::optional<uint32_t> domid) {
  std::vector<Holding> holdings;
  State& state = world.state();
  Locked locked(world);
  ReapLocked(world);
  for (const Handle& handle : state.handles) {
    if (handle.id == 0 || (domid.has_value() && handle.domid != *domid)) continue;
    Holding holding = {};
    holding.handle_id = handle.id;
    holding.kind = handle.kind;
    holding.domid = handle.domid;
    holding.pid = handle.pid;
    holding.command = std::string(handle.command, strnlen(handle.command, sizeof(handle.command)));
    holding.closed = handle.closed != 0;
    if (handle.kind == HandleKind::kGnttab) holding.mapped_pages = CountMapped(state, handle);
    if (handle.kind == HandleKind::kGntshr) holding.shared_pages = CountShared(state, handle);
    if (handle.kind == HandleKind::kEvtchn) holding.ports = CountPorts(state, handle);
    holdings.push_back(std::move(holding));
  }
  return holdings;
}

bool AddFault(World& world, Call call, uint32_t domid, int64_t after, int64_t count, int error) {
  Locked locked(world);
  for (Fault& fault : world.state().faults) {
    if (fault.active != 0) continue;
    fault.call = call;
    fault.domid = domid;
    fault.error = error;
    fault.after = after;
    fault.count = count < 0 ? std::numeric_limits<int64_t>::max() : count;
    fault.active.store(1, std::memory_order_release);
    world.state().armed_faults.fetch_add(1);
    return true;
  }
  return false;
}

void ClearFaults(World& world) {
  Locked locked(world);
  for (Fault& fault : world.state().faults) {
    if (fault.active.exchange(0) != 0) world.state().armed_faults.fetch_sub(1);
  }
}

std::string StatsText(World& world) {
  std::string text = absl::StrFormat("%-7s %-17s %12s %12s\n", "domain", "call", "calls", "pages/segs");
  for (uint32_t domid = 0; domid < kMaxDomains; ++domid) {
    for (uint32_t i = 0; i < kCalls; ++i) {
      const CallCount count = CountOf(world, domid, static_cast<Call>(i));
      if (count.calls == 0) continue;
      absl::StrAppendFormat(&text, "%-7d %-17s %12d %12d\n", domid, kCallNames[i], count.calls, count.units);
    }
  }
  return text;
}

std::string StatsJson(World& world) {
  std::string text = "{";
  for (uint32_t domid = 0; domid < kMaxDomains; ++domid) {
    if (world.state().domains[domid].state == DomainState::kAbsent) continue;
    absl::StrAppend(&text, text.size() > 1 ? "," : "", "\"", domid, "\":{");
    for (uint32_t i = 0; i < kCalls; ++i) {
      const CallCount count = CountOf(world, domid, static_cast<Call>(i));
      absl::StrAppend(&text, i > 0 ? "," : "", "\"", kCallNames[i], "\":{\"calls\":", count.calls,
                      ",\"units\":", count.units, "}");
    }
    text += "}";
  }
  return text + "}\n";
}

std::string HoldingsText(const std::vector<Holding>& holdings) {
  std::string text = absl::StrFormat("%-6s %-7s %-16s %-7s %8s %8s %8s\n", "domain", "pid", "command", "handle",
                                     "mapped", "shared", "ports");
  for (const Holding& holding : holdings) {
    absl::StrAppendFormat(&text, "%-6d %-7d %-16s %-7s %8d %8d %8d%s\n", holding.domid, holding.pid, holding.command,
                          kKindNames[static_cast<uint32_t>(holding.kind)], holding.mapped_pages, holding.shared_pages,
                          holding.ports, holding.closed ? "  closed" : "");
  }
  return text;
}

}  // namespace xensim
