// Handles: who holds what in the simulated Xen, and how it is given back when its process dies.
//
// Every handle has an open file description of its own with a lock on it: a gnttab or gntshr handle one of `memory`,
// locked at the byte of its record (mappings keep it open, as they do with the kernel's drivers); an evtchn handle its
// FIFO. The kernel drops the lock with the last descriptor, whatever becomes of the process, fork and exec included. So
// a lock that can be had means that the handle is gone. There is no daemon to watch: whoever looks something up reaps.
//
// Threads: "locked" below means that the caller holds State::lock.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "xensim/world.h"

namespace xensim {

// The name of the FIFO of an evtchn handle, beneath the directory.
std::string FifoName(uint32_t handle_id);

// A new handle of the calling process for domain `domid`. Null, with errno, if there is no such domain or no room.
Handle* OpenHandle(World& world, HandleKind kind, uint32_t domid, bool cloexec, virtfs::UniqueFd* fd);

// Marks the handle closed by its process. Its record goes when its last mapping does. `fd` is closed here.
void CloseHandle(World& world, Handle& handle, virtfs::UniqueFd fd);

// The record of a handle; null if it is gone.
Handle* FindHandle(World& world, uint32_t id);
Handle* FindEvtchnHandle(World& world, uint64_t fifo_inode);

// Whether its process still has it.
bool Alive(World& world, const Handle& handle);

// Gives back all that dead handles hold: mappings first (their notifications may need a port), ports last. Locked.
void ReapLocked(World& world);
void Reap(World& world);

// Counts anew what is derived from other records, after a process died holding the lock. Locked.
void RepairAfterCrash(World& world);

}  // namespace xensim
