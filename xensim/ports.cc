#include "xensim/ports.h"

#include <cerrno>

#include "xensim/handles.h"

namespace xensim {
namespace {

Port& PortOf(World& world, uint32_t domid, uint32_t port) { return world.state().ports[domid][port]; }

Binding BindingOf(const Port& port) { return Binding::Unpack(port.binding.load(std::memory_order_acquire)); }

bool Owns(World& world, const Handle& handle, uint32_t port) {
  return port > 0 && port < kMaxPorts &&
         PortOf(world, handle.domid, port).owner.load(std::memory_order_acquire) == handle.id &&
         BindingOf(PortOf(world, handle.domid, port)).state != PortState::kFree;
}

void Raise(World& world, uint32_t domid, uint32_t number) {
  Port& port = PortOf(world, domid, number);
  // As a hypercall is, this must be a full barrier before the flags are looked at: what the sender published before
  // (its ring's index) is then seen by whoever unmasks. With a plain load both can miss each other, and a hang was
  // seen.
  uint32_t flags = port.flags.fetch_or(0, std::memory_order_seq_cst);
  for (;;) {
    if ((flags & kPortMasked) == 0) {
      if (port.flags.compare_exchange_weak(flags, kPortMasked)) break;
    } else {
      if ((flags & kPortPending) != 0) return;
      if (port.flags.compare_exchange_weak(flags, flags | kPortPending)) return;
    }
  }
  world.Deliver(port.owner.load(std::memory_order_acquire), number);
}

// A free port of `domid`, not yet bound; 0 if there is none.
uint32_t FreePort(World& world, uint32_t domid) {
  uint32_t& cursor = world.state().domains[domid].port_cursor;
  for (uint32_t i = 0; i < kMaxPorts - 1; ++i) {
    cursor = cursor % (kMaxPorts - 1) + 1;
    const Port& port = PortOf(world, domid, cursor);
    if (BindingOf(port).state == PortState::kFree && port.pins == 0) return cursor;
  }
  return 0;
}

// As FreePort, and once more when what died has been reaped; -1 with errno. The port gets its owner.
int AllocatePort(World& world, Handle* handle, uint32_t domid) {
  if (world.state().domains[domid].state != DomainState::kAlive) {
    errno = ENODEV;
    return -1;
  }
  uint32_t number = FreePort(world, domid);
  if (number == 0) {
    ReapLocked(world);
    number = FreePort(world, domid);
  }
  if (number == 0) {
    errno = ENOSPC;
    return -1;
  }
  Port& port = PortOf(world, domid, number);
  port.flags = 0;
  port.owner = handle != nullptr ? handle->id.load() : 0;
  return static_cast<int>(number);
}

void ClosePort(World& world, uint32_t domid, uint32_t number) {
  Port& port = PortOf(world, domid, number);
  port.owner = 0;
  if (port.pins > 0) return;
  const Binding binding = BindingOf(port);
  if (binding.state == PortState::kInterdomain) {
    // As in Xen, the peer falls back to where it can be bound again by the same domain.
    Port& peer = PortOf(world, binding.domid, binding.port);
    const Binding back = BindingOf(peer);
    if (back.state == PortState::kInterdomain && back.domid == domid && back.port == number) {
      peer.binding = Binding{PortState::kUnbound, domid, 0}.Pack();
    }
  }
  port.binding = Binding{}.Pack();
}

}  // namespace

int BindUnbound(World& world, Handle* handle, uint32_t domid, uint32_t remote) {
  if (handle != nullptr && handle->restricted_to != kUnrestricted) {
    errno = EACCES;
    return -1;
  }
  if (remote >= kMaxDomains) {
    errno = ESRCH;
    return -1;
  }
  Locked locked(world);
  const int port = AllocatePort(world, handle, domid);
  if (port > 0) PortOf(world, domid, port).binding = Binding{PortState::kUnbound, remote, 0}.Pack();
  return port;
}

int BindInterdomain(World& world, Handle& handle, uint32_t remote, uint32_t remote_port) {
  if (handle.restricted_to != kUnrestricted && handle.restricted_to != remote) {
    errno = EACCES;
    return -1;
  }
  Locked locked(world);
  if (remote >= kMaxDomains || world.state().domains[remote].state != DomainState::kAlive) {
    errno = ESRCH;
    return -1;
  }
  errno = EINVAL;
  if (remote_port == 0 || remote_port >= kMaxPorts) return -1;
  Port& peer = PortOf(world, remote, remote_port);
  const auto offered = [&] {
    const Binding offer = BindingOf(peer);
    const Handle* owner = FindHandle(world, peer.owner);
    return offer.state == PortState::kUnbound && offer.domid == handle.domid &&
           (peer.owner == 0 || (owner != nullptr && Alive(world, *owner)));
  };
  // Bound still, maybe, to what a process that died has left.
  if (!offered()) ReapLocked(world);
  if (!offered()) return -1;
  const int port = AllocatePort(world, &handle, handle.domid);
  if (port < 0) return -1;
  PortOf(world, handle.domid, port).binding = Binding{PortState::kInterdomain, remote, remote_port}.Pack();
  peer.binding = Binding{PortState::kInterdomain, handle.domid, static_cast<uint32_t>(port)}.Pack();
  // An event may have been sent while there was nobody to get it.
  Raise(world, handle.domid, port);
  return port;
}

int BindVirq(World& world, Handle& handle, uint32_t virq) {
  if (handle.restricted_to != kUnrestricted) {
    errno = EACCES;
    return -1;
  }
  Locked locked(world);
  ReapLocked(world);
  for (const Port& port : world.state().ports[handle.domid]) {
    const Binding binding = BindingOf(port);
    if (binding.state == PortState::kVirq && binding.port == virq) {
      errno = EEXIST;
      return -1;
    }
  }
  const int port = AllocatePort(world, &handle, handle.domid);
  if (port > 0) PortOf(world, handle.domid, port).binding = Binding{PortState::kVirq, 0, virq}.Pack();
  return port;
}

int Unbind(World& world, Handle& handle, uint32_t port) {
  if (port >= kMaxPorts) {
    errno = EINVAL;
    return -1;
  }
  Locked locked(world);
  if (!Owns(world, handle, port)) {
    errno = ENOTCONN;
    return -1;
  }
  ClosePort(world, handle.domid, port);
  return 0;
}

int Notify(World& world, const Handle& handle, uint32_t port) {
  if (!Owns(world, handle, port)) {
    errno = ENOTCONN;
    return -1;
  }
  NotifyPeer(world, handle.domid, port);
  return 0;
}

void Unmask(World& world, const Handle& handle, uint32_t port) {
  if (!Owns(world, handle, port)) return;
  const uint32_t flags = PortOf(world, handle.domid, port).flags.exchange(0);
  if ((flags & kPortPending) != 0) Raise(world, handle.domid, port);
}

void NotifyPeer(World& world, uint32_t domid, uint32_t port) {
  const Binding binding = BindingOf(PortOf(world, domid, port));
  if (binding.state == PortState::kInterdomain) Raise(world, binding.domid, binding.port);
}

void RaiseVirq(World& world, uint32_t virq) {
  for (uint32_t number = 1; number < kMaxPorts; ++number) {
    const Binding binding = BindingOf(PortOf(world, 0, number));
    if (binding.state == PortState::kVirq && binding.port == virq) Raise(world, 0, number);
  }
}

bool PinPort(World& world, uint32_t domid, uint32_t port) {
  if (port == 0 || port >= kMaxPorts || BindingOf(PortOf(world, domid, port)).state == PortState::kFree) {
    errno = EINVAL;
    return false;
  }
  ++PortOf(world, domid, port).pins;
  return true;
}

void UnpinPort(World& world, uint32_t domid, uint32_t number) {
  Port& port = PortOf(world, domid, number);
  if (port.pins > 0) --port.pins;
  if (port.pins == 0 && port.owner == 0) ClosePort(world, domid, number);
}

void ClosePorts(World& world, const Handle& handle) {
  for (uint32_t port = 1; port < kMaxPorts; ++port) {
    if (Owns(world, handle, port)) ClosePort(world, handle.domid, port);
  }
}

void ClosePortsOfDomain(World& world, uint32_t domid) {
  for (uint32_t port = 1; port < kMaxPorts; ++port) {
    PortOf(world, domid, port).pins = 0;
    if (BindingOf(PortOf(world, domid, port)).state != PortState::kFree) ClosePort(world, domid, port);
  }
}

void RecountPins(World& world) {
  State& state = world.state();
  for (auto& ports : state.ports) {
    for (Port& port : ports) port.pins = 0;
  }
  for (const Use& use : state.uses) {
    const Handle* handle = FindHandle(world, use.handle_id);
    if (handle != nullptr && use.notify.sends_event != 0) ++PortOf(world, handle->domid, use.notify.port).pins;
  }
  for (uint32_t domid = 0; domid < kMaxDomains; ++domid) {
    for (const Grant& grant : state.grants[domid]) {
      const GrantState held = GrantWord::Unpack(grant.word).state;
      const bool live = held == GrantState::kGranted || held == GrantState::kRevoked;
      if (live && grant.notify.sends_event != 0) ++PortOf(world, domid, grant.notify.port).pins;
    }
  }
}

}  // namespace xensim
