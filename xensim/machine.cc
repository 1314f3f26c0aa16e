#include "xensim/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "xensim/domains.h"
#include "xensim/handles.h"
#include "xensim/ports.h"
#include "xensim/process.h"
#include "xensim/store_bridge.h"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgot it
#include <xenstore.h>
}

namespace xensim {
namespace {

using std::chrono::steady_clock;

constexpr auto kStartBound = std::chrono::seconds(10);
constexpr auto kStopBound = std::chrono::seconds(10);

absl::Status Failed(const std::string& what) { return absl::InternalError(absl::StrCat(what, ": ", strerror(errno))); }

bool Accepts(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  virtfs::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t size;
  while ((size = read(fd, buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<size_t>(size));
  return text;
}

std::string ReadFile(const std::string& path) {
  virtfs::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd.ok() ? ReadAll(fd.get()) : "";
}

bool WriteFile(const std::string& path, const std::string& text, size_t size) {
  virtfs::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  return fd.ok() && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
         ftruncate(fd.get(), static_cast<off_t>(size)) == 0;
}

// Kills the processes and waits until they are gone, children or not.
absl::Status Kill(const std::set<int>& pids) {
  std::vector<virtfs::UniqueFd> watched;
  for (const int pid : pids) {
    virtfs::UniqueFd fd(pidfd_open(pid, 0));
    if (fd.ok() && pidfd_send_signal(fd.get(), SIGKILL, nullptr, 0) == 0) watched.push_back(std::move(fd));
  }
  for (const virtfs::UniqueFd& fd : watched) {
    pollfd polled = {fd.get(), POLLIN, 0};
    const int bound = static_cast<int>(std::chrono::milliseconds(kStopBound).count());
    if (poll(&polled, 1, bound) != 1) return absl::DeadlineExceededError("a killed process does not end");
    waitid(P_PIDFD, static_cast<id_t>(fd.get()), nullptr, WEXITED | WNOHANG);  // only a child needs it
  }
  return absl::OkStatus();
}

// Whether process `pid` has a descriptor of this machine's file `name`.
bool HasOpen(int pid, World& world, const std::string& name) {
  struct stat wanted;
  if (fstatat(world.dir_fd(), name.c_str(), &wanted, 0) != 0) return false;
  const std::string path = absl::StrCat("/proc/", pid, "/fd");
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return false;
  bool found = false;
  while (const dirent* entry = readdir(dir)) {
    struct stat status;
    found |= stat(absl::StrCat(path, "/", entry->d_name).c_str(), &status) == 0 && status.st_dev == wanted.st_dev &&
             status.st_ino == wanted.st_ino;
  }
  closedir(dir);
  return found;
}

// The nodes of a new domain, as libxl makes them: the domain reads most and writes a few.
bool MakeNodes(xs_handle* store, uint32_t domid) {
  const std::string base = absl::StrCat("/local/domain/", domid);
  const std::string number = std::to_string(domid);
  const std::string name = absl::StrCat("domain-", domid);
  xs_permissions readable[] = {{0, XS_PERM_NONE}, {domid, XS_PERM_READ}};
  xs_permissions writable[] = {{domid, XS_PERM_NONE}};
  const auto make = [&](const std::string& path, const std::string& value, xs_permissions* who, unsigned count) {
    return xs_write(store, XBT_NULL, path.c_str(), value.data(), static_cast<unsigned>(value.size())) &&
           xs_set_permissions(store, XBT_NULL, path.c_str(), who, count);
  };
  bool ok = make(base, "", readable, 2) && make(base + "/domid", number, readable, 2) &&
            make(base + "/name", name, readable, 2) && make(base + "/device", "", readable, 2) &&
            make(base + "/control", "", readable, 2) && make(base + "/control/shutdown", "", writable, 1);
  for (const char* node : {"/data", "/drivers", "/feature", "/attr", "/error"}) {
    ok = ok && make(base + node, "", writable, 1);
  }
  return ok;
}

xs_handle* OpenStore(const std::string& machine) {
  setenv("XENSTORED_PATH", StorePath(machine, 0).c_str(), 1);
  return xs_open(0);
}

std::string Introduce(const std::string& machine, uint32_t domid, std::unique_ptr<StoreBridge>* bridge) {
  std::shared_ptr<World> world = World::Open(machine);
  if (world == nullptr) return absl::StrCat("no simulated machine in ", machine);
  if (!CreateDomain(*world, domid)) {
    if (errno == EEXIST) return "it exists";
    if (errno == EBUSY) return "its predecessor is not gone yet: other domains still map its pages";
    return strerror(errno);
  }
  *bridge = StoreBridge::Create(domid, StorePath(machine, domid));
  if (*bridge == nullptr) return absl::StrCat("cannot make its socket or event channel: ", strerror(errno));
  xs_handle* store = OpenStore(machine);
  if (store == nullptr) return absl::StrCat("xenstored does not answer: ", strerror(errno));
  std::string error;
  if (!MakeNodes(store, domid) || !xs_introduce_domain(store, domid, 0, (*bridge)->port())) {
    error = absl::StrCat("xenstored refuses it: ", strerror(errno));
  }
  xs_close(store);
  return error;
}

}  // namespace

absl::Status Installation::Find(const std::string& directory, Installation* found) {
  const char* cache = getenv("XEN_VIRTFS_CACHE");
  std::string root = cache != nullptr ? cache : "";
  if (root.empty()) {
    // Bazel's tests have no HOME.
    const passwd* user = getpwuid(getuid());
    root = absl::StrCat(user != nullptr ? user->pw_dir : "/root", "/.cache/xen-virtfs");
  }
  found->directory = directory;
  found->xenstored = root + "/debs-root/usr/lib/xen-4.17/bin/xenstored";
  if (access((root + "/debs-root/.have/xen-utils-4.17").c_str(), F_OK) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("The real xenstored is not in ", root, ": run tools/fetch_debs.sh (./dev does)."));
  }
  if (access((directory + "/lib/libxengnttab.so.1").c_str(), F_OK) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("No simulated libraries in ", directory, "/lib: build //xensim:xensim."));
  }
  return absl::OkStatus();
}

std::string StorePath(const std::string& machine, uint32_t domid) {
  return domid == 0 ? machine + "/xenstored/socket" : absl::StrCat(machine, "/dom", domid, ".xenstore");
}

std::vector<std::string> DomainEnvironment(const Installation& installation, const std::string& machine,
                                           uint32_t domid) {
  return {
      "LD_LIBRARY_PATH=" + installation.directory + "/lib",
      "XENSIM_DIR=" + machine,
      absl::StrCat("XENSIM_DOMID=", domid),
      "XENSTORED_PATH=" + StorePath(machine, domid),
      "XENSTORED_RUNDIR=" + machine + "/xenstored",
  };
}

absl::Status StartMachine(const Installation& installation, const std::string& machine, bool die_with_parent) {
  if (StorePath(machine, 0).size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(machine + " is too long a path for unix sockets");
  }
  if (!World::Create(machine)) return Failed("cannot make a simulated machine in " + machine);
  std::shared_ptr<World> world = World::Open(machine);
  if (world == nullptr) return Failed("cannot open " + machine);
  const std::string rundir = machine + "/xenstored";
  const int port = BindUnbound(*world, nullptr, 0, 0);
  if (port < 0 || mkdir(rundir.c_str(), 0777) != 0 ||
      !WriteFile(machine + "/xsd_port", std::to_string(port), std::to_string(port).size()) ||
      !WriteFile(machine + "/xsd_kva", "", kPageSize)) {
    return Failed("cannot write into " + machine);
  }
  const std::string log = rundir + "/log";
  virtfs::UniqueFd output(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  LaunchOptions options;
  options.argv = {installation.xenstored, "--no-fork", "--internal-db", "--pid-file", rundir + "/pid"};
  options.environment = DomainEnvironment(installation, machine, 0);
  options.environment.push_back("LD_PRELOAD=" + installation.directory + "/lib/xenstored_preload.so");
  options.output = output.get();
  options.die_with_parent = die_with_parent;
  options.new_session = !die_with_parent;
  const pid_t pid = Launch(options);
  if (pid < 0) return Failed("cannot start xenstored");
  const auto bound = steady_clock::now() + kStartBound;
  while (!Accepts(StorePath(machine, 0))) {
    if (waitpid(pid, nullptr, WNOHANG) == pid) {
      return absl::InternalError("xenstored ended at its start:\n" + ReadFile(log));
    }
    if (steady_clock::now() > bound) return absl::DeadlineExceededError("xenstored does not answer; see " + log);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  xs_handle* store = OpenStore(machine);
  const bool made = store != nullptr && xs_write(store, XBT_NULL, "/local/domain/0/domid", "0", 1) &&
                    xs_write(store, XBT_NULL, "/local/domain/0/name", "Domain-0", 8);
  if (store != nullptr) xs_close(store);
  return made ? absl::OkStatus() : Failed("cannot write domain 0's nodes");
}

absl::Status StartDomain(const Installation& installation, const std::string& machine, uint32_t domid,
                         bool die_with_parent) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Failed("cannot make a pipe");
  virtfs::UniqueFd ready(ends[0]);
  virtfs::UniqueFd theirs(ends[1]);
  LaunchOptions options;
  options.argv = {installation.directory + "/xensim-ctl", "serve-domain", std::to_string(domid),
                  std::to_string(theirs.get())};
  options.environment = DomainEnvironment(installation, machine, domid);
  options.keep = theirs.get();
  options.die_with_parent = die_with_parent;
  options.new_session = !die_with_parent;
  if (Launch(options) < 0) return Failed("cannot start xensim-ctl");
  theirs.reset();
  const std::string answer = ReadAll(ready.get());
  if (answer == "ready") return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("cannot make domain ", domid, ": ", answer.empty() ? "its process ended" : answer));
}

int RunDomain(const std::string& machine, uint32_t domid, int ready_fd) {
  virtfs::UniqueFd ready(ready_fd);
  std::unique_ptr<StoreBridge> bridge;
  // xenstored binds the event channel and answers on its own; nothing waits for Run() here.
  const std::string error = Introduce(machine, domid, &bridge);
  const std::string line = error.empty() ? "ready" : error;
  if (write(ready.get(), line.data(), line.size()) < 0) return 1;
  ready.reset();
  if (!error.empty()) return 1;
  bridge->Run();
  return 1;
}

std::vector<Holder> Holders(World& world) {
  std::vector<Holder> holders;
  Reap(world);
  for (const Handle& handle : world.state().handles) {
    const uint32_t id = handle.id;
    if (id == 0) continue;
    const std::string file = handle.kind == HandleKind::kEvtchn ? FifoName(id) : "memory";
    if (!HasOpen(handle.pid, world, file)) continue;
    holders.push_back({handle.pid, handle.domid, std::string(handle.command, strnlen(handle.command, 16))});
  }
  return holders;
}

absl::Status StopDomain(const std::string& machine, uint32_t domid) {
  std::shared_ptr<World> world = World::Open(machine);
  if (world == nullptr) return Failed("no simulated machine in " + machine);
  std::set<int> pids;
  for (const Holder& holder : Holders(*world)) {
    if (holder.domid == domid && holder.pid != getpid()) pids.insert(holder.pid);
  }
  if (absl::Status killed = Kill(pids); !killed.ok()) return killed;
  if (!DestroyDomain(*world, domid)) return Failed(absl::StrCat("cannot destroy domain ", domid));
  unlink(StorePath(machine, domid).c_str());
  xs_handle* store = OpenStore(machine);
  if (store == nullptr) return Failed("xenstored does not answer");
  xs_rm(store, XBT_NULL, absl::StrCat("/local/domain/", domid).c_str());
  xs_close(store);
  return absl::OkStatus();
}

absl::Status StopMachine(const std::string& machine) {
  std::shared_ptr<World> world = World::Open(machine);
  if (world == nullptr) return Failed("no simulated machine in " + machine);
  std::set<int> pids;
  for (const Holder& holder : Holders(*world)) {
    if (holder.pid != getpid()) pids.insert(holder.pid);
  }
  absl::Status killed = Kill(pids);
  std::error_code error;
  std::filesystem::remove_all(machine, error);
  if (error) return absl::InternalError("cannot remove " + machine + ": " + error.message());
  return killed;
}

}  // namespace xensim
