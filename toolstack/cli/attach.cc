// xl-virtfs attach DOMAIN SPEC

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "options/option_table.h"
#include "toolstack/cli/checked_guest.h"
#include "toolstack/cli/guest_shares.h"
#include "toolstack/cli/subcommands.h"
#include "toolstack/domain.h"

namespace virtfs::toolstack {
namespace {

absl::Status Run(const Arguments& arguments) {
  const absl::StatusOr<uint32_t> wait = WaitOf(arguments);
  if (!wait.ok()) return wait.status();
  const absl::StatusOr<HostConfig> host = ReadHostConfig(arguments.places.config);
  if (!host.ok()) return host.status();
  const std::string text = WithDefaults(arguments.operands[1], *host);
  const absl::StatusOr<ShareSpec> spec = ParseShareSpec(text);
  if (!spec.ok()) return spec.status();
  if (absl::Status checked = CheckShare(*spec, *host); !checked.ok()) return checked;

  const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
  if (!store.ok()) return store.status();
  const absl::StatusOr<Domain> guest = FindDomain(**store, arguments.operands[0]);
  if (!guest.ok()) return guest.status();
  absl::StatusOr<GuestShares> shares = GuestShares::Open(**store, arguments.places, *guest);
  if (!shares.ok()) return shares.status();
  const absl::StatusOr<uint32_t> devid = shares->Attach(text, *spec, std::chrono::seconds(*wait));
  if (!devid.ok()) return devid.status();
  printf("%u\n", *devid);
  return absl::OkStatus();
}

// The keys of a share, for --help.
const std::string& Help() {
  static const std::string* const kHelp = new std::string(absl::StrCat(
      "Attaches a directory to a guest, running or paused, and prints the share's device id. It is recorded by the\n"
      "guest's UUID: after a reboot or a restore of the guest `xl-virtfs watch`, which must be running, attaches it\n"
      "again.\n"
      "\n"
      "SPEC is KEY=VALUE,KEY=VALUE,... with these keys; SIZE is a number of bytes, or one with K, M, G or T:\n"
      "  tag=NAME\n"
      "      what the guest mounts\n"
      "  devid=DEVID\n"
      "      a device id instead of the first free one\n"
      "  backend=DOMAIN\n"
      "      the domain that has the directory, by name or id (default: this one)\n",
      options::OptionsHelp()));
  return *kHelp;
}

}  // namespace

Subcommand AttachSubcommand() {
  return {.name = "attach",
          .operands = {"DOMAIN", "SPEC"},
          .summary = "attach a directory to a guest, and print its device id",
          .help = Help(),
          .flags = {kWaitFlag},
          .run = Run};
}

}  // namespace virtfs::toolstack
