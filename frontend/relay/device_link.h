// DeviceLink: the link to a share of this guest. Renew connects again, on a thread of its own, until that works.
//
// Errors: absl::Status, a sentence for who started the relay. Threads: those of a relay's loop.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "frontend/device.h"
#include "frontend/relay/link.h"

namespace virtfs::frontend {

class DeviceLink : public Link {
 public:
  // Waits for the share and connects it.
  static absl::StatusOr<std::unique_ptr<DeviceLink>> Connect(const DeviceOptions& options);
  // Closes it in order, or gives up making a connection.
  ~DeviceLink() override;

  // Waits for what is in flight and closes. Says why if the connection had ended by itself.
  absl::Status Close();

  RingClient* ring() override;
  bool session_goes_on() override;
  void Renew() override;
  bool gone() override;
  int changed_fd() const override { return changed_.get(); }

 private:
  DeviceLink(DeviceOptions options, std::unique_ptr<Device> device, UniqueFd changed);
  void Reconnect();

  const DeviceOptions options_;
  UniqueFd changed_;
  std::mutex mutex_;
  std::unique_ptr<Device> device_;  // The thread's, while connected_ is false.
  bool connected_ = true;
  bool gone_ = false;
  bool stopped_ = false;
  std::condition_variable stop_;
  std::thread thread_;
};

}  // namespace virtfs::frontend
