#include "tests/simulated_xen.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "xensim/grants.h"
#include "xensim/handles.h"
#include "xensim/process.h"

extern "C" {
#include <sys/pidfd.h>
}

namespace virtfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Unix sockets want a short path, which $TEST_TMPDIR is not.
constexpr char kPlace[] = "/dev/shm";
constexpr char kPrefix[] = "xensim-test-";

int Left(steady_clock::time_point end) {
  const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

// What tests that were killed left behind.
void RemoveStale() {
  std::error_code error;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(kPlace, error)) {
    const std::string name = entry.path().filename();
    if (name.rfind(kPrefix, 0) != 0) continue;
    const int pid = atoi(name.c_str() + sizeof(kPrefix) - 1);
    if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) found.push_back(entry.path());
  }
  for (const auto& path : found) {
    if (!xensim::StopMachine(path).ok()) std::filesystem::remove_all(path, error);
  }
}

}  // namespace

std::string Program(const std::string& path) {
  const char* sources = getenv("TEST_SRCDIR");
  if (sources == nullptr) sources = getenv("RUNFILES_DIR");
  std::string root = sources != nullptr ? sources : "";
  if (root.empty()) {
    root = std::filesystem::read_symlink("/proc/self/exe").string() + ".runfiles";
  }
  return root + "/xen_virtfs/" + path;
}

Process::~Process() {
  if (!status_.has_value()) Kill();
  if (testing::Test::HasFailure()) {
    std::fprintf(stderr, "---- output of %s (domain %u):\n%s----\n", name_.c_str(), domid_, Output().c_str());
  }
}

bool Process::Reap(milliseconds bound) {
  if (status_.has_value()) return true;
  pollfd polled = {pidfd_.get(), POLLIN, 0};
  if (poll(&polled, 1, static_cast<int>(bound.count())) != 1) return false;
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) status = SIGKILL;  // somebody else reaped it
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return true;
}

int Process::Wait(milliseconds bound) {
  if (!Reap(bound)) {
    ADD_FAILURE() << name_ << " did not end within " << bound.count() << " ms";
    return -1;
  }
  return *status_;
}

bool Process::Running() { return !Reap(milliseconds(0)); }

void Process::Kill(int signal) {
  if (status_.has_value()) return;
  pidfd_send_signal(pidfd_.get(), signal, nullptr, 0);
  if (!Reap(kBound)) ADD_FAILURE() << name_ << " does not end on signal " << signal;
  if (std::shared_ptr<xensim::World> world = xensim::World::Open()) xensim::Reap(*world);
}

