#include "toolstack/config/host_config.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/unique_fd.h"
#include "options/option_table.h"
#include "toolstack/config/config_file.h"

namespace virtfs::toolstack {
namespace {

constexpr char kRoots[] = "roots", kDefaults[] = "defaults";

std::string KeyOf(const std::string& item) { return item.substr(0, item.find('=')); }

std::vector<std::string> ItemsOf(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    items.emplace_back(item);
  }
  return items;
}

// What is wrong with a default; empty: nothing. Contradictions show when a share is checked.
std::string MistakeIn(const std::string& key, const std::string& value) {
  const options::Option* const option = options::FindOption(key);
  if (key == "backend") return value.empty() ? "write backend=DOMAIN" : "";
  if (option == nullptr || key == "path") {
    std::vector<std::string> names;
    for (const options::Option& other : options::AllOptions()) {
      if (other.name != "path") names.emplace_back(other.name);
    }
    return absl::StrCat(key, " cannot have a default: write backend, ", absl::StrJoin(names, ", "));
  }
  options::ShareOptions unused;
  return std::string(options::SetOption(unused, *option, value).message());
}

// The name of an open directory, without symbolic links.
std::string NameOf(int directory) {
  std::array<char, PATH_MAX> name{};
  const ssize_t size = readlink(absl::StrCat("/proc/self/fd/", directory).c_str(), name.data(), name.size());
  return size > 0 ? std::string(name.data(), static_cast<size_t>(size)) : "";
}

bool IsBeneath(const std::string& path, const std::string& root) {
  return root == "/" || path == root || (path.starts_with(root) && path[root.size()] == '/');
}

absl::Status Wrong(const std::string& path, const std::string& sentence) {
  return absl::InvalidArgumentError(absl::StrCat("path=", path, " ", sentence));
}

void ReadRoots(ConfigFile& file, HostConfig& host, std::vector<Mistake>& mistakes) {
  const std::optional<ConfigFile::Strings> list = file.List(kRoots);
  if (!list) return;
  mistakes.insert(mistakes.end(), list->mistakes.begin(), list->mistakes.end());
  for (const ConfigFile::Value& root : list->values) {
    if (!root.text.starts_with('/')) {
      mistakes.push_back({file.path(), root.line, kRoots,
                          absl::StrCat("\"", root.text, "\": write a directory from the root on, as in /srv")});
      continue;
    }
    // One that is not there allows nothing, and is not worth a failure: its disk may not be mounted yet.
    char* const real = realpath(root.text.c_str(), nullptr);
    host.roots.push_back(real != nullptr ? real : root.text);
    free(real);
  }
  if (list->values.empty() && list->mistakes.empty()) {
    mistakes.push_back(
        {file.path(), 0, kRoots,
         "the list is empty: write the directories that may be shared, or take the line out and all may"});
  }
}

void ReadDefaults(ConfigFile& file, HostConfig& host, std::vector<Mistake>& mistakes) {
  const std::optional<ConfigFile::Strings> text = file.String(kDefaults);
  if (!text) return;
  mistakes.insert(mistakes.end(), text->mistakes.begin(), text->mistakes.end());
  if (text->values.empty()) return;
  for (const std::string& item : ItemsOf(text->values[0].text)) {
    const std::string key = KeyOf(item);
    const options::Option* const option = options::FindOption(key);
    const bool flag = option != nullptr && option->argument.empty() && key == item;
    const std::string value = flag ? "1" : item.substr(std::min(item.size(), key.size() + 1));
    const bool twice = std::any_of(host.defaults.begin(), host.defaults.end(), [&](auto& d) { return d.first == key; });
    const std::string wrong = twice ? absl::StrCat(key, " is there twice: write it once") : MistakeIn(key, value);
    if (!wrong.empty()) mistakes.push_back({file.path(), text->values[0].line, kDefaults, wrong});
    host.defaults.emplace_back(key, value);
  }
}

// As the keeper opens it.
UniqueFd OpenDirectory(const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof(how))));
}

// `directory`: what `path` leads to.
absl::Status CheckRoots(const UniqueFd& directory, const std::string& path, const HostConfig& host) {
  const std::string name = NameOf(directory.get());
  if (host.roots.empty() ||
      std::any_of(host.roots.begin(), host.roots.end(), [&](const auto& root) { return IsBeneath(name, root); })) {
    return absl::OkStatus();
  }
  return Wrong(path, absl::StrCat(name == path ? "" : absl::StrCat("(which is ", name, ") "), "may not be shared: ",
                                  host.path, " allows what is in ", absl::StrJoin(host.roots, ", ")));
}

}  // namespace

absl::StatusOr<HostConfig> ReadHostConfig(const std::string& path) {
  HostConfig host;
  host.path = path;
  absl::StatusOr<ConfigFile> file = ConfigFile::Read(path);
  if (absl::IsNotFound(file.status())) return host;
  if (!file.ok()) return file.status();

  std::vector<Mistake> mistakes;
  for (const ConfigFile::Setting& setting : file->settings()) {
    if (setting.name == kRoots || setting.name == kDefaults) continue;
    mistakes.push_back({path, setting.line, setting.name, "unknown key: there are roots and defaults"});
  }
  ReadRoots(*file, host, mistakes);
  ReadDefaults(*file, host, mistakes);
  if (absl::Status status = StatusOf(mistakes); !status.ok()) return status;
  return host;
}

std::string WithDefaults(std::string_view share, const HostConfig& host) {
  std::string all(share);
  const std::vector<std::string> items = ItemsOf(share);
  for (const auto& [key, value] : host.defaults) {
    if (std::any_of(items.begin(), items.end(), [&key = key](const std::string& item) { return KeyOf(item) == key; })) {
      continue;
    }
    absl::StrAppend(&all, all.empty() || all.ends_with(',') ? "" : ",", key, "=", value);
  }
  return all;
}

absl::Status CheckDirectory(const ShareSpec& spec, const HostConfig& host) {
  const std::string& path = spec.options.path;
  const UniqueFd directory = OpenDirectory(path);
  if (!directory.ok()) {
    switch (errno) {
      case ENOENT:
        return Wrong(path, "does not exist: create it, or write another path");
      case ENOTDIR:
        return Wrong(path, "is not a directory: write the path of one");
      case ELOOP:
        return Wrong(path, "leads through a link of /proc or through a circle: write the directory itself");
      default:
        return Wrong(path, absl::StrCat("cannot be opened: ", strerror(errno)));
    }
  }
  if (absl::Status allowed = CheckRoots(directory, path, host); !allowed.ok()) return allowed;
  struct statvfs mount {};
  if (!spec.options.server.readonly && fstatvfs(directory.get(), &mount) == 0 && (mount.f_flag & ST_RDONLY) != 0) {
    return Wrong(path, "is on a read-only mount: write readonly=1, or mount it so that it can be written");
  }
  return absl::OkStatus();
}

absl::Status CheckRoots(const ShareSpec& spec, const HostConfig& host) {
  const UniqueFd directory = OpenDirectory(spec.options.path);
  return directory.ok() ? CheckRoots(directory, spec.options.path, host) : absl::OkStatus();
}

}  // namespace virtfs::toolstack
