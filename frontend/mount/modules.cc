#include "frontend/mount/modules.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

namespace virtfs::frontend {
namespace {

constexpr char kFileSystem[] = "9p";

bool Exists(const char* path) { return access(path, F_OK) == 0; }

bool HasFileSystem(const std::string& name) {
  std::ifstream list("/proc/filesystems");
  for (std::string line; std::getline(list, line);) {
    if (line.substr(line.find('\t') + 1) == name) return true;
  }
  return false;
}

// The program that the kernel itself would run.
std::string Modprobe() {
  std::string path;
  std::getline(std::ifstream("/proc/sys/kernel/modprobe"), path);
  return path.empty() ? "/sbin/modprobe" : path;
}

}  // namespace

bool LoadModule(const std::string& name) {
  std::string program = Modprobe();
  std::string quiet = "-q";
  std::string module = name;
  char* const argv[] = {program.data(), quiet.data(), module.data(), nullptr};
  pid_t child = 0;
  if (posix_spawn(&child, program.c_str(), nullptr, nullptr, argv, environ) != 0) return false;
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

absl::Status LoadModules() {
  if (!Exists("/dev/xen/gntalloc")) LoadModule("xen-gntalloc");
  if (!Exists("/dev/xen/evtchn")) LoadModule("xen-evtchn");
  if (!HasFileSystem(kFileSystem)) LoadModule(kFileSystem);
  // Before Linux 5.17 a part of 9pnet.
  if (!Exists("/sys/module/9pnet_fd")) LoadModule("9pnet_fd");
  if (HasFileSystem(kFileSystem)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this kernel has no 9p file system, and modprobe does not find the modules 9p and 9pnet_fd; without them use "
      "virtfs-client");
}

}  // namespace virtfs::frontend
