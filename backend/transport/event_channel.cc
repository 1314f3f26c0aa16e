#include "backend/transport/event_channel.h"

#include <poll.h>

#include <cerrno>

#include "backend/transport/xen_libraries.h"

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
  const xenevtchn_port_or_error_t port = xenevtchn_bind_interdomain(handle_, domid_, remote_port);
  if (port >= 0) ports_.push_back(static_cast<uint32_t>(port));
  return port >= 0;
}

void EventChannel::Unbind() {
  std::lock_guard lock(mutex_);
  for (const uint32_t port : ports_) xenevtchn_unbind(handle_, port);
  ports_.clear();
}

int EventChannel::fd() const { return xenevtchn_fd(handle_); }

// xenevtchn_pending waits if there is nothing, whatever the descriptor's flags say.
bool EventChannel::Readable() const {
  pollfd ready{.fd = xenevtchn_fd(handle_), .events = POLLIN, .revents = 0};
  return poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0;
}

bool EventChannel::Consume() {
  std::lock_guard lock(mutex_);
  // A port that was taken off once is allowed again and may come back at once, so there is no end but this.
  const size_t most = 2 * ports_.size();
  for (size_t taken = 0; taken < most; ++taken) {
    if (!Readable()) return false;
    const xenevtchn_port_or_error_t port = xenevtchn_pending(handle_);
    if (port >= 0) xenevtchn_unmask(handle_, static_cast<evtchn_port_t>(port));
    // Linux wakes its readers when the first event comes to none, so with one port the next one will.
    if (ports_.size() == 1) return false;
  }
  return most > 0 && Readable();
}

void EventChannel::Notify(size_t index) {
  std::lock_guard lock(mutex_);
  if (index < ports_.size()) xenevtchn_notify(handle_, ports_[index]);
}

}  // namespace virtfs::backend
