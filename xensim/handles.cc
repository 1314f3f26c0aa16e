#include "xensim/handles.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "xensim/grants.h"
#include "xensim/ports.h"

namespace xensim {
namespace {

struct flock LockOfByte(uint64_t byte) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_len = 1;
  return lock;
}

uint64_t LockByte(World& world, const Handle& handle) {
  if (handle.kind == HandleKind::kEvtchn) return 0;
  return kMemoryBytes + static_cast<uint64_t>(&handle - world.state().handles);
}

virtfs::UniqueFd OpenFifo(World& world, uint32_t id, int flags) {
  return virtfs::UniqueFd(openat(world.dir_fd(), FifoName(id).c_str(), O_RDWR | flags));
}

virtfs::UniqueFd MakeFile(World& world, HandleKind kind, uint32_t id, int flags) {
  if (kind != HandleKind::kEvtchn) {
    return virtfs::UniqueFd(openat(world.dir_fd(), "memory", O_RDWR | flags));
  }
  if (mkfifoat(world.dir_fd(), FifoName(id).c_str(), 0666) != 0) return virtfs::UniqueFd();
  virtfs::UniqueFd fd = OpenFifo(world, id, flags);
  if (fd.ok()) fchmod(fd.get(), 0666);
  return fd;
}

void Release(World& world, Handle& handle) {
  switch (handle.kind) {
    case HandleKind::kGnttab:
      ReleaseUses(world, handle);
      break;
    case HandleKind::kGntshr:
      ReleaseGrants(world, handle);
      break;
    case HandleKind::kEvtchn:
      ClosePorts(world, handle);
      unlinkat(world.dir_fd(), FifoName(handle.id).c_str(), 0);
      break;
  }
  handle.id = 0;
}

Handle* FreeRecord(State& state) {
  for (Handle& handle : state.handles) {
    if (handle.id == 0) return &handle;
  }
  return nullptr;
}

}  // namespace

std::string FifoName(uint32_t handle_id) { return "event." + std::to_string(handle_id); }

Handle* OpenHandle(World& world, HandleKind kind, uint32_t domid, bool cloexec, virtfs::UniqueFd* fd) {
  State& state = world.state();
  Locked locked(world);
  if (state.domains[domid].state != DomainState::kAlive) {
    errno = ENODEV;
    return nullptr;
  }
  Handle* handle = FreeRecord(state);
  if (handle == nullptr) {
    ReapLocked(world);
    handle = FreeRecord(state);
  }
  if (handle == nullptr) {
    errno = ENFILE;
    return nullptr;
  }
  const uint32_t id = ++state.handles_opened * kMaxHandles + static_cast<uint32_t>(handle - state.handles);
  handle->kind = kind;
  virtfs::UniqueFd file = MakeFile(world, kind, id, cloexec ? O_CLOEXEC : 0);
  if (!file.ok()) return nullptr;
  struct flock lock = LockOfByte(LockByte(world, *handle));
  struct stat status;
  if (fcntl(file.get(), F_OFD_SETLK, &lock) != 0 || fstat(file.get(), &status) != 0) return nullptr;
  handle->domid = domid;
  handle->pid = getpid();
  handle->restricted_to = kUnrestricted;
  handle->closed = 0;
  handle->fifo_inode = status.st_ino;
  prctl(PR_GET_NAME, handle->command);
  handle->id = id;
  *fd = std::move(file);
  return handle;
}

void CloseHandle(World& world, Handle& handle, virtfs::UniqueFd fd) {
  // A forked child closes its copy only; so do the kernel's drivers, whose release comes with the last descriptor.
  if (handle.pid != getpid()) return;
  Locked locked(world);
  fd.reset();
  handle.closed = 1;
  if (!Alive(world, handle)) Release(world, handle);
}

Handle* FindHandle(World& world, uint32_t id) {
  Handle& handle = world.state().handles[id % kMaxHandles];
  return id != 0 && handle.id.load(std::memory_order_acquire) == id ? &handle : nullptr;
}

Handle* FindEvtchnHandle(World& world, uint64_t fifo_inode) {
  for (Handle& handle : world.state().handles) {
    if (handle.id != 0 && handle.kind == HandleKind::kEvtchn && handle.fifo_inode == fifo_inode) return &handle;
  }
  return nullptr;
}

bool Alive(World& world, const Handle& handle) {
  const int saved = errno;
  virtfs::UniqueFd fifo;
  int fd = world.memory_fd();
  if (handle.kind == HandleKind::kEvtchn) {
    fifo = OpenFifo(world, handle.id, O_NONBLOCK | O_CLOEXEC);
    fd = fifo.get();
    if (fd < 0 && errno == ENOENT) return false;
  }
  struct flock lock = LockOfByte(LockByte(world, handle));
  // What cannot be asked (a sandbox may forbid it) counts as alive.
  const bool alive = fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
  errno = saved;
  return alive;
}

void ReapLocked(World& world) {
  for (const bool evtchn : {false, true}) {
    for (Handle& handle : world.state().handles) {
      if (handle.id == 0 || (handle.kind == HandleKind::kEvtchn) != evtchn) continue;
      if (!Alive(world, handle)) Release(world, handle);
    }
  }
}

void Reap(World& world) {
  Locked locked(world);
  ReapLocked(world);
}

void RepairAfterCrash(World& world) {
  RecountMaps(world);
  RecountPins(world);
}

}  // namespace xensim
