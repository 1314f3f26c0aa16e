#include "fsops/host/local_handle_broker.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <optional>

namespace virtfs::host {
namespace {

constexpr int kReopenAttempts = 1000;

// struct file_handle with its bytes behind it.
union HandleBuffer {
  HandleBuffer() { handle.handle_bytes = MAX_HANDLE_SZ; }

  file_handle handle;
  char room[sizeof(file_handle) + MAX_HANDLE_SZ];
};

}  // namespace

Result<FileHandle> HandleOf(int fd) {
  HandleBuffer buffer;
  int mount = 0;
  if (name_to_handle_at(fd, "", &buffer.handle, &mount, AT_EMPTY_PATH) != 0) return Errno::Last();
  return FileHandle{.type = buffer.handle.handle_type,
                    .bytes = {buffer.handle.f_handle, buffer.handle.f_handle + buffer.handle.handle_bytes}};
}

LocalHandleBroker::LocalHandleBroker(int root, size_t max_tokens) : max_tokens_(max_tokens) {
  HandleBuffer buffer;
  int mount = 0;
  if (name_to_handle_at(root, "", &buffer.handle, &mount, AT_EMPTY_PATH) == 0) MountDescriptor(mount, root);
}

int LocalHandleBroker::MountDescriptor(int id, int fd) {
  const auto find = [&] {
    const auto mount = std::find_if(mounts_.begin(), mounts_.end(), [&](const Mount& m) { return m.id == id; });
    return mount == mounts_.end() ? -1 : mount->directory.get();
  };
  {
    const std::lock_guard lock(mutex_);
    if (const int known = find(); known >= 0) return known;
    if (mounts_.size() == kMaxMounts) return -1;
  }
  // open_by_handle_at takes no O_PATH descriptor. "." is nothing but a directory: a hostile device is not opened.
  UniqueFd directory(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.ok()) return -1;
  const std::lock_guard lock(mutex_);
  if (const int known = find(); known >= 0) return known;
  // The descriptor keeps the mount, so that its id is not reused.
  mounts_.push_back({id, std::move(directory)});
  return mounts_.back().directory.get();
}

Result<HandleToken> LocalHandleBroker::Keep(int fd) {
  HandleBuffer buffer;
  int mount = 0;
  if (name_to_handle_at(fd, "", &buffer.handle, &mount, AT_EMPTY_PATH) < 0) {
    // Larger than any handle may be: there is none that could be used.
    return errno == EOVERFLOW ? Errno(EOPNOTSUPP) : Errno::Last();
  }
  const int mount_fd = MountDescriptor(mount, fd);
  if (mount_fd < 0) return Errno(EXDEV);

  const std::lock_guard lock(mutex_);
  if (handles_.size() >= max_tokens_) return Errno(ENOSPC);
  const HandleKind kind = {
      .mount_fd = mount_fd, .type = buffer.handle.handle_type, .bytes = buffer.handle.handle_bytes};
  const std::optional<HandleToken> token = handles_.Add(kind, {buffer.handle.f_handle, kind.bytes});
  return token ? Result<HandleToken>(*token) : Errno(ENOSPC);
}

Result<UniqueFd> LocalHandleBroker::Reopen(HandleToken token) {
  HandleBuffer buffer;
  int mount_fd = -1;
  {
    const std::lock_guard lock(mutex_);
    const std::optional<HandleStore::Found> found = handles_.Find(token);
    if (!found) return Errno(ESTALE);
    mount_fd = found->kind.mount_fd;
    buffer.handle.handle_type = found->kind.type;
    buffer.handle.handle_bytes = static_cast<unsigned>(found->handle.size());
    std::copy(found->handle.begin(), found->handle.end(), buffer.handle.f_handle);
  }
  // While a new file is being made with the inode number of this one, which is gone, ext4 says ENOMEM: its look-up
  // finds an inode that is not ready. A moment later it says ESTALE. (Seen under load with kernel 6.18.)
  for (int attempt = 0;; ++attempt) {
    const int fd = open_by_handle_at(mount_fd, &buffer.handle, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != ENOMEM || attempt == kReopenAttempts) return Errno::Last();
    sched_yield();
  }
}

void LocalHandleBroker::Drop(HandleToken token) {
  const std::lock_guard lock(mutex_);
  handles_.Erase(token);
}

FileHandle LocalHandleBroker::Show(HandleToken token) const {
  const std::lock_guard lock(mutex_);
  const std::optional<HandleStore::Found> found = handles_.Find(token);
  if (!found || mounts_.empty() || found->kind.mount_fd != mounts_.front().directory.get()) return {};
  return {.type = found->kind.type, .bytes = {found->handle.begin(), found->handle.end()}};
}

Result<HandleToken> LocalHandleBroker::Adopt(const FileHandle& handle) {
  if (handle.bytes.empty() || handle.bytes.size() > MAX_HANDLE_SZ) return Errno(ESTALE);
  const std::lock_guard lock(mutex_);
  if (mounts_.empty()) return Errno(EOPNOTSUPP);
  if (handles_.size() >= max_tokens_) return Errno(ENOSPC);
  const HandleKind kind = {
      .mount_fd = mounts_.front().directory.get(), .type = handle.type, .bytes = handle.bytes.size()};
  const std::optional<HandleToken> token = handles_.Add(kind, handle.bytes);
  return token ? Result<HandleToken>(*token) : Errno(ENOSPC);
}

size_t LocalHandleBroker::kept() const {
  const std::lock_guard lock(mutex_);
  return handles_.size();
}

}  // namespace virtfs::host
