#include "tests/linux/linux_guest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/linux/private_network.h"

namespace virtfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr uint16_t kControlPort = 6000;
constexpr seconds kBootBound{60};  // 2 s on an idle machine
constexpr seconds kGrace{20};      // after a command's bound, for the guest to say so

// Where tools/fetch_debs.sh unpacks packages; a test has no HOME.
std::string PackagesRoot() {
  const char* cache = getenv("XEN_VIRTFS_CACHE");
  if (cache != nullptr && *cache != '\0') return std::string(cache) + "/debs-root";
  const passwd* user = getpwuid(getuid());
  return std::string(user != nullptr ? user->pw_dir : "/root") + "/.cache/xen-virtfs/debs-root";
}

// One for the guest's kernel and the processes that it traces. They run by turns: on two, each turn wakes the other
// processor, which in a virtual machine made a guest five times as slow. Which one it is depends on the test's process,
// so that guests of several tests are spread.
std::string OneProcessor() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  int skip = getpid() % CPU_COUNT(&allowed), processor = 0;
  while (!CPU_ISSET(processor, &allowed) || skip-- > 0) ++processor;
  return std::to_string(processor);
}

std::string ReadAll(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string LastLines(const std::string& text, int count) {
  size_t start = text.size();
  while (start > 0 && count >= 0) {
    if (text[--start] == '\n') --count;
  }
  return start == 0 ? text : text.substr(start + 1);
}

UniqueFd Listen() {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(kControlPort);
  inet_pton(AF_INET, kHostAddress, &address.sin_addr);
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener.get(), 1) != 0) {
    ADD_FAILURE() << "cannot listen on " << kHostAddress << ": " << strerror(errno);
    listener.reset();
  }
  return listener;
}

}  // namespace

std::string RealPath(const std::string& program) { return fs::canonical(Program(program)); }

std::unique_ptr<LinuxGuest> LinuxGuest::Boot(SimulatedXen& xen, const std::string& directory, const Options& options) {
  std::unique_ptr<LinuxGuest> guest(new LinuxGuest(directory));
  if (!guest->Start(xen, options)) return nullptr;
  return guest;
}

LinuxGuest::~LinuxGuest() {
  control_.reset();
  if (process_ != nullptr) process_->Kill();
}

bool LinuxGuest::Start(SimulatedXen& xen, const Options& options) {
  const std::string packages = PackagesRoot();
  const std::string kernel = packages + "/usr/bin/linux.uml";
  if (access(kernel.c_str(), X_OK) != 0) {
    ADD_FAILURE() << "there is no " << kernel << ": run this by ./dev test, which fetches it";
    return false;
  }
  const std::string disk = directory_ + "/disk";
  const std::string memory = directory_ + "/memory";
  const UniqueFd listener = Listen();
  if (!listener.ok()) return false;
  if (mkdir(memory.c_str(), 0700) != 0) {
    ADD_FAILURE() << "cannot make " << memory << ": " << strerror(errno);
    return false;
  }
  // The kernel is process 2 of a process namespace: with process 1 go all that it traces, however it ends. Its console
  // is a pipe because it waits for a file to become writable, for which there is no event.
  const std::string launch = "mount -t tmpfs -o size=" + options.memory + ",nr_inodes=64 none '" + memory +
                             "' && truncate -s " + options.disk + " '" + disk + "' && exec taskset --cpu-list " +
                             OneProcessor() +
                             " unshare --pid --fork --kill-child -- sh -c '\"$@\" 2>&1 | cat' kernel \"$@\"";
  process_ = xen.Spawn({"/bin/sh",
                        "-c",
                        launch,
                        "guest",
                        kernel,
                        "mem=" + options.memory,
                        "rootfstype=hostfs",
                        "root=/dev/root",
                        "ro",
                        "rootflags=/",
                        "init=" + RealPath("tests/linux/guest/init.sh"),
                        "con=null",
                        "con0=null,fd:1",
                        "quiet",
                        "loglevel=4",
                        "ubd0=" + disk,
                        std::string("vec0:transport=tap,ifname=") + kTapDevice + ",depth=128,gro=1",
                        "VIRTFS_PACKAGES=" + packages,
                        "VIRTFS_WORK=" + directory_,
                        "VIRTFS_SCRIPTS=" + fs::path(RealPath("tests/linux/guest/init.sh")).parent_path().string(),
                        "VIRTFS_CONTROL=" + std::string(kHostAddress) + "/" + std::to_string(kControlPort)},
                       0,
                       {"LD_PRELOAD=" + RealPath("tests/linux/lib/libxstate_shim.so"), "TMPDIR=" + memory,
                        "HOME=" + memory, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"});
  const auto end = steady_clock::now() + kBootBound;
  while (!control_.ok() && steady_clock::now() < end && process_->Running()) {
    pollfd polled = {listener.get(), POLLIN, 0};
    if (poll(&polled, 1, 100) == 1) control_.reset(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  std::string line;
  if (control_.ok() && ReadLine(kBootBound, &line) && line == "ready") return true;
  ADD_FAILURE() << "user-mode Linux did not boot; the end of its console:\n" << LastLines(process_->Output(), 30);
  return false;
}

bool LinuxGuest::ReadLine(milliseconds bound, std::string* line) {
  const auto end = steady_clock::now() + bound;
  for (;;) {
    const size_t newline = received_.find('\n');
    if (newline != std::string::npos) {
      *line = received_.substr(0, newline);
      received_.erase(0, newline + 1);
      return true;
    }
    if (steady_clock::now() >= end || !process_->Running()) return false;
    // Its end does not close the connection, for the tap device stays: hence the steps.
    pollfd polled = {control_.get(), POLLIN, 0};
    if (poll(&polled, 1, 200) != 1) continue;
    char buffer[256];
    const ssize_t size = read(control_.get(), buffer, sizeof(buffer));
    if (size <= 0) return false;
    received_.append(buffer, static_cast<size_t>(size));
  }
}

LinuxGuest::Outcome LinuxGuest::Gone(const std::string& why) {
  const std::string console = process_ != nullptr ? LastLines(process_->Output(), 40) : "";
  if (process_ != nullptr) process_->Kill();
  return {-1, "", why + "; the end of its console:\n" + console};
}

LinuxGuest::Outcome LinuxGuest::Run(const std::string& script, seconds bound) {
  if (!Running()) return Gone("the guest has ended");
  // A number is used once: the guest remembers which names it has not found.
  const std::string number = std::to_string(++commands_);
  const std::string base = directory_ + "/" + number;
  std::ofstream(base + ".sh") << ". /virtfs/guest/functions.sh\n" << script << "\n";
  const std::string command = number + " " + std::to_string(bound.count()) + "\n";
  if (write(control_.get(), command.data(), command.size()) != static_cast<ssize_t>(command.size())) {
    return Gone("the guest takes no command");
  }
  std::string line;
  if (!ReadLine(bound + kGrace, &line)) {
    return Gone(Running() ? "the guest did not answer within " + std::to_string((bound + kGrace).count()) + " s"
                          : "the guest ended");
  }
  std::istringstream answer(line);
  std::string answered;
  Outcome outcome;
  answer >> answered >> outcome.status;
  if (answered != number) return Gone("the guest answered '" + line + "' to command " + number);
  outcome.output = ReadAll(base + ".out");
  outcome.errors = ReadAll(base + ".err");
  for (const char* suffix : {".sh", ".out", ".err"}) fs::remove(base + suffix);
  return outcome;
}

}  // namespace virtfs
