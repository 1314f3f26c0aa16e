// Grants: pages that a domain shares, and their use by another.
//
// Errors: false with the errno that Linux's gntalloc and gntdev give. Threads: any; "locked" means that the caller
// holds State::lock. These change the tables only; mapping memory into the process is up to gnttab.cc.
#pragma once

#include <span>
#include <vector>

#include "xensim/world.h"

extern "C" {
#include <xengnttab.h>
}

namespace xensim {

// Page `ref` of domain `domid`.
struct PageName {
  uint32_t domid;
  uint32_t ref;
};

// Takes refs.size() free pages of the handle's domain, zeroes and grants them. They are not contiguous, as in a real
// guest. ENOSPC beyond the domain's limit.
bool ShareNewPages(World& world, const Handle& handle, uint32_t to, bool readonly, const UnmapNotify& notify,
                   std::span<uint32_t> refs);

// The pages go back, those that are mapped elsewhere only later.
void Unshare(World& world, const Handle& handle, std::span<const uint32_t> refs);

// Enters the mappings of the pages by the handle; all or none. `uses` gets indices into State::uses.
bool Map(World& world, const Handle& handle, std::span<const PageName> pages, bool writable, const UnmapNotify& notify,
         std::vector<uint32_t>* uses);
void Unmap(World& world, std::span<const uint32_t> uses);

// Does one segment. Returns false with EINVAL if it is malformed; else sets its status.
bool Copy(World& world, const Handle& handle, xengnttab_grant_copy_segment_t& segment);

// From now on the grant cannot be mapped or copied from; what is mapped stays so. False if it is not granted.
bool Revoke(World& world, uint32_t domid, uint32_t ref);

// Whether any domain maps pages of `domid`. Locked.
bool IsMapped(World& world, uint32_t domid);

// Grants page `ref` to domain 0 in the name of the domain itself. Locked.
void GrantReserved(World& world, uint32_t domid, uint32_t ref);

// Locked.
void ReleaseUses(World& world, const Handle& handle);
void ReleaseGrants(World& world, const Handle& handle);
void ReleaseGrantsOfDomain(World& world, uint32_t domid);
void RecountMaps(World& world);

}  // namespace xensim
