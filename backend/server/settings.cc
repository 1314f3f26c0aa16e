#include "backend/server/settings.h"

#include <algorithm>

namespace virtfs::backend {
namespace {

// Descriptors besides those of files: the link, gntdev, the event channel, epoll, /proc/self/fd, stdio; and for each
// thread two that an operation may hold for a moment.
constexpr uint32_t kOwnDescriptors = 16;

host::SecurityModel ModelOf(options::SecurityModel model) {
  switch (model) {
    case options::SecurityModel::kMappedXattr:
      return host::SecurityModel::kMappedXattr;
    case options::SecurityModel::kMappedFile:
      return host::SecurityModel::kMappedFile;
    case options::SecurityModel::kNone:
      return host::SecurityModel::kNone;
    case options::SecurityModel::kPassthrough:
      break;
  }
  return host::SecurityModel::kPassthrough;
}

SessionOptions::Devices DevicesOf(options::Devices devices) {
  switch (devices) {
    case options::Devices::kForbid:
      return SessionOptions::Devices::kForbid;
    case options::Devices::kWarn:
      return SessionOptions::Devices::kWarn;
    case options::Devices::kRemap:
      break;
  }
  return SessionOptions::Devices::kRemap;
}

IdOptions IdsOf(const options::ServerOptions& options) {
  IdOptions result{.uids = options.uid_map,
                   .gids = options.gid_map,
                   .squash = IdOptions::Squash::kNone,
                   .anon_uid = options.anon_uid,
                   .anon_gid = options.anon_gid};
  if (options.squash == options::Squash::kRoot) result.squash = IdOptions::Squash::kRoot;
  if (options.squash == options::Squash::kAll) result.squash = IdOptions::Squash::kAll;
  return result;
}

}  // namespace

std::optional<Settings> SettingsOf(const link::Start& start) {
  const options::ServerOptions& options = start.options;
  const uint32_t reserved = kOwnDescriptors + 2 * start.threads;
  if (start.max_descriptors < 4 * reserved) return std::nullopt;
  // Open files hold up to two descriptors each; inodes get what is left, half of all at least.
  const uint32_t open_files = std::min(options.max_open_files, (start.max_descriptors - reserved) / 4);
  const uint32_t inodes = start.max_descriptors - reserved - 2 * open_files;
  return Settings{
      .tree = {.max_descriptors = inodes,
               .readonly = options.readonly,
               .model = ModelOf(options.security_model),
               .file_mode = options.file_mode,
               .directory_mode = options.directory_mode,
               .umask = options.umask,
               .rights = options.enforce == options::Enforce::kServer ? host::Rights::kOfUsers : host::Rights::kOfRoot,
               .max_files = options.max_files,
               .max_space = options.max_space},
      .session = {.max_msize = options.max_msize,
                  .max_fids = options.max_fids,
                  .max_open_files = open_files,
                  .max_xattr_bytes = options.max_xattr_bytes,
                  .max_locks = options.max_locks,
                  .devices = DevicesOf(options.devices),
                  .ids = IdsOf(options)},
      .pool = {.threads = start.threads,
               .max_requests = options.max_requests,
               .operations = {.per_second = options.operations.per_second, .burst = options.operations.burst},
               .bytes = {.per_second = options.bytes.per_second, .burst = options.bytes.burst}},
  };
}

}  // namespace virtfs::backend
