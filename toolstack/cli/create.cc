// xl-virtfs create CFG

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "toolstack/cli/checked_guest.h"
#include "toolstack/cli/guest_shares.h"
#include "toolstack/cli/progress.h"
#include "toolstack/cli/subcommands.h"
#include "toolstack/cli/xl_program.h"
#include "toolstack/domain.h"

namespace virtfs::toolstack {
namespace {

absl::Status AttachAll(GuestShares& shares, const GuestConfig& guest, std::chrono::seconds patience) {
  // A guest with a uuid= of its own in the file may have a record of a former life, which the watch may have obeyed.
  if (absl::Status forgotten = shares.Forget(); !forgotten.ok()) return forgotten;
  for (const GuestShare& share : guest.shares) {
    Progress progress(absl::StrCat("attaching ", share.spec.tag, " (", share.spec.options.path, ")"));
    const absl::StatusOr<uint32_t> devid = shares.Attach(share.text, share.spec, patience);
    if (!devid.ok()) {
      return absl::Status(devid.status().code(),
                          Mistake{guest.path, share.line, "virtfs", std::string(devid.status().message())}.Text());
    }
    progress.Done(absl::StrCat("device ", *devid));
  }
  return absl::OkStatus();
}

absl::Status Run(const Arguments& arguments) {
  const absl::StatusOr<uint32_t> wait = WaitOf(arguments);
  if (!wait.ok()) return wait.status();
  const absl::StatusOr<HostConfig> host = ReadHostConfig(arguments.places.config);
  if (!host.ok()) return host.status();
  const absl::StatusOr<GuestConfig> guest = CheckGuest(arguments.operands[0], *host);
  if (!guest.ok()) return guest.status();
  if (absl::Status status = StatusOf(guest->mistakes); !status.ok()) return status;
  if (guest->name.empty()) return StatusOf({{guest->path, 0, "name", "it is missing: write name=\"NAME\""}});

  if (absl::Status created = RunXl({"create", "-p", guest->path}); !created.ok()) return created;
  absl::Status status;
  std::string id;
  {
    const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
    if (!store.ok()) return store.status();
    const absl::StatusOr<Domain> domain = FindDomain(**store, guest->name);
    if (!domain.ok()) return domain.status();
    id = absl::StrCat(domain->id);
    absl::StatusOr<GuestShares> shares = GuestShares::Open(**store, arguments.places, *domain);
    status = shares.ok() ? AttachAll(*shares, *guest, std::chrono::seconds(*wait)) : shares.status();
    if (!status.ok() && shares.ok()) (void)shares->Forget();
  }
  if (!status.ok()) {
    const absl::Status destroyed = RunXl({"destroy", id});
    return absl::Status(status.code(),
                        absl::StrCat(std::string(status.message()), "\n",
                                     destroyed.ok() ? absl::StrCat(guest->name, " was destroyed before it ran")
                                                    : std::string(destroyed.message())));
  }
  return arguments.Has("paused") ? absl::OkStatus() : RunXl({"unpause", id});
}

}  // namespace

Subcommand CreateSubcommand() {
  return {.name = "create",
          .operands = {"CFG"},
          .summary = "create a guest with the shares of its xl.cfg",
          .help =
              "Checks the file as `xl-virtfs check` does, creates the guest paused with `xl create`, attaches the\n"
              "shares of its list virtfs=[ 'tag=...,path=...', ... ], records them for its reboots, and lets it\n"
              "run. If a share cannot be attached the guest is destroyed before it has run.\n"
              "`xl-virtfs watch` must be running. `xl-virtfs attach --help` tells the keys of a share.",
          .flags = {{"paused", "", "leave the guest paused"}, kWaitFlag},
          .run = Run};
}

}  // namespace virtfs::toolstack
