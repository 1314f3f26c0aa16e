#include "tests/linux/linux_host.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/linux/private_network.h"

namespace virtfs {
namespace {

constexpr uint32_t kGuest = 1;
constexpr int kFirstPort = 5640;

}  // namespace

std::unique_ptr<LinuxHost> LinuxHost::Start(const LinuxGuest::Options& options, std::string directory) {
  static const absl::Status network = EnterPrivateNetwork();
  if (!network.ok()) {
    ADD_FAILURE() << network.message();
    return nullptr;
  }
  std::unique_ptr<LinuxHost> host(new LinuxHost);
  if (directory.empty()) {
    const char* place = getenv("TEST_TMPDIR");
    directory = std::string(place != nullptr ? place : "/tmp") + "/linux-XXXXXX";
    if (mkdtemp(directory.data()) == nullptr) directory.clear();
  } else if (mkdir(directory.c_str(), 0755) != 0) {
    directory.clear();
  }
  if (directory.empty() || mkdir((directory + "/guest").c_str(), 0700) != 0) {
    ADD_FAILURE() << "cannot make a directory for the guest: " << strerror(errno);
    return nullptr;
  }
  host->directory_ = directory;
  chmod(directory.c_str(), 0755);
  host->xen_ = SimulatedXen::Start();
  if (host->xen_ == nullptr || !host->xen_->AddDomain(kGuest)) return nullptr;
  host->keeper_ = host->xen_->Spawn({Program("backend/xen-virtfsd"), "--domid", std::to_string(kGuest)});
  host->guest_ = LinuxGuest::Boot(*host->xen_, directory + "/guest", options);
  if (host->guest_ == nullptr) return nullptr;
  return host;
}

LinuxHost::~LinuxHost() {
  guest_.reset();
  relays_.clear();
  keeper_.reset();
  xen_.reset();
  std::error_code error;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
}

bool LinuxHost::Share(const std::string& tag, const std::string& directory, const std::string& options) {
  mkdir(directory.c_str(), 0755);
  const auto attach = xen_->Spawn({Program("toolstack/virtfs-attach"), "--domid", std::to_string(kGuest),
                                   "tag=" + tag + ",path=" + directory + "," + options});
  if (attach->Wait() != 0) {
    ADD_FAILURE() << "cannot attach " << tag << ": " << attach->Output();
    return false;
  }
  const std::string port = std::to_string(kFirstPort + static_cast<int>(relays_.size()));
  relays_.push_back(xen_->Spawn(
      {Program("frontend/virtfs-relay"), tag, "--listen", std::string("tcp:") + kHostAddress + ":" + port}, kGuest));
  if (!relays_.back()->WaitForOutput("msize at most")) return false;
  std::ofstream(directory_ + "/guest/port." + tag) << port << "\n";
  return true;
}

std::string LinuxHost::RunHere(const std::string& script, std::chrono::milliseconds bound) {
  const auto shell = xen_->Spawn({"/bin/bash", "-c", ". \"$0\"\n" + script, Program("tests/linux/guest/functions.sh")});
  shell->Wait(bound);
  return shell->Output();
}

}  // namespace virtfs
