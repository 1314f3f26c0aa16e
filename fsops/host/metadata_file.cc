#include "fsops/host/metadata_file.h"

#include <dirent.h>
#include <sys/uio.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <optional>

#include "fsops/host/credentials.h"
#include "fsops/host/kernel.h"

namespace virtfs::host {
namespace {

constexpr size_t kMaxSize = 4096;
// In .virtfs_metadata, where no file's metadata can have that name.
constexpr const char* kAside = kMetadataDirectory;

std::optional<int64_t> Number(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return std::nullopt;
  line.remove_prefix(key.size());
  int64_t value = 0;
  if (std::from_chars(line.data(), line.data() + line.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

bool Fits(int64_t value) { return value >= INT32_MIN && value <= UINT32_MAX; }

Result<std::string> ReadText(int fd) {
  std::string text(kMaxSize, '\0');
  iovec vec{text.data(), text.size()};
  const ssize_t size = preadv2(fd, &vec, 1, 0, 0);
  if (size < 0) return Errno::Last();
  text.resize(static_cast<size_t>(size));
  return text;
}

Result<UniqueFd> OpenMetadataDirectory(int dir) { return OpenBeneath(dir, kMetadataDirectory, O_PATH | O_DIRECTORY); }

// A file system without hard links, or a file with too many.
bool CannotLink(int error) { return error == EPERM || error == EOPNOTSUPP || error == EMLINK || error == ENOSYS; }

bool IsNot(Errno error, int number) { return !(error == Errno(number)); }

// Every entry but "." and "..", until `visit` fails.
Result<void> ForEach(int dir, const std::function<Result<void>(const char*)>& visit) {
  alignas(8) char buffer[8192];
  for (;;) {
    const ssize_t size = getdents64(dir, buffer, sizeof(buffer));
    if (size < 0) return Errno::Last();
    if (size == 0) return {};
    for (const char* record = buffer; record < buffer + size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(record);
      record += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (Result<void> visited = visit(entry->d_name); !visited) return visited;
    }
  }
}

}  // namespace

Kept ParseMetadata(std::string_view text) {
  Kept kept;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (const auto uid = Number(line, "virtfs.uid="); uid && Fits(*uid)) kept.uid = static_cast<uint32_t>(*uid);
    if (const auto gid = Number(line, "virtfs.gid="); gid && Fits(*gid)) kept.gid = static_cast<uint32_t>(*gid);
    if (const auto mode = Number(line, "virtfs.mode="); mode && Fits(*mode)) kept.mode = static_cast<uint32_t>(*mode);
    if (const auto rdev = Number(line, "virtfs.rdev="); rdev && *rdev >= INT32_MIN) {
      kept.rdev = *rdev < 0 ? static_cast<uint32_t>(*rdev) : static_cast<uint64_t>(*rdev);
    }
  }
  if (kept.uid == kNoId) kept.uid.reset();
  if (kept.gid == kNoId) kept.gid.reset();
  return kept;
}

std::string FormatMetadata(const Kept& kept) {
  std::string text;
  const auto line = [&](const char* key, int64_t value) {
    text.append(key).append(std::to_string(value)).append("\n");
  };
  if (kept.uid) line("virtfs.uid=", static_cast<int32_t>(*kept.uid));
  if (kept.gid) line("virtfs.gid=", static_cast<int32_t>(*kept.gid));
  if (kept.mode) line("virtfs.mode=", static_cast<int32_t>(*kept.mode));
  if (kept.rdev) line("virtfs.rdev=", static_cast<int64_t>(*kept.rdev));
  return text;
}

Kept LoadMetadata(int dir, const MetadataPath& path) {
  const Result<UniqueFd> file = OpenBeneath(dir, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return {};
  const Result<std::string> text = ReadText(file->get());
  return text ? ParseMetadata(*text) : Kept();
}

Result<void> CreateMetadata(int dir, const PathComponent& name, const Kept& kept) {
  const MetadataPath path(name);
  for (int attempt = 0;; ++attempt) {
    const Result<UniqueFd> file = OpenBeneath(dir, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK, 0600);
    if (file) {
      Result<void> written = WriteWhole(file->get(), FormatMetadata(kept));
      if (!written) static_cast<void>(RemoveMetadata(dir, name));
      return written;
    }
    if (attempt == 3) return file.error();
    if (file.error() == Errno(ENOENT)) {
      if (mkdirat(dir, kMetadataDirectory, 0700) < 0 && errno != EEXIST) return Errno::Last();
    } else if (file.error() == Errno(EEXIST)) {
      if (Result<void> removed = RemoveMetadata(dir, name); !removed) return removed;
    } else {
      return file.error();
    }
  }
}

Result<void> UpdateMetadata(int dir, const MetadataPath& path, const Kept& change) {
  Result<UniqueFd> file = OpenBeneath(dir, path.c_str(), O_RDWR | O_NONBLOCK | O_NOCTTY);
  if (!file && file.error() == Errno(ENOENT)) {
    if (mkdirat(dir, kMetadataDirectory, 0700) < 0 && errno != EEXIST) return Errno::Last();
    file = OpenBeneath(dir, path.c_str(), O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY, 0600);
  }
  if (!file) return file.error();
  const Result<std::string> before = ReadText(file->get());
  if (!before) return before.error();
  std::string text = FormatMetadata(ParseMetadata(*before).With(change));
  // Empty lines mean nothing, so that no second step has to make the file shorter.
  if (text.size() < before->size()) text.resize(before->size(), '\n');
  return WriteWhole(file->get(), text);
}

Result<void> RemoveMetadata(int dir, const PathComponent& name) {
  const Result<UniqueFd> metadata = OpenMetadataDirectory(dir);
  if (!metadata) return IsNot(metadata.error(), ENOENT) ? metadata.error() : Result<void>();
  if (unlinkat(metadata->get(), name.c_str(), 0) < 0 && errno != ENOENT) return Errno::Last();
  return {};
}

// --- MetadataMove ---

Result<void> MetadataMove::Share(int from, int to) {
  if (linkat(from, from_.c_str(), to, to_.c_str(), 0) == 0) {
    shared_ = true;
    return {};
  }
  if (errno == ENOENT) return {};
  if (!CannotLink(errno)) return Errno::Last();
  Result<void> copied = CreateMetadata(to_dir_, to_, LoadMetadata(from_dir_, MetadataPath(from_)));
  shared_ = copied.ok();
  return copied;
}

Result<void> MetadataMove::Prepare() {
  const Result<UniqueFd> from = OpenMetadataDirectory(from_dir_);
  if (!from && IsNot(from.error(), ENOENT)) return from.error();
  Result<UniqueFd> to = OpenMetadataDirectory(to_dir_);
  if (!to && from && to.error() == Errno(ENOENT)) {
    if (mkdirat(to_dir_, kMetadataDirectory, 0700) < 0 && errno != EEXIST) return Errno::Last();
    to = OpenMetadataDirectory(to_dir_);
  }
  if (!to) return IsNot(to.error(), ENOENT) ? to.error() : Result<void>();

  aside_ = renameat(to->get(), to_.c_str(), to->get(), kAside) == 0;
  if (!aside_ && errno != ENOENT) return Errno::Last();
  if (!from) return {};
  Result<void> done = Share(from->get(), to->get());
  if (!done) Undo();
  return done;
}

// What fails now leaves a file behind that belongs to no name; the next that comes to be there replaces it.
void MetadataMove::Commit(bool moved) {
  if (moved) static_cast<void>(RemoveMetadata(from_dir_, from_));
  if (!aside_) return;
  const Result<UniqueFd> to = OpenMetadataDirectory(to_dir_);
  if (to) unlinkat(to->get(), kAside, 0);
}

void MetadataMove::Undo() {
  if (shared_) static_cast<void>(RemoveMetadata(to_dir_, to_));
  if (!aside_) return;
  const Result<UniqueFd> to = OpenMetadataDirectory(to_dir_);
  if (to) renameat(to->get(), kAside, to->get(), to_.c_str());
}

Result<void> PurgeMetadata(int dir) {
  const auto is_ours = [](std::string_view name) { return name == kMetadataDirectory || name == kRootMetadata; };
  Result<void> empty = ForEach(dir, [&](const char* name) -> Result<void> {
    if (!is_ours(name)) return Errno(ENOTEMPTY);
    return {};
  });
  if (!empty) return empty;

  const Result<UniqueFd> metadata = OpenBeneath(dir, kMetadataDirectory, O_RDONLY | O_DIRECTORY);
  if (metadata) {
    Result<void> emptied =
        ForEach(metadata->get(), [&](const char* name) { return Done(unlinkat(metadata->get(), name, 0)); });
    if (emptied) emptied = Done(unlinkat(dir, kMetadataDirectory, AT_REMOVEDIR));
    if (!emptied) return emptied;
  } else if (IsNot(metadata.error(), ENOENT) && unlinkat(dir, kMetadataDirectory, 0) < 0) {
    // The host's own symlink or file of that name: nobody sees it.
    return Errno::Last();
  }
  if (unlinkat(dir, kRootMetadata, 0) < 0 && errno != ENOENT) return Errno::Last();
  return {};
}

}  // namespace virtfs::host
