// xl-virtfs status [DOMAIN]
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "toolstack/cli/subcommands.h"
#include "toolstack/domain.h"
#include "toolstack/status/keeper_query.h"
#include "toolstack/status/status_text.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {
namespace {

std::string NameOf(xenstore::Store& store, uint32_t domid) {
  const absl::StatusOr<Domain> domain = DomainOf(store, domid);
  return domain.ok() ? domain->name : "";
}

// Those of one guest, or of all that have a keeper here.
absl::StatusOr<std::vector<GuestStatus>> Ask(xenstore::Store& store, const Arguments& arguments) {
  std::vector<GuestStatus> guests;
  const std::string& directory = arguments.places.runtime;
  if (!arguments.operands.empty()) {
    const absl::StatusOr<Domain> domain = FindDomain(store, arguments.operands[0]);
    if (!domain.ok()) return domain.status();
    absl::StatusOr<GuestStatus> guest = AskKeeper(directory, domain->id);
    if (!guest.ok()) return guest.status();
    guests.push_back(*std::move(guest));
    return guests;
  }
  for (const uint32_t domid : GuestsWithKeepers(directory)) {
    absl::StatusOr<GuestStatus> guest = AskKeeper(directory, domid);
    // A keeper that was killed has left its socket.
    if (absl::IsNotFound(guest.status())) continue;
    if (!guest.ok()) return guest.status();
    guests.push_back(*std::move(guest));
  }
  return guests;
}

absl::Status Run(const Arguments& arguments) {
  const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
  if (!store.ok()) return store.status();
  const absl::StatusOr<std::vector<GuestStatus>> guests = Ask(**store, arguments);
  if (!guests.ok()) return guests.status();
  if (arguments.Has("json")) {
    fputs(StatusJson(*guests).c_str(), stdout);
    return absl::OkStatus();
  }
  if (guests->empty()) fputs("no guest has shares that are served from this domain\n", stdout);
  for (const GuestStatus& guest : *guests) {
    if (&guest != &guests->front()) fputs("\n", stdout);
    fputs(StatusTable(guest, NameOf(**store, guest.domid), time(nullptr)).c_str(), stdout);
  }
  return absl::OkStatus();
}

}  // namespace

Subcommand StatusSubcommand() {
  return {.name = "status",
          .operands = {"[DOMAIN]"},
          .summary = "what the shares of a guest do: state, operations, latencies, limits",
          .help =
              "Asks the guest's xen-virtfsd, or without DOMAIN all that run in this domain. Of each share: its state,\n"
              "what is held of each limit, and for each 9P operation how many there were, how many failed, and in\n"
              "what time half, 95 and 99 of 100 and all of them were served. Where a share has no server these are\n"
              "the figures of its last one. Shares that a driver domain serves are asked for there.",
          .flags = {{"json", "", "the same as JSON on standard output, times in nanoseconds"}},
          .run = Run};
}

}  // namespace virtfs::toolstack
