// World: one process's view of one simulated Xen.
//
// All that needs a path is opened here, once, so that a handle goes on working when its process has an empty root,
// another user and no /proc: the directory (O_PATH, through which event FIFOs are opened later) and the memory.
// Errors: null or -1 with errno. Threads: every method may be called by any thread.
#pragma once

#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "xensim/layout.h"

namespace xensim {

class World {
 public:
  // Makes an empty simulated Xen with domain 0 in `directory`, which need not exist.
  static bool Create(const std::string& directory);

  // The one of `directory`, by default of $XENSIM_DIR. Processes share one object for all their handles.
  static std::shared_ptr<World> Open(const std::string& directory);
  static std::shared_ptr<World> Open();

  // $XENSIM_DIR, or where it is by default; $XENSIM_DOMID, or 0.
  static std::string DefaultDirectory();
  static uint32_t CallerDomain();

  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  State& state() { return *state_; }
  int dir_fd() const { return dir_.get(); }
  int memory_fd() const { return memory_.get(); }

  // `domid` and `ref` must be within the bounds of layout.h.
  char* Page(uint32_t domid, uint32_t ref) { return pages_ + PageOffset(domid, ref); }
  static uint64_t PageOffset(uint32_t domid, uint32_t ref) {
    return (uint64_t{domid} * kPagesPerDomain + ref) * kPageSize;
  }

  // Counts a call of domain `domid`; false, with errno, if a fault was injected into it.
  bool Enter(uint32_t domid, Call call);
  void Count(uint32_t domid, Call call, uint64_t units) {
    state_->domains[domid].counters[static_cast<uint32_t>(call)].units.fetch_add(units, std::memory_order_relaxed);
  }
  bool Faulted(uint32_t domid, Call call);

  // Puts `port` into the queue of the event handle `handle_id`; nothing if that is gone.
  void Deliver(uint32_t handle_id, uint32_t port);

 private:
  World() = default;

  struct Queue {
    uint32_t handle_id;
    virtfs::UniqueFd fd;
  };

  virtfs::UniqueFd dir_;
  virtfs::UniqueFd memory_;
  State* state_ = nullptr;
  char* pages_ = nullptr;
  std::shared_mutex queues_lock_;
  std::vector<Queue> queues_;
};

// Holds State::lock. A process that dies within leaves it to the next, which first repairs what is derived.
class Locked {
 public:
  explicit Locked(World& world);
  ~Locked() { pthread_mutex_unlock(&world_.state().lock); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  World& world_;
};

}  // namespace xensim
