// libxenctrl.so.4.17 of the simulation: the three calls by which xenstored learns which domains exist.
extern "C" {
#include <xenctrl.h>  // first, as it chooses what Xen's other headers declare
}

#include <cstring>

#include "xensim/world.h"

using namespace xensim;

struct xc_interface_core {
  std::shared_ptr<World> world;
};

extern "C" {

xc_interface* xc_interface_open(xentoollog_logger*, xentoollog_logger*, unsigned) {
  auto interface = std::make_unique<xc_interface_core>();
  interface->world = World::Open();
  return interface->world != nullptr ? interface.release() : nullptr;
}

int xc_interface_close(xc_interface* xch) {
  delete xch;
  return 0;
}

int xc_domain_getinfo(xc_interface* xch, uint32_t first_domid, unsigned max_doms, xc_dominfo_t* info) {
  unsigned found = 0;
  for (uint32_t domid = first_domid; domid < kMaxDomains && found < max_doms; ++domid) {
    const DomainState state = xch->world->state().domains[domid].state;
    if (state == DomainState::kAbsent) continue;
    std::memset(&info[found], 0, sizeof(info[found]));
    info[found].domid = domid;
    info[found].running = state == DomainState::kAlive;
    info[found].dying = state == DomainState::kDying;
    ++found;
  }
  return static_cast<int>(found);
}

}  // extern "C"
