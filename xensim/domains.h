// Domains: making and destroying them.
#pragma once

#include "xensim/world.h"

namespace xensim {

// False with EEXIST if it exists, EBUSY if it was destroyed but others still map its pages, EINVAL if out of bounds.
bool CreateDomain(World& world, uint32_t domid);

// What Xen does when a domain dies: its grants can be used no more (what is mapped stays), its ports close, and domain
// 0 gets VIRQ_DOM_EXC, once now and once when the last of its pages is unmapped. False with ESRCH if there is none. Its
// processes are to be killed first; here they are nobody's.
bool DestroyDomain(World& world, uint32_t domid);

// Ends a dying domain when nothing of it is mapped any more. Locked.
void FinishDestroy(World& world, uint32_t domid);

}  // namespace xensim
