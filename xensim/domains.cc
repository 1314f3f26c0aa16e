#include "xensim/domains.h"

#include <xen/xen.h>

#include <cerrno>

#include "xensim/grants.h"
#include "xensim/handles.h"
#include "xensim/ports.h"

namespace xensim {

bool CreateDomain(World& world, uint32_t domid) {
  if (domid == 0 || domid >= kMaxDomains) {
    errno = EINVAL;
    return false;
  }
  Locked locked(world);
  ReapLocked(world);
  Domain& domain = world.state().domains[domid];
  if (domain.state != DomainState::kAbsent) {
    errno = domain.state == DomainState::kAlive ? EEXIST : EBUSY;
    return false;
  }
  domain.page_limit = kDefaultPageLimit;
  GrantReserved(world, domid, kXenstoreRef);
  domain.state = DomainState::kAlive;
  return true;
}

bool DestroyDomain(World& world, uint32_t domid) {
  if (domid == 0 || domid >= kMaxDomains) {
    errno = EINVAL;
    return false;
  }
  Locked locked(world);
  ReapLocked(world);
  Domain& domain = world.state().domains[domid];
  if (domain.state != DomainState::kAlive) {
    errno = ESRCH;
    return false;
  }
  domain.state = DomainState::kDying;
  ReleaseGrantsOfDomain(world, domid);
  ClosePortsOfDomain(world, domid);
  RaiseVirq(world, VIRQ_DOM_EXC);
  FinishDestroy(world, domid);
  return true;
}

void FinishDestroy(World& world, uint32_t domid) {
  Domain& domain = world.state().domains[domid];
  if (domain.state != DomainState::kDying || IsMapped(world, domid)) return;
  domain.state = DomainState::kAbsent;
  RaiseVirq(world, VIRQ_DOM_EXC);
}

}  // namespace xensim