std::string Process::Output() const {
  UniqueFd fd(open(output_.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  ssize_t size;
  while ((size = read(fd.get(), buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<size_t>(size));
  return text;
}

bool Process::WaitForOutput(const std::string& text, milliseconds bound) {
  const auto end = steady_clock::now() + bound;
  for (;;) {
    const bool running = Running();
    if (Output().find(text) != std::string::npos) return true;
    if (!running || Left(end) == 0) break;
    std::this_thread::sleep_for(milliseconds(2));  // a file cannot be polled
  }
  ADD_FAILURE() << name_ << " did not print \"" << text << "\"";
  return false;
}

std::unique_ptr<SimulatedXen> SimulatedXen::Start() {
  static std::atomic<int> number = 0;
  RemoveStale();
  std::unique_ptr<SimulatedXen> xen(new SimulatedXen);
  xen->directory_ = std::string(kPlace) + "/" + kPrefix + std::to_string(getpid()) + "." + std::to_string(++number);
  absl::Status status = xensim::Installation::Find(Program("xensim"), &xen->installation_);
  if (status.ok()) status = xensim::StartMachine(xen->installation_, xen->directory_, /*die_with_parent=*/true);
  if (!status.ok()) {
    ADD_FAILURE() << status.message();
    return nullptr;
  }
  setenv("XENSIM_DIR", xen->directory_.c_str(), 1);
  xen->world_ = xensim::World::Open();
  xen->store_ = xen->OpenStore(0);
  if (xen->world_ == nullptr || xen->store_ == nullptr) {
    ADD_FAILURE() << "the simulated Xen in " << xen->directory_ << " does not answer: " << strerror(errno);
    return nullptr;
  }
  return xen;
}

SimulatedXen::~SimulatedXen() {
  for (const auto& weak : processes_) {
    if (std::shared_ptr<Process> process = weak.lock()) process->Kill();
  }
  store_.reset();
  const absl::Status status = xensim::StopMachine(directory_);
  if (!status.ok()) ADD_FAILURE() << status.message();
}

bool SimulatedXen::AddDomain(uint32_t domid) {
  const absl::Status status = xensim::StartDomain(installation_, directory_, domid, /*die_with_parent=*/true);
  if (!status.ok()) ADD_FAILURE() << status.message();
  return status.ok();
}

bool SimulatedXen::Destroy(uint32_t domid) {
  for (const auto& weak : processes_) {
    const std::shared_ptr<Process> process = weak.lock();
    if (process != nullptr && process->domid_ == domid) process->Kill();
  }
  const absl::Status status = xensim::StopDomain(directory_, domid);
  if (!status.ok()) ADD_FAILURE() << status.message();
  return status.ok();
}

std::vector<std::string> SimulatedXen::Environment(uint32_t domid) const {
  std::vector<std::string> environment = xensim::DomainEnvironment(installation_, directory_, domid);
  environment.push_back("XEN_VIRTFS_RUN=" + RunDirectory());
  return environment;
}

std::shared_ptr<Process> SimulatedXen::Spawn(const std::vector<std::string>& argv, uint32_t domid,
                                             const std::vector<std::string>& environment) {
  std::shared_ptr<Process> process(new Process);
  process->name_ = std::filesystem::path(argv[0]).filename();
  process->domid_ = domid;
  process->output_ = directory_ + "/output." + std::to_string(++spawned_);
  UniqueFd output(open(process->output_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  xensim::LaunchOptions options;
  options.argv = argv;
  options.environment = Environment(domid);
  options.environment.insert(options.environment.end(), environment.begin(), environment.end());
  options.output = output.get();
  options.die_with_parent = true;
  process->pid_ = xensim::Launch(options);
  process->pidfd_.reset(process->pid_ > 0 ? pidfd_open(process->pid_, 0) : -1);
  if (!process->pidfd_.ok()) {
    ADD_FAILURE() << "cannot start " << argv[0] << ": " << strerror(errno);
    process->status_ = 127;
    return process;
  }
  processes_.push_back(process);
  return process;
}

StoreHandle SimulatedXen::OpenStore(uint32_t domid) {
  setenv("XENSTORED_PATH", xensim::StorePath(directory_, domid).c_str(), 1);
  StoreHandle handle(xs_open(0));
  if (domid != 0) setenv("XENSTORED_PATH", xensim::StorePath(directory_, 0).c_str(), 1);
  if (handle == nullptr) ADD_FAILURE() << "no xenstore for domain " << domid << ": " << strerror(errno);
  return handle;
}

std::optional<std::string> SimulatedXen::Read(const std::string& path) {
  unsigned size = 0;
  char* value = static_cast<char*>(xs_read(store(), XBT_NULL, path.c_str(), &size));
  if (value == nullptr) return std::nullopt;
  std::string copy(value, size);
  free(value);
  return copy;
}

bool SimulatedXen::Write(const std::string& path, const std::string& value) {
  const bool ok = xs_write(store(), XBT_NULL, path.c_str(), value.data(), static_cast<unsigned>(value.size()));
  if (!ok) ADD_FAILURE() << "cannot write " << path << ": " << strerror(errno);
  return ok;
}

bool SimulatedXen::SetOwner(const std::string& path, uint32_t owner, std::optional<uint32_t> reader) {
  xs_permissions permissions[] = {{owner, XS_PERM_NONE}, {reader.value_or(0), XS_PERM_READ}};
  const bool ok = xs_set_permissions(store(), XBT_NULL, path.c_str(), permissions, reader.has_value() ? 2 : 1);
  if (!ok) ADD_FAILURE() << "cannot set the owner of " << path << ": " << strerror(errno);
  return ok;
}

bool SimulatedXen::Remove(const std::string& path) { return xs_rm(store(), XBT_NULL, path.c_str()); }

bool SimulatedXen::WaitUntil(const std::string& path,
                             const std::function<bool(const std::optional<std::string>&)>& accepts,
                             milliseconds bound) {
  const auto end = steady_clock::now() + bound;
  // A connection of its own: nobody else's watch events are taken away.
  const StoreHandle watcher = OpenStore(0);
  if (watcher == nullptr || !xs_watch(watcher.get(), path.c_str(), "wait")) {
    ADD_FAILURE() << "cannot watch " << path << ": " << strerror(errno);
    return false;
  }
  for (;;) {
    const std::optional<std::string> value = Read(path);
    if (accepts(value)) return true;
    pollfd polled = {xs_fileno(watcher.get()), POLLIN, 0};
    if (poll(&polled, 1, Left(end)) == 0) {
      ADD_FAILURE() << path << " is " << (value ? "\"" + *value + "\"" : "missing") << " after " << bound.count()
                    << " ms";
      return false;
    }
    while (char** event = xs_check_watch(watcher.get())) free(event);
  }
}

bool SimulatedXen::WaitForNode(const std::string& path, const std::string& value, milliseconds bound) {
  return WaitUntil(
      path, [&value](const std::optional<std::string>& now) { return now == value; }, bound);
}

bool SimulatedXen::WaitForNoNode(const std::string& path, milliseconds bound) {
  return WaitUntil(
      path, [](const std::optional<std::string>& now) { return !now.has_value(); }, bound);
}

std::vector<xensim::Holding> SimulatedXen::Holdings(uint32_t domid) {
  std::vector<xensim::Holding> holdings = xensim::HoldingsOf(*world_, domid);
  std::erase_if(holdings, [](const xensim::Holding& holding) {
    return holding.command == "xenstored" || holding.command == "xensim-ctl";
  });
  return holdings;
}

bool SimulatedXen::Fault(xensim::Call call, int error, int64_t after, int64_t count, uint32_t domid) {
  const bool ok = xensim::AddFault(*world_, call, domid, after, count, error);
  if (!ok) ADD_FAILURE() << "too many faults at a time";
  return ok;
}

bool SimulatedXen::Revoke(uint32_t domid, uint32_t ref) {
  const bool ok = xensim::Revoke(*world_, domid, ref);
  if (!ok) ADD_FAILURE() << "page " << ref << " of domain " << domid << " is not granted";
  return ok;
}

}  // namespace virtfs
