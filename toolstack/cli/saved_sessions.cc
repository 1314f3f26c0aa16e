#include "toolstack/cli/saved_sessions.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "xenstore/number.h"

namespace virtfs::toolstack {
namespace {

// What a keeper makes: a device id, or one that it has not finished.
bool IsOurs(std::string_view name) {
  if (name.ends_with(".new")) name.remove_suffix(4);
  return xenstore::ParseNumber(name, 0, INT32_MAX).has_value();
}

absl::StatusOr<std::string> DirectoryOf(const std::string& file) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(file, error);
  if (error) return absl::UnavailableError(absl::StrCat("cannot tell where ", file, " is: ", error.message()));
  return absolute.string() + ".virtfs";
}

absl::Status Failed(const char* what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

// NotFound: there is none.
absl::Status Check(const std::string& directory) {
  const UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.ok() && errno == ENOENT) return absl::NotFoundError("");
  struct stat status;
  if (!fd.ok() || fstat(fd.get(), &status) != 0) return Failed("open", directory);
  if (status.st_uid == geteuid() && (status.st_mode & 077) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(directory,
                   " could be another user's, and who writes there chooses what the guest has open: remove it, or make "
                   "it a directory of root's that nobody else may enter"));
}

}  // namespace

absl::StatusOr<SavedSessions> SavedSessions::Make(const std::string& file) {
  absl::StatusOr<SavedSessions> found = Find(file);
  if (!found.ok()) return found;
  found->Remove();
  // What somebody else has put there stays.
  if (mkdir(found->directory_.c_str(), 0700) != 0 && errno != EEXIST) return Failed("make", found->directory_);
  return found;
}

absl::StatusOr<SavedSessions> SavedSessions::Find(const std::string& file) {
  absl::StatusOr<std::string> directory = DirectoryOf(file);
  if (!directory.ok()) return directory.status();
  const absl::Status checked = Check(*directory);
  if (!checked.ok() && !absl::IsNotFound(checked)) return checked;
  return SavedSessions(*std::move(directory));
}

std::string SavedSessions::PathOf(uint32_t devid) const { return absl::StrCat(directory_, "/", devid); }

bool SavedSessions::Has(uint32_t devid) const { return access(PathOf(devid).c_str(), F_OK) == 0; }

void SavedSessions::Remove() const {
  struct Close {
    void operator()(DIR* dir) const { closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> dir(opendir(directory_.c_str()));
  std::vector<std::string> names;
  while (const dirent* entry = dir ? readdir(dir.get()) : nullptr) {
    if (IsOurs(entry->d_name)) names.emplace_back(entry->d_name);
  }
  for (const std::string& name : names) unlink(absl::StrCat(directory_, "/", name).c_str());
  RemoveIfEmpty();
}

void SavedSessions::RemoveIfEmpty() const { rmdir(directory_.c_str()); }

}  // namespace virtfs::toolstack
