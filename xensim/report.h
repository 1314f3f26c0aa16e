// What a simulated machine tells: calls by kind, what is held by whom, and faults to come.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "xensim/world.h"

namespace xensim {

std::optional<Call> CallNamed(const std::string& name);

// Calls and units (pages, segments) that a domain made since the start or the last reset.
struct CallCount {
  uint64_t calls;
  uint64_t units;
};
CallCount CountOf(World& world, uint32_t domid, Call call);
void ResetCounts(World& world);

// What one handle holds. Only live handles: what died is reaped first.
struct Holding {
  uint32_t handle_id;
  HandleKind kind;
  uint32_t domid;
  int pid;  // as its process saw it
  std::string command;
  bool closed;            // closed, yet pages remain
  uint32_t mapped_pages;  // of others
  uint32_t shared_pages;  // with others, revoked ones included
  uint32_t ports;
};
std::vector<Holding> HoldingsOf(World& world, std::optional<uint32_t> domid);

// Lets the next `after` calls of the kind pass and fails the `count` behind them; -1: all. False if there is no room.
bool AddFault(World& world, Call call, uint32_t domid, int64_t after, int64_t count, int error);
void ClearFaults(World& world);

// For people, and for programs (one JSON object).
std::string StatsText(World& world);
std::string StatsJson(World& world);
std::string HoldingsText(const std::vector<Holding>& holdings);

}  // namespace xensim
