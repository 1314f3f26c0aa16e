#include "xensim/world.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <mutex>

#include "xensim/handles.h"

namespace xensim {
namespace {

// Whoever tests run as, a sandboxed peer with another uid must be able to use the files.
constexpr mode_t kFileMode = 0666;

virtfs::UniqueFd CreateFile(int dir, const char* name, uint64_t size) {
  virtfs::UniqueFd fd(openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
  if (fd.ok() && (fchmod(fd.get(), kFileMode) != 0 || ftruncate(fd.get(), static_cast<off_t>(size)) != 0)) fd.reset();
  return fd;
}

void* MapFile(int fd, uint64_t size) {
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  return at == MAP_FAILED ? nullptr : at;
}

bool InitializeLock(pthread_mutex_t* lock) {
  pthread_mutexattr_t attributes;
  if ((errno = pthread_mutexattr_init(&attributes)) != 0) return false;
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  errno = pthread_mutex_init(lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return errno == 0;
}

}  // namespace

bool World::Create(const std::string& directory) {
  if (mkdir(directory.c_str(), 0777) != 0 && errno != EEXIST) return false;
  virtfs::UniqueFd dir(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.ok() || fchmod(dir.get(), 0777) != 0) return false;
  virtfs::UniqueFd memory = CreateFile(dir.get(), "memory", kMemoryBytes);
  virtfs::UniqueFd file = CreateFile(dir.get(), "state.new", sizeof(State));
  if (!memory.ok() || !file.ok()) return false;
  auto* state = static_cast<State*>(MapFile(file.get(), sizeof(State)));
  if (state == nullptr) return false;
  // All other fields are right as zeros, which is what a fresh file holds.
  for (Domain& domain : state->domains) domain.page_limit = kDefaultPageLimit;
  state->domains[0].state = DomainState::kAlive;
  const bool ok = InitializeLock(&state->lock);
  munmap(state, sizeof(State));
  // Renamed when whole, so that nobody opens it before.
  return ok && renameat(dir.get(), "state.new", dir.get(), "state") == 0;
}

std::string World::DefaultDirectory() {
  const char* directory = getenv("XENSIM_DIR");
  return directory != nullptr ? directory : "/dev/shm/xensim";
}

uint32_t World::CallerDomain() {
  const char* domid = getenv("XENSIM_DOMID");
  const unsigned long value = domid != nullptr ? strtoul(domid, nullptr, 10) : 0;
  return value < kMaxDomains ? static_cast<uint32_t>(value) : 0;
}

std::shared_ptr<World> World::Open() { return Open(DefaultDirectory()); }

std::shared_ptr<World> World::Open(const std::string& directory) {
  static std::mutex lock;
  static auto* worlds = new std::map<std::pair<std::string, ino_t>, std::weak_ptr<World>>;

  virtfs::UniqueFd dir(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir.ok()) return nullptr;
  virtfs::UniqueFd file(openat(dir.get(), "state", O_RDWR | O_CLOEXEC));
  struct stat status;
  if (!file.ok() || fstat(file.get(), &status) != 0) return nullptr;
  if (static_cast<uint64_t>(status.st_size) != sizeof(State)) {
    errno = EPROTO;  // made by another version of the simulation
    return nullptr;
  }
  std::lock_guard<std::mutex> guard(lock);
  std::weak_ptr<World>& known = (*worlds)[{directory, status.st_ino}];
  if (std::shared_ptr<World> world = known.lock()) return world;

  std::shared_ptr<World> world(new World);
  world->dir_ = std::move(dir);
  world->memory_.reset(openat(world->dir_fd(), "memory", O_RDWR | O_CLOEXEC));
  if (!world->memory_.ok()) return nullptr;
  world->state_ = static_cast<State*>(MapFile(file.get(), sizeof(State)));
  world->pages_ = static_cast<char*>(MapFile(world->memory_fd(), kMemoryBytes));
  if (world->state_ == nullptr || world->pages_ == nullptr) return nullptr;
  known = world;
  return world;
}

World::~World() {
  if (state_ != nullptr) munmap(state_, sizeof(State));
  if (pages_ != nullptr) munmap(pages_, kMemoryBytes);
}

bool World::Enter(uint32_t domid, Call call) {
  state_->domains[domid].counters[static_cast<uint32_t>(call)].calls.fetch_add(1, std::memory_order_relaxed);
  return !Faulted(domid, call);
}

bool World::Faulted(uint32_t domid, Call call) {
  if (state_->armed_faults.load(std::memory_order_relaxed) == 0) return false;
  for (Fault& fault : state_->faults) {
    if (fault.active.load(std::memory_order_acquire) == 0 || fault.call != call) continue;
    if (fault.domid != kAnyDomain && fault.domid != domid) continue;
    if (fault.after.fetch_sub(1) > 0) continue;
    const int64_t left = fault.count.fetch_sub(1);
    if (left == 1 && fault.active.exchange(0) != 0) state_->armed_faults.fetch_sub(1);
    if (left <= 0) continue;
    errno = fault.error;
    return true;
  }
  return false;
}

void World::Deliver(uint32_t handle_id, uint32_t port) {
  if (handle_id == 0) return;
  // A queue never fills: a port is in it at most once until it is unmasked. O_RDWR, so that a write to a dead handle's
  // FIFO is no SIGPIPE.
  const auto put = [port](int fd) { return write(fd, &port, sizeof(port)) == sizeof(port); };
  {
    std::shared_lock<std::shared_mutex> guard(queues_lock_);
    for (const Queue& queue : queues_) {
      if (queue.handle_id == handle_id) {
        put(queue.fd.get());
        return;
      }
    }
  }
  const int saved = errno;
  virtfs::UniqueFd fd(openat(dir_fd(), FifoName(handle_id).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (fd.ok()) {
    put(fd.get());
    std::lock_guard<std::shared_mutex> guard(queues_lock_);
    std::erase_if(queues_, [this](const Queue& queue) { return FindHandle(*this, queue.handle_id) == nullptr; });
    queues_.push_back({handle_id, std::move(fd)});
  }
  errno = saved;
}

Locked::Locked(World& world) : world_(world) {
  if (pthread_mutex_lock(&world.state().lock) == EOWNERDEAD) {
    RepairAfterCrash(world);
    pthread_mutex_consistent(&world.state().lock);
  }
}

}  // namespace xensim
