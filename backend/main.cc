// xen-virtfsd: serves directories to one Xen guest. The keeper by default; a server when the keeper starts it again.

#include <getopt.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "backend/keeper/keeper.h"
#include "backend/keeper/log.h"
#include "backend/keeper/server_process.h"
#include "backend/server/server.h"
#include "options/keeper_socket.h"
#include "xenstore/number.h"
#include "xenstore/paths.h"

namespace {

using virtfs::backend::Log;
using virtfs::backend::LogLevel;

constexpr char kVersion[] = "0.1";

constexpr char kHelp[] =
    "Usage: xen-virtfsd --domid N [OPTION]...\n"
    "\n"
    "Serves the directories that are attached to Xen guest N as virtfs devices: those that are attached now and those\n"
    "that come later, until the guest is gone. Run one for each guest, as root, in the domain that has the files.\n"
    "\n"
    "  --domid N           the guest's domain id, as `xl domid NAME` tells it\n"
    "  --backend-domid B   the domain whose directories these are (default: the one this runs in)\n"
    "  --run DIRECTORY     where it makes its socket, at which `xl-virtfs status` asks (default: /run/xen-virtfs)\n"
    "  --log-level LEVEL   error, warning, info (default) or debug; the log goes to standard error\n"
    "  --help              this text\n"
    "  --version\n"
    "\n"
    "Directories are attached with virtfs-attach. Exit status: 0 when the guest is gone or after SIGTERM, 1 when it\n"
    "cannot serve (the last line of the log says why), 2 for a mistake in the options.\n"
    "\n"
    "Example: virtfs-attach --domid 3 tag=share,path=/srv/share,security_model=passthrough & xen-virtfsd --domid 3\n";

int Mistake(const std::string& sentence) {
  fprintf(stderr, "xen-virtfsd: %s (xen-virtfsd --help tells more)\n", sentence.c_str());
  return 2;
}

int Run(int argc, char** argv) {
  enum { kDomid = 1, kBackendDomid, kRun, kLogLevel, kHelpFlag, kVersionFlag };
  const option kOptions[] = {{"domid", required_argument, nullptr, kDomid},
                             {"backend-domid", required_argument, nullptr, kBackendDomid},
                             {"run", required_argument, nullptr, kRun},
                             {"log-level", required_argument, nullptr, kLogLevel},
                             {"help", no_argument, nullptr, kHelpFlag},
                             {"version", no_argument, nullptr, kVersionFlag},
                             {}};
  virtfs::backend::KeeperOptions options;
  // For tests, which have many keepers of guests with the same number.
  const char* const directory = getenv("XEN_VIRTFS_RUN");
  options.run_directory = directory != nullptr ? directory : virtfs::options::kRunDirectory;
  std::optional<uint32_t> guest;
  opterr = 0;
  for (int flag; (flag = getopt_long(argc, argv, ":", kOptions, nullptr)) != -1;) {
    switch (flag) {
      case kDomid:
        guest = virtfs::xenstore::ParseNumber(optarg, 0, virtfs::xenstore::kMaxDomid);
        if (!guest)
          return Mistake(std::string("--domid ") + optarg + " is no domain id: write a number, as in --domid 3");
        break;
      case kBackendDomid:
        options.backend = virtfs::xenstore::ParseNumber(optarg, 0, virtfs::xenstore::kMaxDomid);
        if (!options.backend) {
          return Mistake(std::string("--backend-domid ") + optarg +
                         " is no domain id: write a number, or leave it out");
        }
        break;
      case kRun:
        options.run_directory = optarg;
        break;
      case kLogLevel: {
        const std::optional<LogLevel> level = virtfs::backend::ParseLogLevel(optarg);
        if (!level) return Mistake(std::string("--log-level ") + optarg + ": write error, warning, info or debug");
        virtfs::backend::SetLogLevel(*level);
        break;
      }
      case kHelpFlag:
        fputs(kHelp, stdout);
        return 0;
      case kVersionFlag:
        printf("xen-virtfsd %s\n", kVersion);
        return 0;
      case ':':
        return Mistake(std::string(argv[optind - 1]) + " needs a value");
      default:
        return Mistake(std::string("unknown option ") + argv[optind - 1]);
    }
  }
  if (optind < argc) return Mistake(std::string("what is ") + argv[optind] + " for?");
  if (!guest) return Mistake("which guest? write --domid N");
  options.guest = *guest;

  const absl::Status status = virtfs::backend::RunKeeper(options);
  if (status.ok()) return 0;
  Log(LogLevel::kError, "", std::string(status.message()));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 2 && strcmp(argv[1], virtfs::backend::kServerFlag) == 0) {
    // By which it was started it would be "exe" in ps and in systemd's log.
    prctl(PR_SET_NAME, "xen-virtfsd");
    return virtfs::backend::RunServer(virtfs::UniqueFd(virtfs::backend::kServerLinkFd));
  }
  return Run(argc, argv);
}
