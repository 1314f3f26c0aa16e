// xl-virtfs check CFG
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "toolstack/cli/checked_guest.h"
#include "toolstack/cli/subcommands.h"

namespace virtfs::toolstack {
namespace {

void PrintJson(const GuestConfig& guest) {
  nlohmann::ordered_json shares = nlohmann::json::array(), mistakes = nlohmann::json::array();
  for (const GuestShare& share : guest.shares) shares.push_back({{"line", share.line}, {"share", share.text}});
  for (const Mistake& mistake : guest.mistakes) {
    mistakes.push_back(
        {{"file", mistake.file}, {"line", mistake.line}, {"key", mistake.key}, {"sentence", mistake.sentence}});
  }
  const nlohmann::ordered_json all = {
      {"file", guest.path}, {"name", guest.name}, {"shares", shares}, {"mistakes", mistakes}};
  // A file may hold any bytes.
  printf("%s\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

absl::Status Run(const Arguments& arguments) {
  const absl::StatusOr<HostConfig> host = ReadHostConfig(arguments.places.config);
  if (!host.ok()) return host.status();
  const absl::StatusOr<GuestConfig> guest = CheckGuest(arguments.operands[0], *host);
  if (!guest.ok()) return guest.status();
  if (arguments.Has("json")) PrintJson(*guest);
  if (!guest->mistakes.empty()) return StatusOf(guest->mistakes);
  if (!arguments.Has("json")) {
    printf("%s: %zu share%s, nothing wrong\n", guest->path.c_str(), guest->shares.size(),
           guest->shares.size() == 1 ? "" : "s");
  }
  return absl::OkStatus();
}

}  // namespace

Subcommand CheckSubcommand() {
  return {.name = "check",
          .operands = {"CFG"},
          .summary = "say what is wrong with the shares in a guest's xl.cfg",
          .help =
              "Reads the guest's file and /etc/xen/virtfs.conf, looks at each directory, and tells every mistake in\n"
              "one sentence with file, line, key and what can be written there. Changes nothing, and needs no Xen\n"
              "unless a share names its backend.",
          .flags = {{"json", "", "the shares and the mistakes as JSON on standard output"}},
          .run = Run};
}

}  // namespace virtfs::toolstack
