// LinuxGuest: a Linux kernel as a process of this machine (Debian's user-mode-linux), whose processes a test runs.
//
//   auto guest = LinuxGuest::Boot(*xen, directory, {});
//   const LinuxGuest::Outcome outcome = guest->Run("uname -r", std::chrono::seconds(5));
//
// Its root is this machine's, which it cannot change: what it writes is kept in its memory (guest/init.sh). Debian's
// packages of tests/linux/packages are unpacked over /usr. In it are
//
//   /virtfs/work     `directory`, as on the host
//   /virtfs/local    an empty ext4 on a disk of its own: what a share is compared with
//   /virtfs/guest    the scripts of tests/linux/guest
//
// Everything of it ends with the object. EnterPrivateNetwork() must have been called. Failures of the guest itself, not
// of what runs in it, are said by ADD_FAILURE. Threads: one.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "tests/simulated_xen.h"

namespace virtfs {

// The file of a test's data, as Program(), where it really is: runfiles are links, which the guest may see end nowhere.
std::string RealPath(const std::string& program);

class LinuxGuest {
 public:
  struct Options {
    std::string memory = "768M";
    std::string disk = "4G";  // of /virtfs/local; sparse
  };

  struct Outcome {
    int status = -1;     // as a shell has it; 124 if `bound` was over; -1: the guest is gone
    std::string output;  // stdout
    std::string errors;  // stderr; if the guest is gone, the end of its console
  };

  // `directory` is an empty one, on a file system with room for the disk. Null and a failure if it does not boot.
  static std::unique_ptr<LinuxGuest> Boot(SimulatedXen& xen, const std::string& directory, const Options& options);
  ~LinuxGuest();
  LinuxGuest(const LinuxGuest&) = delete;
  LinuxGuest& operator=(const LinuxGuest&) = delete;

  // Runs a script by bash, with the functions of guest/functions.sh. A guest that does not answer some seconds after
  // `bound` is killed, and every later call fails at once.
  Outcome Run(const std::string& script, std::chrono::seconds bound);

  bool Running() { return process_ != nullptr && process_->Running(); }

 private:
  explicit LinuxGuest(std::string directory) : directory_(std::move(directory)) {}

  bool Start(SimulatedXen& xen, const Options& options);
  // The next line of the guest's; false if none came within `bound` or the guest ended.
  bool ReadLine(std::chrono::milliseconds bound, std::string* line);
  Outcome Gone(const std::string& why);

  const std::string directory_;
  std::shared_ptr<Process> process_;
  UniqueFd control_;
  std::string received_;  // not yet a line
  int commands_ = 0;
};

}  // namespace virtfs
