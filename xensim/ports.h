// Event channels: ports of every domain, what they are bound to, and the delivery of events.
//
// An event is delivered as by Linux's /dev/xen/evtchn: the port number goes into the queue of the handle that owns the
// port, which is masked until its owner unmasks it; an event that comes meanwhile is kept and delivered then.
// Errors: -1 with the errno that Xen and Linux give. Threads: any; "locked" means that the caller holds State::lock.
#pragma once

#include "xensim/world.h"

namespace xensim {

// A new port of the handle's domain that `remote` may bind to. With a null handle it belongs to domain `domid` itself.
int BindUnbound(World& world, Handle* handle, uint32_t domid, uint32_t remote);

// A new port bound to the unbound port `remote_port` of `remote`. It starts with an event pending.
int BindInterdomain(World& world, Handle& handle, uint32_t remote, uint32_t remote_port);

int BindVirq(World& world, Handle& handle, uint32_t virq);
int Unbind(World& world, Handle& handle, uint32_t port);
int Notify(World& world, const Handle& handle, uint32_t port);
void Unmask(World& world, const Handle& handle, uint32_t port);

// Sends an event to the peer of a port; nothing if it has none.
void NotifyPeer(World& world, uint32_t domid, uint32_t port);

// Raises a VIRQ in domain 0. Locked.
void RaiseVirq(World& world, uint32_t virq);

// The port stays open, even when its owner closes it, until it is unpinned. False, with errno, if there is no such
// port. Locked.
bool PinPort(World& world, uint32_t domid, uint32_t port);
void UnpinPort(World& world, uint32_t domid, uint32_t port);

// Locked.
void ClosePorts(World& world, const Handle& handle);
void ClosePortsOfDomain(World& world, uint32_t domid);
void RecountPins(World& world);

}  // namespace xensim
