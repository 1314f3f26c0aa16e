// EventChannel: the event channels between this process and one guest, one or several.
//
// libxenevtchn's handles are not made for several threads: every use of one is under a lock here.
// Errors: false with errno set.
// Threads: any, once the last Bind has returned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

struct xenevtchn_handle;

namespace virtfs::backend {

class EventChannel {
 public:
  EventChannel() = default;
  ~EventChannel();
  EventChannel(const EventChannel&) = delete;
  EventChannel& operator=(const EventChannel&) = delete;

  // Opens a handle that can serve no other domain than `domid`, before the process is locked down.
  bool Open(uint32_t domid);

  // Connects to one more port that the guest offers.
  bool Bind(uint32_t remote_port);
  void Unbind();

  // Readable when there is an event for Consume. For poll and epoll only.
  int fd() const;

  // Takes off the events that there are, and allows the next. True: there are more already, since a guest can send
  // them as fast as they are taken; the descriptor has then not become readable anew.
  [[nodiscard]] bool Consume();

  // On the channel that was bound as number `index`.
  void Notify(size_t index = 0);

 private:
  bool Readable() const;

  std::mutex mutex_;
  xenevtchn_handle* handle_ = nullptr;
  uint32_t domid_ = 0;
  std::vector<uint32_t> ports_;
};

}  // namespace virtfs::backend
