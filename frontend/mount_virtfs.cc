// mount.virtfs: mounts a virtfs share with the guest kernel's own 9p client: mount(8)'s helper for -t virtfs.

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "frontend/mount/mount_share.h"
#include "frontend/mount/relay_process.h"
#include "xen/io/virtfs.h"

namespace virtfs::frontend {
namespace {

constexpr char kHelp[] = R"(mount.virtfs: mounts a directory that the host shares with this Xen guest

usage: mount -t virtfs TAG DIR [-o OPTION,...]
       mount.virtfs TAG DIR [-fnrsvw] [-o OPTION,...]
in /etc/fstab:  TAG  DIR  virtfs  defaults  0  0

The kernel's own 9p client does the mount (modules 9p and 9pnet_fd); a relay process stays behind it until the unmount
and passes its messages to the share's backend. Needs the modules xen-gntalloc and xen-evtchn. All are loaded if they
are missing.

  wait=SECONDS   how long to wait for the share to appear, and later for its backend to come back (10)
  msize=BYTES    largest message; lowered to what two of fit into the granted pages at once (524288)
  pages=N        pages to grant to the backend, 8 to 256 (256); a guest has 1024 for all its shares together
  ro nosuid nodev noexec noatime ...    as for every mount
  cache= access= uname= aname= dfltuid= posixacl ...    the 9p client's, see mount.virtfs(8)

  -f  does all but connect the share and mount    -v  says what is mounted
  -r  as -o ro    -w  as -o rw    -n -s  without effect

Exit status, that of mount(8): 0 success, 1 wrong usage, 2 this system lacks something, 32 cannot mount.

  mount -t virtfs share /mnt -o cache=mmap,wait=30
)";

int Main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (!arguments.empty() && arguments[0] == kRelayOption) {
    arguments.erase(arguments.begin());
    return RunRelay(arguments);
  }
  for (const std::string& argument : arguments) {
    if (argument == "-h" || argument == "--help") {
      fputs(kHelp, stdout);
      return 0;
    }
    if (argument == "-V" || argument == "--version") {
      puts("mount.virtfs: virtfs version " XEN_VIRTFS_VERSION ", 9P2000.L");
      return 0;
    }
  }
  const absl::StatusOr<MountRequest> request = ParseMountRequest(arguments);
  if (!request.ok()) {
    fprintf(stderr, "mount.virtfs: %s; mount.virtfs --help explains\n",
            std::string(request.status().message()).c_str());
    return kMountUsage;
  }
  return MountShare(*request);
}

}  // namespace
}  // namespace virtfs::frontend

int main(int argc, char** argv) { return virtfs::frontend::Main(argc, argv); }
