#include "frontend/relay/device_link.h"

#include <sys/eventfd.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace virtfs::frontend {
namespace {

constexpr std::chrono::seconds kPause(1);

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceLink>> DeviceLink::Connect(const DeviceOptions& options) {
  UniqueFd changed(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!changed.ok()) return absl::InternalError(absl::StrCat("cannot make an eventfd: ", Errno::Last().message()));
  absl::StatusOr<std::unique_ptr<Device>> device = Device::Connect(options);
  if (!device.ok()) return device.status();
  return std::unique_ptr<DeviceLink>(new DeviceLink(options, *std::move(device), std::move(changed)));
}

DeviceLink::DeviceLink(DeviceOptions options, std::unique_ptr<Device> device, UniqueFd changed)
    : options_(std::move(options)), changed_(std::move(changed)), device_(std::move(device)) {}

DeviceLink::~DeviceLink() { static_cast<void>(Close()); }

absl::Status DeviceLink::Close() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    if (!connected_) device_->GiveUp();
    stop_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  return device_->Close();
}

RingClient* DeviceLink::ring() {
  const std::lock_guard lock(mutex_);
  return connected_ ? &device_->ring() : nullptr;
}

bool DeviceLink::session_goes_on() {
  const std::lock_guard lock(mutex_);
  return connected_ && device_->session_goes_on();
}

bool DeviceLink::gone() {
  const std::lock_guard lock(mutex_);
  return gone_;
}

void DeviceLink::Renew() {
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  if (stopped_) return;
  connected_ = gone_ = false;
  thread_ = std::thread(&DeviceLink::Reconnect, this);
}

// The thread of Renew. What is worth waiting for, the device waits for; the pause is for what fails at once.
void DeviceLink::Reconnect() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    lock.unlock();
    const absl::Status status = device_->Reconnect();
    lock.lock();
    connected_ = status.ok();
    gone_ = absl::IsNotFound(status);
    if (connected_ || gone_) eventfd_write(changed_.get(), 1);
    if (connected_) return;
    stop_.wait_for(lock, kPause, [this] { return stopped_; });
  }
}

}  // namespace virtfs::frontend
