// libxengnttab.so.1 of the simulation: the C interface of xengnttab.h, both sides of it.
//
// As with the kernel's drivers, a mapping outlives xengnttab_close, is not inherited by a forked child, and is unmapped
// only as a whole. dma-bufs are not simulated (ENOSYS).
#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <map>
#include <mutex>

#include "xensim/grants.h"
#include "xensim/handles.h"

using namespace xensim;

struct xengntdev_handle {
  std::shared_ptr<World> world;
  Handle* record = nullptr;
  virtfs::UniqueFd fd;
  std::mutex lock;
  uint32_t max_grants = kMaxUses;
  uint32_t pages = 0;
  std::map<void*, std::vector<uint32_t>> mappings;  // by address: indices of uses, or refs (gntshr)
};

namespace {

xengntdev_handle* Open(HandleKind kind, unsigned) {
  auto handle = std::make_unique<xengntdev_handle>();
  handle->world = World::Open();
  if (handle->world == nullptr) return nullptr;
  const uint32_t domid = World::CallerDomain();
  if (!handle->world->Enter(domid, kind == HandleKind::kGnttab ? Call::kGnttabOpen : Call::kGntshrOpen)) return nullptr;
  handle->record = OpenHandle(*handle->world, kind, domid, /*cloexec=*/true, &handle->fd);
  return handle->record != nullptr ? handle.release() : nullptr;
}

int Close(xengntdev_handle* handle) {
  if (handle == nullptr) return 0;
  CloseHandle(*handle->world, *handle->record, std::move(handle->fd));
  delete handle;
  return 0;
}

// Maps the pages side by side. Null with errno.
void* MapPages(xengntdev_handle& handle, std::span<const PageName> pages, int prot) {
  char* const start = static_cast<char*>(
      mmap(nullptr, pages.size() * kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (start == MAP_FAILED) return nullptr;
  char* at = start;
  for (const PageName& page : pages) {
    const auto offset = static_cast<off_t>(World::PageOffset(page.domid, page.ref));
    if (mmap(at, kPageSize, prot, MAP_SHARED | MAP_FIXED, handle.fd.get(), offset) == MAP_FAILED) {
      const int saved = errno;
      munmap(start, pages.size() * kPageSize);
      errno = saved;
      return nullptr;
    }
    at += kPageSize;
  }
  madvise(start, pages.size() * kPageSize, MADV_DONTFORK);
  return start;
}

UnmapNotify MakeNotify(uint32_t offset, evtchn_port_t port) {
  UnmapNotify notify = {};
  if (offset != UINT32_MAX) notify = {.clears_byte = 1, .offset = offset, .sends_event = 0, .port = 0};
  if (port != UINT32_MAX) {
    notify.sends_event = 1;
    notify.port = port;
  }
  return notify;
}

void* MapGrants(xengntdev_handle& handle, std::span<const PageName> pages, int prot, const UnmapNotify& notify) {
  World& world = *handle.world;
  const uint32_t domid = handle.record->domid;
  if (!world.Enter(domid, Call::kMap)) return nullptr;
  if (pages.empty()) {
    errno = EINVAL;
    return nullptr;
  }
  std::lock_guard<std::mutex> guard(handle.lock);
  if (pages.size() > handle.max_grants - handle.pages) {
    errno = ENOMEM;
    return nullptr;
  }
  std::vector<uint32_t> uses;
  if (!Map(world, *handle.record, pages, (prot & PROT_WRITE) != 0, notify, &uses)) return nullptr;
  void* at = MapPages(handle, pages, prot);
  if (at == nullptr) {
    const int saved = errno;
    Unmap(world, uses);
    errno = saved;
    return nullptr;
  }
  handle.pages += static_cast<uint32_t>(pages.size());
  handle.mappings[at] = std::move(uses);
  world.Count(domid, Call::kMap, pages.size());
  return at;
}

// Takes the mapping out of the handle and out of memory, and ends it by `end`.
int Undo(xengntdev_handle& handle, Call call, void* start, uint32_t count,
         void (*end)(xengntdev_handle&, std::span<const uint32_t>)) {
  World& world = *handle.world;
  if (!world.Enter(handle.record->domid, call)) return -1;
  std::lock_guard<std::mutex> guard(handle.lock);
  const auto found = handle.mappings.find(start);
  if (found == handle.mappings.end() || found->second.size() != count) {
    errno = EINVAL;
    return -1;
  }
  munmap(start, count * kPageSize);
  end(handle, found->second);
  handle.pages -= count;
  handle.mappings.erase(found);
  world.Count(handle.record->domid, call, count);
  return 0;
}

void* SharePages(xengntdev_handle& handle, uint32_t to, std::span<uint32_t> refs, bool writable,
                 const UnmapNotify& notify) {
  World& world = *handle.world;
  const uint32_t domid = handle.record->domid;
  if (!world.Enter(domid, Call::kShare)) return nullptr;
  if (refs.empty() || to >= kMaxDomains) {
    errno = EINVAL;
    return nullptr;
  }
  std::lock_guard<std::mutex> guard(handle.lock);
  if (!ShareNewPages(world, *handle.record, to, !writable, notify, refs)) return nullptr;
  std::vector<PageName> pages;
  for (const uint32_t ref : refs) pages.push_back({domid, ref});
  void* at = MapPages(handle, pages, PROT_READ | PROT_WRITE);
  if (at == nullptr) {
    const int saved = errno;
    Unshare(world, *handle.record, refs);
    errno = saved;
    return nullptr;
  }
  handle.mappings[at].assign(refs.begin(), refs.end());
  handle.pages += static_cast<uint32_t>(refs.size());
  world.Count(domid, Call::kShare, refs.size());
  return at;
}

int NotSimulated() {
  errno = ENOSYS;
  return -1;
}

}  // namespace

extern "C" {

xengnttab_handle* xengnttab_open(xentoollog_logger*, unsigned flags) { return Open(HandleKind::kGnttab, flags); }

int xengnttab_close(xengnttab_handle* xgt) { return Close(xgt); }

int xengnttab_fd(xengnttab_handle* xgt) { return xgt->fd.get(); }

int xengnttab_set_max_grants(xengnttab_handle* xgt, uint32_t count) {
  std::lock_guard<std::mutex> guard(xgt->lock);
  if (count < xgt->pages) {
    errno = EBUSY;
    return -1;
  }
  xgt->max_grants = count;
  return 0;
}

void* xengnttab_map_grant_ref(xengnttab_handle* xgt, uint32_t domid, uint32_t ref, int prot) {
  const PageName page = {domid, ref};
  return MapGrants(*xgt, {&page, 1}, prot, {});
}

void* xengnttab_map_grant_ref_notify(xengnttab_handle* xgt, uint32_t domid, uint32_t ref, int prot,
                                     uint32_t notify_offset, evtchn_port_t notify_port) {
  const PageName page = {domid, ref};
  return MapGrants(*xgt, {&page, 1}, prot, MakeNotify(notify_offset, notify_port));
}

void* xengnttab_map_grant_refs(xengnttab_handle* xgt, uint32_t count, uint32_t* domids, uint32_t* refs, int prot) {
  std::vector<PageName> pages;
  for (uint32_t i = 0; i < count; ++i) pages.push_back({domids[i], refs[i]});
  return MapGrants(*xgt, pages, prot, {});
}

void* xengnttab_map_domain_grant_refs(xengnttab_handle* xgt, uint32_t count, uint32_t domid, uint32_t* refs, int prot) {
  std::vector<PageName> pages;
  for (uint32_t i = 0; i < count; ++i) pages.push_back({domid, refs[i]});
  return MapGrants(*xgt, pages, prot, {});
}

int xengnttab_unmap(xengnttab_handle* xgt, void* start_address, uint32_t count) {
  return Undo(*xgt, Call::kUnmap, start_address, count,
              [](xengntdev_handle& handle, std::span<const uint32_t> uses) { Unmap(*handle.world, uses); });
}

int xengnttab_grant_copy(xengnttab_handle* xgt, uint32_t count, xengnttab_grant_copy_segment_t* segs) {
  World& world = *xgt->world;
  const uint32_t domid = xgt->record->domid;
  if (!world.Enter(domid, Call::kCopy)) return -1;
  for (uint32_t i = 0; i < count; ++i) {
    if (!Copy(world, *xgt->record, segs[i])) return -1;
  }
  world.Count(domid, Call::kCopy, count);
  return 0;
}

int xengnttab_dmabuf_exp_from_refs(xengnttab_handle*, uint32_t, uint32_t, uint32_t, const uint32_t*, uint32_t*) {
  return NotSimulated();
}

int xengnttab_dmabuf_exp_wait_released(xengnttab_handle*, uint32_t, uint32_t) { return NotSimulated(); }

int xengnttab_dmabuf_imp_to_refs(xengnttab_handle*, uint32_t, uint32_t, uint32_t, uint32_t*) { return NotSimulated(); }

int xengnttab_dmabuf_imp_release(xengnttab_handle*, uint32_t) { return NotSimulated(); }

xengntshr_handle* xengntshr_open(xentoollog_logger*, unsigned flags) { return Open(HandleKind::kGntshr, flags); }

int xengntshr_close(xengntshr_handle* xgs) { return Close(xgs); }

int xengntshr_fd(xengntshr_handle* xgs) { return xgs->fd.get(); }

void* xengntshr_share_pages(xengntshr_handle* xgs, uint32_t domid, int count, uint32_t* refs, int writable) {
  return SharePages(*xgs, domid, {refs, count > 0 ? static_cast<size_t>(count) : 0}, writable != 0, {});
}

void* xengntshr_share_page_notify(xengntshr_handle* xgs, uint32_t domid, uint32_t* ref, int writable,
                                  uint32_t notify_offset, evtchn_port_t notify_port) {
  return SharePages(*xgs, domid, {ref, 1}, writable != 0, MakeNotify(notify_offset, notify_port));
}

int xengntshr_unshare(xengntshr_handle* xgs, void* start_address, uint32_t count) {
  return Undo(*xgs, Call::kUnshare, start_address, count, [](xengntdev_handle& handle, std::span<const uint32_t> refs) {
    Unshare(*handle.world, *handle.record, refs);
  });
}

}  // extern "C"
