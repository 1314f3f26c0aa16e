// virtfs-attach: attaches a directory to a Xen guest, and detaches it.

#include <getopt.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "options/option_table.h"
#include "toolstack/attach.h"
#include "toolstack/share_spec.h"
#include "xenstore/number.h"
#include "xenstore/paths.h"
#include "xenstore/store.h"

namespace {

using virtfs::xenstore::ParseNumber;
using virtfs::xenstore::Store;

constexpr char kHelp[] =
    "Usage: virtfs-attach --domid N tag=NAME,path=DIRECTORY,security_model=MODEL[,KEY=VALUE]...\n"
    "       virtfs-attach --domid N --detach DEVID\n"
    "\n"
    "Attaches a directory of this host to Xen guest N, running or paused, and prints the share's device id; or "
    "detaches\n"
    "it. xen-virtfsd --domid N must be running.\n"
    "\n"
    "  --backend-domid B   the domain that has the directory (default: 0)\n"
    "  --wait SECONDS      how long to wait for the backend (default: 15)\n"
    "  --force             with --detach: remove the nodes even if the backend does not close\n"
    "  --help              this text\n"
    "\n"
    "Exit status: 0 when done, 1 when it could not be done, 2 for a mistake in the options.\n"
    "\n"
    "Options of a share; SIZE is a number of bytes, or one with K, M, G or T:\n"
    "  tag=NAME\n"
    "      what the guest mounts\n"
    "  devid=DEVID\n"
    "      a device id instead of the first free one\n";

int Mistake(const std::string& sentence) {
  fprintf(stderr, "virtfs-attach: %s (virtfs-attach --help tells more)\n", sentence.c_str());
  return 2;
}

int Fail(const absl::Status& status) {
  fprintf(stderr, "virtfs-attach: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  enum { kDomid = 1, kBackendDomid, kDetach, kWait, kForce, kHelpFlag };
  const option kOptions[] = {{"domid", required_argument, nullptr, kDomid},
                             {"backend-domid", required_argument, nullptr, kBackendDomid},
                             {"detach", required_argument, nullptr, kDetach},
                             {"wait", required_argument, nullptr, kWait},
                             {"force", no_argument, nullptr, kForce},
                             {"help", no_argument, nullptr, kHelpFlag},
                             {}};
  std::optional<uint32_t> guest, backend = 0, detach, wait = 15;
  bool force = false;
  opterr = 0;
  const auto number = [](std::optional<uint32_t>& into, uint32_t max) {
    into = ParseNumber(optarg, 0, max);
    return into.has_value();
  };
  for (int flag; (flag = getopt_long(argc, argv, ":", kOptions, nullptr)) != -1;) {
    bool good = true;
    switch (flag) {
      case kDomid:
        good = number(guest, virtfs::xenstore::kMaxDomid);
        break;
      case kBackendDomid:
        good = number(backend, virtfs::xenstore::kMaxDomid);
        break;
      case kDetach:
        good = number(detach, INT32_MAX);
        break;
      case kWait:
        good = number(wait, 86400);
        break;
      case kForce:
        force = true;
        break;
      case kHelpFlag:
        printf("%s%s", kHelp, virtfs::options::OptionsHelp().c_str());
        return 0;
      case ':':
        return Mistake(std::string(argv[optind - 1]) + " needs a value");
      default:
        return Mistake(std::string("unknown option ") + argv[optind - 1]);
    }
    if (!good) return Mistake(std::string("what is ") + optarg + "? write a number");
  }
  if (!guest) return Mistake("which guest? write --domid N");
  if (detach.has_value() == (optind < argc)) return Mistake("write either one share or --detach DEVID");
  if (argc - optind > 1) return Mistake("one share at a time");

  std::optional<virtfs::toolstack::ShareSpec> spec;
  if (!detach) {
    absl::StatusOr<virtfs::toolstack::ShareSpec> parsed = virtfs::toolstack::ParseShareSpec(argv[optind]);
    if (!parsed.ok()) return Mistake(std::string(parsed.status().message()));
    if (!parsed->backend.empty()) return Mistake("backend is a key of xl-virtfs: write --backend-domid here");
    spec = *std::move(parsed);
  }
  absl::StatusOr<std::unique_ptr<Store>> store = Store::Open();
  if (!store.ok()) return Fail(store.status());
  const virtfs::toolstack::Domains domains{.guest = *guest, .backend = *backend};
  const std::chrono::seconds patience(*wait);
  if (detach) {
    const absl::Status status = virtfs::toolstack::RemoveShare(**store, domains, *detach, patience, force);
    return status.ok() ? 0 : Fail(status);
  }
  const absl::StatusOr<uint32_t> devid = virtfs::toolstack::WriteShare(**store, domains, *spec, patience);
  if (!devid.ok()) return Fail(devid.status());
  printf("%u\n", *devid);
  return 0;
}
