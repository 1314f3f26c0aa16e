// libxenevtchn.so.1 of the simulation: the C interface of xenevtchn.h.
//
// The descriptor is a FIFO of port numbers, 4 bytes each: it can be polled, and is blocking or not as its owner likes.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "xensim/handles.h"
#include "xensim/ports.h"

extern "C" {
#include <xenevtchn.h>
}

using namespace xensim;

struct xenevtchn_handle {
  std::shared_ptr<World> world;
  Handle* record = nullptr;
  virtfs::UniqueFd fd;

  bool Enter(Call call) { return world->Enter(record->domid, call); }
};

extern "C" {

xenevtchn_handle* xenevtchn_open(xentoollog_logger*, unsigned flags) {
  auto handle = std::make_unique<xenevtchn_handle>();
  handle->world = World::Open();
  if (handle->world == nullptr) return nullptr;
  const uint32_t domid = World::CallerDomain();
  if (!handle->world->Enter(domid, Call::kEvtchnOpen)) return nullptr;
  const bool cloexec = (flags & XENEVTCHN_NO_CLOEXEC) == 0;
  handle->record = OpenHandle(*handle->world, HandleKind::kEvtchn, domid, cloexec, &handle->fd);
  return handle->record != nullptr ? handle.release() : nullptr;
}

xenevtchn_handle* xenevtchn_fdopen(xentoollog_logger*, int fd, unsigned open_flags) {
  struct stat status;
  if (open_flags != 0) {
    errno = EINVAL;
    return nullptr;
  }
  if (fstat(fd, &status) != 0) return nullptr;
  auto handle = std::make_unique<xenevtchn_handle>();
  handle->world = World::Open();
  if (handle->world == nullptr) return nullptr;
  handle->record = FindEvtchnHandle(*handle->world, status.st_ino);
  if (handle->record == nullptr) {
    errno = EINVAL;
    return nullptr;
  }
  handle->record->pid = getpid();
  handle->fd.reset(fd);
  return handle.release();
}

int xenevtchn_close(xenevtchn_handle* xce) {
  if (xce == nullptr) return 0;
  CloseHandle(*xce->world, *xce->record, std::move(xce->fd));
  delete xce;
  return 0;
}

int xenevtchn_fd(xenevtchn_handle* xce) { return xce->fd.get(); }

int xenevtchn_notify(xenevtchn_handle* xce, evtchn_port_t port) {
  return xce->Enter(Call::kNotify) ? Notify(*xce->world, *xce->record, port) : -1;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle* xce, uint32_t domid) {
  return xce->Enter(Call::kBindUnbound) ? BindUnbound(*xce->world, xce->record, xce->record->domid, domid) : -1;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle* xce, uint32_t domid, evtchn_port_t remote_port) {
  return xce->Enter(Call::kBindInterdomain) ? BindInterdomain(*xce->world, *xce->record, domid, remote_port) : -1;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle* xce, unsigned virq) {
  return xce->Enter(Call::kBindVirq) ? BindVirq(*xce->world, *xce->record, virq) : -1;
}

int xenevtchn_unbind(xenevtchn_handle* xce, evtchn_port_t port) {
  return xce->Enter(Call::kUnbind) ? Unbind(*xce->world, *xce->record, port) : -1;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle* xce) {
  if (!xce->Enter(Call::kPending)) return -1;
  evtchn_port_t port = 0;
  const ssize_t size = read(xce->fd.get(), &port, sizeof(port));
  if (size == sizeof(port)) return static_cast<xenevtchn_port_or_error_t>(port);
  if (size >= 0) errno = EIO;
  return -1;
}

int xenevtchn_unmask(xenevtchn_handle* xce, evtchn_port_t port) {
  if (!xce->Enter(Call::kUnmask)) return -1;
  Unmask(*xce->world, *xce->record, port);
  return 0;
}

int xenevtchn_restrict(xenevtchn_handle* xce, domid_t domid) {
  if (!xce->Enter(Call::kRestrict)) return -1;
  if (xce->record->restricted_to != kUnrestricted) {
    errno = EACCES;
    return -1;
  }
  if (domid == 0 || domid >= DOMID_FIRST_RESERVED) {
    errno = EINVAL;
    return -1;
  }
  xce->record->restricted_to = domid;
  return 0;
}

}  // extern "C"
