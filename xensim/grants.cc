#include "xensim/grants.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "xensim/domains.h"
#include "xensim/handles.h"
#include "xensim/ports.h"

namespace xensim {
namespace {

// On Xen it is the hypervisor that copies, unseen by the program's sanitizers: what orders two copies into one page may
// lie in another process, where ThreadSanitizer does not see it.
void CopyAsHypervisor(char* to, const char* from, size_t size) {
#if defined(__x86_64__)
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
#else
  std::memcpy(to, from, size);
#endif
}

Grant& GrantOf(World& world, uint32_t domid, uint32_t ref) { return world.state().grants[domid][ref]; }

GrantWord WordOf(const Grant& grant) { return GrantWord::Unpack(grant.word.load(std::memory_order_acquire)); }

bool OwnerGone(World& world, const Grant& grant) {
  if (grant.owner == 0) return false;
  const Handle* owner = FindHandle(world, grant.owner);
  return owner == nullptr || !Alive(world, *owner);
}

// Xen's answer when `user` wants page `ref` of `domid`: a GNTST_ value.
int16_t Check(World& world, uint32_t user, uint32_t domid, uint32_t ref, bool write) {
  if (domid >= kMaxDomains || world.state().domains[domid].state != DomainState::kAlive) return GNTST_bad_domain;
  if (ref >= kPagesPerDomain) return GNTST_bad_gntref;
  const Grant& grant = GrantOf(world, domid, ref);
  const GrantWord word = WordOf(grant);
  if (word.state != GrantState::kGranted || word.to != user || OwnerGone(world, grant)) return GNTST_bad_gntref;
  if (write && word.readonly) return GNTST_general_error;
  return GNTST_okay;
}

void SendNotify(World& world, uint32_t notifier, uint32_t domid, uint32_t ref, UnmapNotify& notify) {
  if (notify.clears_byte != 0) world.Page(domid, ref)[notify.offset] = 0;
  if (notify.sends_event != 0) {
    NotifyPeer(world, notifier, notify.port);
    UnpinPort(world, notifier, notify.port);
  }
  notify = {};
}

bool Pin(World& world, uint32_t domid, const UnmapNotify& notify) {
  if (notify.clears_byte != 0 && notify.offset >= kPageSize) {
    errno = EINVAL;
    return false;
  }
  return notify.sends_event == 0 || PinPort(world, domid, notify.port);
}

void Free(Grant& grant) {
  grant.word.store(GrantWord{grant.maps > 0 ? GrantState::kRetired : GrantState::kFree, false, 0}.Pack(),
                   std::memory_order_release);
}

void GiveUp(World& world, uint32_t domid, uint32_t ref) {
  Grant& grant = GrantOf(world, domid, ref);
  SendNotify(world, domid, domid, ref, grant.notify);
  grant.owner = 0;
  Free(grant);
}

uint32_t CountShared(World& world, uint32_t domid) {
  uint32_t shared = 0;
  for (uint32_t ref = kFirstFreeRef; ref < kPagesPerDomain; ++ref) {
    if (WordOf(GrantOf(world, domid, ref)).state != GrantState::kFree) ++shared;
  }
  return shared;
}

// Downwards from where the last search ended: refs come neither ascending nor soon again.
uint32_t NextFreeRef(World& world, uint32_t domid) {
  uint32_t& cursor = world.state().domains[domid].ref_cursor;
  for (;;) {
    cursor = cursor <= kFirstFreeRef ? kPagesPerDomain - 1 : cursor - 1;
    if (WordOf(GrantOf(world, domid, cursor)).state == GrantState::kFree) return cursor;
  }
}

Use* NextFreeUse(State& state) {
  for (uint32_t i = 0; i < kMaxUses; ++i) {
    state.use_cursor = (state.use_cursor + 1) % kMaxUses;
    if (state.uses[state.use_cursor].handle_id == 0) return &state.uses[state.use_cursor];
  }
  return nullptr;
}

void ReleaseUse(World& world, Use& use) {
  const Handle* handle = FindHandle(world, use.handle_id);
  if (handle != nullptr) SendNotify(world, handle->domid, use.domid, use.ref, use.notify);
  Grant& grant = GrantOf(world, use.domid, use.ref);
  use.handle_id = 0;
  if (grant.maps > 0) --grant.maps;
  if (grant.maps == 0 && WordOf(grant).state == GrantState::kRetired) Free(grant);
  FinishDestroy(world, use.domid);
}

}  // namespace

bool ShareNewPages(World& world, const Handle& handle, uint32_t to, bool readonly, const UnmapNotify& notify,
                   std::span<uint32_t> refs) {
  const uint32_t domid = handle.domid;
  Locked locked(world);
  const Domain& domain = world.state().domains[domid];
  if (domain.state != DomainState::kAlive) {
    errno = ENODEV;
    return false;
  }
  const uint32_t limit = std::min(domain.page_limit, kPagesPerDomain - kFirstFreeRef);
  if (refs.size() > limit || CountShared(world, domid) > limit - refs.size()) ReapLocked(world);
  if (refs.size() > limit || CountShared(world, domid) > limit - refs.size()) {
    errno = ENOSPC;
    return false;
  }
  if (!Pin(world, domid, notify)) return false;
  for (uint32_t& ref : refs) {
    ref = NextFreeRef(world, domid);
    Grant& grant = GrantOf(world, domid, ref);
    std::memset(world.Page(domid, ref), 0, kPageSize);
    grant.maps = 0;
    grant.owner = handle.id;
    grant.notify = notify;
    grant.word.store(GrantWord{GrantState::kGranted, readonly, to}.Pack(), std::memory_order_release);
  }
  return true;
}

void Unshare(World& world, const Handle& handle, std::span<const uint32_t> refs) {
  Locked locked(world);
  for (const uint32_t ref : refs) {
    // Not its owner's any more if the domain was destroyed meanwhile.
    if (GrantOf(world, handle.domid, ref).owner == handle.id) GiveUp(world, handle.domid, ref);
  }
}

bool Map(World& world, const Handle& handle, std::span<const PageName> pages, bool writable, const UnmapNotify& notify,
         std::vector<uint32_t>* uses) {
  State& state = world.state();
  Locked locked(world);
  for (const PageName& page : pages) {
    if (Check(world, handle.domid, page.domid, page.ref, writable) != GNTST_okay) {
      errno = EINVAL;  // gntdev keeps Xen's reason to itself
      return false;
    }
  }
  if (!Pin(world, handle.domid, notify)) return false;
  for (const PageName& page : pages) {
    Use* use = NextFreeUse(state);
    if (use == nullptr) {
      for (const uint32_t index : *uses) ReleaseUse(world, state.uses[index]);
      errno = ENOMEM;
      return false;
    }
    use->domid = page.domid;
    use->ref = page.ref;
    use->notify = notify;
    ++GrantOf(world, page.domid, page.ref).maps;
    use->handle_id = handle.id.load();
    uses->push_back(static_cast<uint32_t>(use - state.uses));
  }
  return true;
}

void Unmap(World& world, std::span<const uint32_t> uses) {
  Locked locked(world);
  for (const uint32_t index : uses) ReleaseUse(world, world.state().uses[index]);
}

bool Copy(World& world, const Handle& handle, xengnttab_grant_copy_segment_t& segment) {
  struct Side {
    const xengnttab_grant_copy_segment::xengnttab_copy_ptr& pointer;
    bool foreign;
    bool write;
    char* at;
  };
  Side sides[2] = {{segment.source, (segment.flags & GNTCOPY_source_gref) != 0, false, nullptr},
                   {segment.dest, (segment.flags & GNTCOPY_dest_gref) != 0, true, nullptr}};
  // gntdev copies between a page and a process, or between pages.
  bool well_formed = sides[0].foreign || sides[1].foreign;
  for (const Side& side : sides) {
    if (side.foreign && side.pointer.foreign.offset + uint32_t{segment.len} > kPageSize) well_formed = false;
  }
  if (!well_formed) {
    errno = EINVAL;
    return false;
  }
  segment.status = GNTST_okay;
  if (world.Faulted(handle.domid, Call::kCopySegment)) segment.status = GNTST_general_error;
  for (Side& side : sides) {
    if (!side.foreign) {
      side.at = static_cast<char*>(side.pointer.virt);
      continue;
    }
    const auto& page = side.pointer.foreign;
    const int16_t status = Check(world, handle.domid, page.domid, page.ref, side.write);
    if (status != GNTST_okay && segment.status == GNTST_okay) segment.status = status;
    if (status == GNTST_okay) side.at = world.Page(page.domid, page.ref) + page.offset;
  }
  // Without the lock: a grant that goes meanwhile is overtaken by the copy, which real hardware allows as well.
  if (segment.status == GNTST_okay) CopyAsHypervisor(sides[1].at, sides[0].at, segment.len);
  return true;
}

bool Revoke(World& world, uint32_t domid, uint32_t ref) {
  if (domid >= kMaxDomains || ref >= kPagesPerDomain) return false;
  Locked locked(world);
  Grant& grant = GrantOf(world, domid, ref);
  GrantWord word = WordOf(grant);
  if (word.state != GrantState::kGranted) return false;
  word.state = GrantState::kRevoked;
  grant.word.store(word.Pack(), std::memory_order_release);
  return true;
}

bool IsMapped(World& world, uint32_t domid) {
  for (const Grant& grant : world.state().grants[domid]) {
    if (grant.maps > 0) return true;
  }
  return false;
}

void GrantReserved(World& world, uint32_t domid, uint32_t ref) {
  Grant& grant = GrantOf(world, domid, ref);
  std::memset(world.Page(domid, ref), 0, kPageSize);
  grant.owner = 0;
  grant.notify = {};
  grant.word.store(GrantWord{GrantState::kGranted, false, 0}.Pack(), std::memory_order_release);
}

void ReleaseUses(World& world, const Handle& handle) {
  for (Use& use : world.state().uses) {
    if (use.handle_id == handle.id) ReleaseUse(world, use);
  }
}

void ReleaseGrants(World& world, const Handle& handle) {
  for (uint32_t ref = 0; ref < kPagesPerDomain; ++ref) {
    const Grant& grant = GrantOf(world, handle.domid, ref);
    const GrantState state = WordOf(grant).state;
    if (grant.owner == handle.id && state != GrantState::kFree) GiveUp(world, handle.domid, ref);
  }
}

void ReleaseGrantsOfDomain(World& world, uint32_t domid) {
  for (uint32_t ref = 0; ref < kPagesPerDomain; ++ref) {
    Grant& grant = GrantOf(world, domid, ref);
    if (WordOf(grant).state == GrantState::kFree) continue;
    grant.notify = {};  // its kernel is dead and notifies nobody
    GiveUp(world, domid, ref);
  }
}

void RecountMaps(World& world) {
  State& state = world.state();
  for (auto& grants : state.grants) {
    for (Grant& grant : grants) grant.maps = 0;
  }
  for (const Use& use : state.uses) {
    if (use.handle_id != 0) ++GrantOf(world, use.domid, use.ref).maps;
  }
  for (auto& grants : state.grants) {
    for (Grant& grant : grants) {
      if (grant.maps == 0 && WordOf(grant).state == GrantState::kRetired) Free(grant);
    }
  }
}

}  // namespace xensim
