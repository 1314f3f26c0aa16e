// A simulated machine: the tables of World, the real xenstored, and a StoreBridge per domain, each a process.
//
// Errors: an absl::Status with a sentence for whoever runs the test or the demo.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "xensim/world.h"

namespace xensim {

// Where the programs are.
struct Installation {
  std::string directory;  // holds xensim-ctl and lib/
  std::string xenstored;

  // `directory` by the caller; xenstored in the cache that tools/fetch_debs.sh fills ($XEN_VIRTFS_CACHE).
  static absl::Status Find(const std::string& directory, Installation* found);
};

// "NAME=value" for a process of domain `domid`: the simulated libraries, its domain, its way to xenstored.
std::vector<std::string> DomainEnvironment(const Installation& installation, const std::string& machine,
                                           uint32_t domid);

// The unix socket on which processes of the domain reach xenstored.
std::string StorePath(const std::string& machine, uint32_t domid);

// `machine` is a directory that does not exist or is empty; short enough for unix sockets beneath it, best in /dev/shm.
// With `die_with_parent` nothing outlives the calling thread.
absl::Status StartMachine(const Installation& installation, const std::string& machine, bool die_with_parent);

// Creates the domain and introduces it to xenstored, with the nodes that xl makes for a new domain.
absl::Status StartDomain(const Installation& installation, const std::string& machine, uint32_t domid,
                         bool die_with_parent);

// What a dying domain does to the others: its processes are killed, and DestroyDomain. Then, as xl does, removes
// /local/domain/<domid>.
absl::Status StopDomain(const std::string& machine, uint32_t domid);

// Kills every process that holds a handle, xenstored too, and removes the directory.
absl::Status StopMachine(const std::string& machine);

// In the process that StartDomain starts: serves the domain's store until killed. Writes one line to `ready_fd`:
// nothing if all is well, else what went wrong, and closes it.
int RunDomain(const std::string& machine, uint32_t domid, int ready_fd);

// A process holding a handle of the machine, checked to be one (a process id may be of another namespace).
struct Holder {
  int pid;
  uint32_t domid;
  std::string command;
};
std::vector<Holder> Holders(World& world);

}  // namespace xensim
