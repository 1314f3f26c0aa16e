#include "backend/transport_virtfs/event_channel.h"

#include <poll.h>

#include <cerrno>

#include "backend/transport_virtfs/xen_libraries.h"

namespace virtfs::backend {

EventChannel::~EventChannel() {
  if (handle_ != nullptr) xenevtchn_close(handle_);
}

bool EventChannel::Open(uint32_t domid) {
  domid_ = domid;
  handle_ = xenevtchn_open(nullptr, 0);
  return handle_ != nullptr && xenevtchn_restrict(handle_, static_cast<domid_t>(domid)) == 0;
}

bool EventChannel::Bind(uint32_t remote_port) {
  std::lock_guard lock(mutex_);
  port_ = xenevtchn_bind_interdomain(handle_, domid_, remote_port);
  return port_ >= 0;
}

void EventChannel::Unbind() {
  std::lock_guard lock(mutex_);
  if (port_ >= 0) xenevtchn_unbind(handle_, static_cast<evtchn_port_t>(port_));
  port_ = -1;
}

int EventChannel::fd() const { return xenevtchn_fd(handle_); }

void EventChannel::Consume() {
  std::lock_guard lock(mutex_);
  // xenevtchn_pending waits if there is nothing, whatever the descriptor's flags say.
  pollfd ready{.fd = xenevtchn_fd(handle_), .events = POLLIN, .revents = 0};
  if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLIN) == 0) return;
  const xenevtchn_port_or_error_t port = xenevtchn_pending(handle_);
  if (port >= 0) xenevtchn_unmask(handle_, static_cast<evtchn_port_t>(port));
}

void EventChannel::Notify() {
  std::lock_guard lock(mutex_);
  if (port_ >= 0) xenevtchn_notify(handle_, static_cast<evtchn_port_t>(port_));
}

}  // namespace virtfs::backend
