// LinuxHost: everything that a mount in user-mode Linux goes through. A simulated Xen; domain 1 with its keeper; shares
// attached to it; for each a virtfs-relay as a process of domain 1, on TCP on the private network; and the LinuxGuest
// whose 9p client connects to that.
//
//   kernel 9p client --TCP--> virtfs-relay --ring, grants, events--> xen-virtfsd's server --> a directory of this host
//
// In the guest `mount_share TAG WHERE OPTIONS` mounts a share (guest/functions.sh). Failures are said by ADD_FAILURE
// and give false or null. Everything ends with the object. Threads: one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/linux/linux_guest.h"
#include "tests/simulated_xen.h"

namespace virtfs {

class LinuxHost {
 public:
  // `directory`: where everything of it is, made here and removed in the end; "" for one in $TEST_TMPDIR.
  static std::unique_ptr<LinuxHost> Start(const LinuxGuest::Options& options, std::string directory = "");
  ~LinuxHost();
  LinuxHost(const LinuxHost&) = delete;
  LinuxHost& operator=(const LinuxHost&) = delete;

  // Attaches a directory, made if it is not there, with `options` ("security_model=passthrough") and starts its relay.
  bool Share(const std::string& tag, const std::string& directory, const std::string& options);

  // The directory of a share, on this machine.
  std::string Directory(const std::string& name) const { return directory_ + "/" + name; }

  LinuxGuest& guest() { return *guest_; }
  SimulatedXen& xen() { return *xen_; }
  Process& keeper() { return *keeper_; }

  // Runs a script on this machine with the functions of guest/functions.sh; its stdout and stderr.
  std::string RunHere(const std::string& script, std::chrono::milliseconds bound);

 private:
  LinuxHost() = default;

  std::string directory_;
  std::unique_ptr<SimulatedXen> xen_;
  std::shared_ptr<Process> keeper_;
  std::vector<std::shared_ptr<Process>> relays_;
  std::unique_ptr<LinuxGuest> guest_;
};

}  // namespace virtfs
