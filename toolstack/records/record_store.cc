#include "toolstack/records/record_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace virtfs::toolstack {
namespace {

constexpr char kSuffix[] = ".json";
// A thousand shares with the longest paths.
constexpr size_t kMaxSize = size_t{8} << 20;

absl::Status Failed(const char* what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

absl::Status SyncDirectory(const std::string& directory) {
  const UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok() || fsync(fd.get()) != 0) return Failed("sync", directory);
  return absl::OkStatus();
}

absl::Status MakeDirectory(const std::string& directory) {
  // Paths on the host and who may see them are nobody else's business.
  if (mkdir(directory.c_str(), 0700) == 0) {
    const size_t slash = directory.rfind('/');
    return SyncDirectory(slash == 0 || slash == directory.npos ? "/" : directory.substr(0, slash));
  }
  return errno == EEXIST ? absl::OkStatus() : Failed("make", directory);
}

absl::Status WriteFile(const std::string& path, std::string_view text) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.ok()) return Failed("write", path);
  while (!text.empty()) {
    const ssize_t written = write(fd.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failed("write", path);
    text.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(fd.get()) == 0 ? absl::OkStatus() : Failed("sync", path);
}

}  // namespace

absl::StatusOr<std::optional<Record>> RecordStore::Load(const std::string& uuid) const {
  if (!IsUuid(uuid)) return absl::InvalidArgumentError(absl::StrCat(uuid, " is no UUID"));
  const std::string path = PathOf(uuid);
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.ok() && errno == ENOENT) return std::optional<Record>();
  if (!fd.ok()) return Failed("read", path);
  std::string text;
  for (char buffer[4096];;) {
    const ssize_t size = read(fd.get(), buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Failed("read", path);
    if (size == 0) break;
    text.append(buffer, static_cast<size_t>(size));
    if (text.size() > kMaxSize) return absl::DataLossError(absl::StrCat(path, ": too long for a record"));
  }
  absl::StatusOr<Record> record = DecodeRecord(text);
  if (record.ok() && record->uuid != uuid) record = absl::DataLossError("the record is another guest's");
  if (!record.ok()) {
    return absl::Status(record.status().code(), absl::StrCat(path, ": ", std::string(record.status().message()),
                                                             "; repair it, or remove it and attach again"));
  }
  return std::optional<Record>(*std::move(record));
}

absl::Status RecordStore::Save(const Record& record) const {
  const absl::StatusOr<std::string> text = EncodeRecord(record);
  if (!text.ok()) return text.status();
  if (absl::Status made = MakeDirectory(directory_); !made.ok()) return made;
  const std::string path = PathOf(record.uuid);
  const std::string beside = path + ".new";
  if (absl::Status written = WriteFile(beside, *text); !written.ok()) return written;
  if (rename(beside.c_str(), path.c_str()) != 0) return Failed("replace", path);
  return SyncDirectory(directory_);
}

absl::Status RecordStore::Remove(const std::string& uuid) const {
  if (!IsUuid(uuid)) return absl::InvalidArgumentError(absl::StrCat(uuid, " is no UUID"));
  const std::string path = PathOf(uuid);
  if (unlink(path.c_str()) != 0) return errno == ENOENT ? absl::OkStatus() : Failed("remove", path);
  return SyncDirectory(directory_);
}

absl::StatusOr<RecordStore::Listing> RecordStore::All() const {
  struct Close {
    void operator()(DIR* dir) const { closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> dir(opendir(directory_.c_str()));
  if (!dir && errno == ENOENT) return Listing();
  if (!dir) return Failed("read", directory_);
  std::vector<std::string> uuids;
  while (const dirent* entry = readdir(dir.get())) {
    if (std::optional<std::string> uuid = UuidOf(entry->d_name)) uuids.push_back(*std::move(uuid));
  }
  std::sort(uuids.begin(), uuids.end());
  Listing listing;
  for (const std::string& uuid : uuids) {
    absl::StatusOr<std::optional<Record>> record = Load(uuid);
    if (!record.ok()) {
      listing.unreadable.push_back(record.status());
    } else if (*record) {  // else it was removed just now
      listing.records.push_back(**std::move(record));
    }
  }
  return listing;
}

std::optional<std::string> RecordStore::UuidOf(std::string_view file_name) {
  if (!file_name.ends_with(kSuffix)) return std::nullopt;
  file_name.remove_suffix(sizeof(kSuffix) - 1);
  return IsUuid(file_name) ? std::optional<std::string>(file_name) : std::nullopt;
}

}  // namespace virtfs::toolstack
