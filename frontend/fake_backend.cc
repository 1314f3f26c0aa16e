#include "frontend/fake_backend.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

extern "C" {
#include <xenevtchn.h>
#include <xengnttab.h>
}

namespace virtfs::frontend {
namespace {

constexpr size_t kPage = XEN_VIRTFS_PAGE_SIZE;

// What Xen would know: the pages by their grefs, and the event channel's two ends.
struct World {
  std::mutex mutex;
  std::map<uint32_t, uint8_t*> pages;
  uint32_t next_gref = 8;
  uint32_t limit = 0;
  UniqueFd to_guest{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  UniqueFd to_backend{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

World& TheWorld() {
  static World world;
  return world;
}

uint8_t* PageOf(uint32_t gref) {
  World& world = TheWorld();
  const std::lock_guard lock(world.mutex);
  const auto page = world.pages.find(gref);
  return page == world.pages.end() ? nullptr : page->second;
}

void Signal(const UniqueFd& fd) { eventfd_write(fd.get(), 1); }

std::atomic_ref<uint32_t> Word(uint8_t* ring, size_t offset) {
  return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(ring + offset));
}

uint8_t* Slot(uint8_t* ring, uint32_t index) {
  return ring + XEN_VIRTFS_RING_HEAD_SIZE + size_t{index % XEN_VIRTFS_SLOTS_PER_PAGE} * XEN_VIRTFS_SLOT_SIZE;
}

std::span<uint8_t> BytesOf(const xen_virtfsif_request& slot) {
  uint8_t* page = PageOf(slot.gref);
  assert(page != nullptr && slot.offset + slot.size <= kPage);
  return {page + slot.offset, slot.size != 0 ? slot.size : kPage - slot.offset};
}

}  // namespace

void FakeBackend::LimitGrants(uint32_t pages) {
  const std::lock_guard lock(TheWorld().mutex);
  TheWorld().limit = pages;
}

uint32_t FakeBackend::granted() {
  const std::lock_guard lock(TheWorld().mutex);
  return static_cast<uint32_t>(TheWorld().pages.size());
}

uint8_t* FakeBackend::Page(uint32_t ref) { return PageOf(ref); }

FakeBackend::FakeBackend(uint32_t ring_ref, Handler handler)
    : ring_(PageOf(ring_ref)),
      handler_(std::move(handler)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      thread_(&FakeBackend::Run, this) {}

FakeBackend::~FakeBackend() {
  stopping_ = true;
  Signal(stop_);
  thread_.join();
}

void FakeBackend::Run() {
  while (!stopping_) {
    Chain chain;
    std::unique_lock lock(mutex_);
    while (TakeChain(chain)) {
      lock.unlock();
      const Answer answer = handler_(chain);
      lock.lock();
      if (answer.hold) {
        held_.push_back(std::move(chain));
        held_count_ = held_.size();
      } else {
        Push(chain, answer);
      }
    }
    Word(ring_, 4).store(req_cons_ + 1);
    const bool more = Word(ring_, 0).load() != req_cons_;
    lock.unlock();
    if (more) continue;
    pollfd fds[2] = {{TheWorld().to_backend.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    poll(fds, 2, -1);
    eventfd_t count;
    eventfd_read(TheWorld().to_backend.get(), &count);
  }
}

bool FakeBackend::TakeChain(Chain& chain) {
  chain = Chain();
  if (Word(ring_, 0).load(std::memory_order_acquire) == req_cons_) return false;
  xen_virtfsif_request slot;
  do {
    std::memcpy(&slot, Slot(ring_, req_cons_++), sizeof(slot));
    chain.slots.push_back(slot);
    const std::span<uint8_t> bytes = BytesOf(slot);
    if ((slot.flags & XEN_VIRTFSF_WRITE) != 0) {
      chain.capacity += bytes.size();
    } else {
      chain.request.insert(chain.request.end(), bytes.begin(), bytes.end());
    }
  } while ((slot.flags & XEN_VIRTFSF_MORE) != 0);
  return true;
}

void FakeBackend::Push(const Chain& chain, const Answer& answer) {
  std::span<const uint8_t> reply = answer.reply;
  for (const xen_virtfsif_request& slot : chain.slots) {
    if ((slot.flags & XEN_VIRTFSF_WRITE) != 0) {
      const std::span<uint8_t> bytes = BytesOf(slot);
      const size_t size = std::min(bytes.size(), reply.size());
      if (size > 0) std::memcpy(bytes.data(), reply.data(), size);
      reply = reply.subspan(size);
    }
    const xen_virtfsif_response response = {static_cast<uint16_t>(slot.id + answer.wrong_id), answer.status};
    std::memcpy(Slot(ring_, rsp_prod_++), &response, sizeof(response));
  }
  const uint32_t before = rsp_prod_ - static_cast<uint32_t>(chain.slots.size());
  Word(ring_, 8).store(rsp_prod_);
  if (rsp_prod_ - Word(ring_, 12).load() < rsp_prod_ - before) Notify();
}

void FakeBackend::Release() {
  const std::lock_guard lock(mutex_);
  for (auto chain = held_.rbegin(); chain != held_.rend(); ++chain) {
    const std::vector<uint8_t>& request = chain->request;
    Push(*chain, {.reply = {7, 0, 0, 0, static_cast<uint8_t>(request[4] + 1), request[5], request[6]}});
  }
  held_.clear();
  held_count_ = 0;
}

void FakeBackend::ClaimResponses(uint32_t count) {
  const std::lock_guard lock(mutex_);
  Word(ring_, 8).store(rsp_prod_ + count);
  Notify();
}

void FakeBackend::Notify() { Signal(TheWorld().to_guest); }

}  // namespace virtfs::frontend

// The frontend's part of Xen's libraries.
using virtfs::frontend::TheWorld;
using virtfs::frontend::World;

extern "C" {

xengntshr_handle* xengntshr_open(xentoollog_logger*, unsigned) {
  return reinterpret_cast<xengntshr_handle*>(&TheWorld());
}

int xengntshr_close(xengntshr_handle*) { return 0; }

void* xengntshr_share_pages(xengntshr_handle*, uint32_t, int count, uint32_t* refs, int) {
  World& world = TheWorld();
  const std::lock_guard lock(world.mutex);
  if (world.limit != 0 && world.pages.size() + static_cast<size_t>(count) > world.limit) {
    errno = ENOSPC;
    return nullptr;
  }
  const size_t size = static_cast<size_t>(count) * XEN_VIRTFS_PAGE_SIZE;
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(XEN_VIRTFS_PAGE_SIZE, size));
  for (int i = 0; i < count; ++i) {
    refs[i] = world.next_gref++;
    world.pages[refs[i]] = memory + static_cast<size_t>(i) * XEN_VIRTFS_PAGE_SIZE;
  }
  return memory;
}

int xengntshr_unshare(xengntshr_handle*, void* start, uint32_t count) {
  World& world = TheWorld();
  const std::lock_guard lock(world.mutex);
  auto* memory = static_cast<uint8_t*>(start);
  std::erase_if(world.pages, [&](const auto& page) {
    return page.second >= memory && page.second < memory + size_t{count} * XEN_VIRTFS_PAGE_SIZE;
  });
  std::free(memory);
  return 0;
}

xenevtchn_handle* xenevtchn_open(xentoollog_logger*, unsigned) {
  return reinterpret_cast<xenevtchn_handle*>(&TheWorld());
}

int xenevtchn_close(xenevtchn_handle*) { return 0; }

int xenevtchn_fd(xenevtchn_handle*) { return TheWorld().to_guest.get(); }

int xenevtchn_notify(xenevtchn_handle*, evtchn_port_t) {
  eventfd_write(TheWorld().to_backend.get(), 1);
  return 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle*, uint32_t) { return 9; }

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle*) {
  eventfd_t count;
  return eventfd_read(TheWorld().to_guest.get(), &count) == 0 ? 9 : -1;
}

int xenevtchn_unmask(xenevtchn_handle*, evtchn_port_t) { return 0; }
}
