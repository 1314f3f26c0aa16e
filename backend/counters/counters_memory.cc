#include "backend/counters/counters_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

namespace virtfs::backend {
namespace {

// Nothing is constructed in it: zeros are Counters, and only what is written to takes memory.
Result<Counters*> Map(int fd, int protection) {
  void* const memory = mmap(nullptr, sizeof(Counters), protection, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return Errno::Last();
  return static_cast<Counters*>(memory);
}

}  // namespace

Result<CountersView> CountersView::Make(UniqueFd& fd) {
  UniqueFd made(memfd_create("xen-virtfs-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!made.ok() || ftruncate(made.get(), sizeof(Counters)) != 0 ||
      fcntl(made.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Errno::Last();
  }
  const Result<Counters*> counters = Map(made.get(), PROT_READ);
  if (!counters.ok()) return counters.error();
  fd = std::move(made);
  return CountersView(*counters);
}

CountersView::CountersView(CountersView&& other) noexcept : counters_(std::exchange(other.counters_, nullptr)) {}

CountersView& CountersView::operator=(CountersView&& other) noexcept {
  std::swap(counters_, other.counters_);
  return *this;
}

CountersView::~CountersView() {
  if (counters_ != nullptr) munmap(const_cast<Counters*>(counters_), sizeof(Counters));
}

Result<Counters*> MapCounters(const UniqueFd& fd) { return Map(fd.get(), PROT_READ | PROT_WRITE); }

}  // namespace virtfs::backend
