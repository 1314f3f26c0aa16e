#include "frontend/event_channel.h"

#include <fcntl.h>

#include "absl/strings/str_cat.h"
#include "base/errno.h"

extern "C" {
#include <xenevtchn.h>
}

namespace virtfs::frontend {

absl::StatusOr<std::unique_ptr<EventChannel>> EventChannel::Create(uint32_t backend, uint32_t count) {
  xenevtchn_handle* handle = xenevtchn_open(nullptr, 0);
  if (handle == nullptr) {
    return absl::UnavailableError(absl::StrCat(
        "cannot open the kernel's event channels (is the module xen-evtchn loaded?): ", Errno::Last().message()));
  }
  std::vector<uint32_t> ports;
  while (ports.size() < count) {
    const int port = xenevtchn_bind_unbound_port(handle, backend);
    if (port < 0) {
      const Errno error = Errno::Last();
      xenevtchn_close(handle);
      return absl::UnavailableError(
          absl::StrCat("cannot make an event channel for domain ", backend, ": ", error.message()));
    }
    ports.push_back(static_cast<uint32_t>(port));
  }
  // Acknowledge must not wait when another thread's event was all there was.
  const int fd = xenevtchn_fd(handle);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return std::unique_ptr<EventChannel>(new EventChannel(handle, std::move(ports)));
}

EventChannel::~EventChannel() { xenevtchn_close(handle_); }

void EventChannel::Notify(uint32_t index) { xenevtchn_notify(handle_, ports_[index]); }

void EventChannel::Unbind() {
  for (const uint32_t port : ports_) xenevtchn_unbind(handle_, port);
}

int EventChannel::fd() const { return xenevtchn_fd(handle_); }

void EventChannel::Acknowledge() {
  const int port = xenevtchn_pending(handle_);
  if (port >= 0) xenevtchn_unmask(handle_, static_cast<evtchn_port_t>(port));
}

}  // namespace virtfs::frontend
