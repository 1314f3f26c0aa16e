// Places: where the files of the toolstack are. The command's flags can name others, which tests do.
#pragma once

#include <string>

#include "options/keeper_socket.h"

namespace virtfs::toolstack {

struct Places {
  std::string config = "/etc/xen/virtfs.conf";   // allowed roots and defaults; need not exist
  std::string records = "/var/lib/xen-virtfs";   // what each guest has attached: survives a reboot of the host
  std::string runtime = options::kRunDirectory;  // locks and sockets: does not
};

}  // namespace virtfs::toolstack
