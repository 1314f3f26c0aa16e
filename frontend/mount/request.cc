#include "frontend/mount/request.h"

#include <sys/mount.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "xen/io/virtfs.h"

// Linux's, newer than libc's header.
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

namespace virtfs::frontend {
namespace {

constexpr uint32_t kLeastPages = 8;
constexpr uint32_t kLongestWait = 86'400;

// Words that set and clear flags.
struct FlagOption {
  std::string_view name;
  unsigned long set;
  unsigned long clear;
};
constexpr unsigned long kUsers = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr unsigned long kOwners = MS_NOSUID | MS_NODEV;
constexpr FlagOption kFlagOptions[] = {
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"mand", MS_MANDLOCK, 0},
    {"nomand", 0, MS_MANDLOCK},
    {"noatime", MS_NOATIME, 0},
    {"atime", 0, MS_NOATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"relatime", MS_RELATIME, 0},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"lazytime", MS_LAZYTIME, 0},
    {"nolazytime", 0, MS_LAZYTIME},
    {"nosymfollow", MS_NOSYMFOLLOW, 0},
    {"symfollow", 0, MS_NOSYMFOLLOW},
    {"silent", MS_SILENT, 0},
    {"loud", 0, MS_SILENT},
    {"remount", MS_REMOUNT, 0},
    {"defaults", 0, 0},
    // Who may mount is mount(8)'s to check; what they imply is repeated here, for what stands behind to change.
    {"user", kUsers, 0},
    {"users", kUsers, 0},
    {"owner", kOwners, 0},
    {"group", kOwners, 0},
};

// For mount(8), umount(8), systemd or fstab's reader.
constexpr std::string_view kOthersOptions[] = {"auto",   "noauto",  "nofail",  "_netdev",
                                               "nouser", "nousers", "noowner", "nogroup"};
constexpr std::string_view kOthersPrefixes[] = {"x-", "X-", "comment=", "helper=", "uhelper=", "user=", "nofail="};

absl::Status Mistake(const std::string& sentence) { return absl::InvalidArgumentError(sentence); }

// At commas, but not in "...", in which mount(8) lets values have them.
std::vector<std::string> SplitOptions(std::string_view text) {
  std::vector<std::string> options(1);
  bool quoted = false;
  for (const char letter : text) {
    quoted ^= letter == '"';
    if (letter == ',' && !quoted) {
      options.emplace_back();
    } else {
      options.back() += letter;
    }
  }
  std::erase_if(options, [](const std::string& option) { return option.empty(); });
  return options;
}

absl::Status TakeNumber(const std::string& name, const std::string& text, uint32_t least, uint32_t most,
                        uint32_t& number) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return Mistake(absl::StrCat("option ", name, " wants a number from ", least, " to ", most, ", not '", text, "'"));
  }
  number = value;
  return absl::OkStatus();
}

absl::Status TakeOption(const std::string& option, MountRequest& request) {
  for (const FlagOption& known : kFlagOptions) {
    if (option != known.name) continue;
    request.flags = (request.flags & ~known.clear) | known.set;
    return absl::OkStatus();
  }
  if (std::ranges::find(kOthersOptions, option) != std::end(kOthersOptions)) return absl::OkStatus();
  for (const std::string_view prefix : kOthersPrefixes) {
    if (option.starts_with(prefix)) return absl::OkStatus();
  }
  const std::string name = option.substr(0, option.find('='));
  const std::string value = name.size() < option.size() ? option.substr(name.size() + 1) : "";
  if (name == "msize") {
    return TakeNumber(name, value, XEN_VIRTFS_MIN_MSIZE, XEN_VIRTFS_MAX_MSIZE, request.msize);
  }
  if (name == "pages") return TakeNumber(name, value, kLeastPages, XEN_VIRTFS_SLOTS_PER_PAGE, request.pages);
  if (name == "wait") {
    uint32_t seconds = 0;
    absl::Status status = TakeNumber(name, value, 1, kLongestWait, seconds);
    if (status.ok()) request.wait = std::chrono::seconds(seconds);
    return status;
  }
  if (name == "trans" || name == "rfdno" || name == "wfdno") {
    return Mistake(absl::StrCat("option ", name, " is for mount.virtfs to set; leave it out (or mount with -t 9p)"));
  }
  if (name == "version" && value != "9p2000.L") {
    return Mistake(absl::StrCat("a virtfs share speaks 9p2000.L only; leave out ", option));
  }
  if (name == "version") return absl::OkStatus();
  absl::StrAppend(&request.client_options, request.client_options.empty() ? "" : ",", option);
  return absl::OkStatus();
}

}  // namespace

std::string MountRequest::Data(int stream, uint32_t agreed_msize) const {
  return absl::StrCat("trans=fd,rfdno=", stream, ",wfdno=", stream, ",version=9p2000.L,msize=", agreed_msize,
                      client_options.empty() ? "" : ",", client_options);
}

absl::StatusOr<MountRequest> ParseMountRequest(const std::vector<std::string>& arguments) {
  MountRequest request;
  std::vector<std::string> operands;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.size() < 2 || argument[0] != '-') {
      operands.push_back(argument);
      continue;
    }
    for (size_t k = 1; k < argument.size(); ++k) {
      const char letter = argument[k];
      if (letter == 'o' || letter == 't' || letter == 'N') {
        // The value is the rest of the word, or the next one.
        std::string value = argument.substr(k + 1);
        if (value.empty() && i + 1 == arguments.size()) return Mistake(absl::StrCat("-", argument.substr(k), " what?"));
        if (value.empty()) value = arguments[++i];
        if (letter == 'N') return Mistake("-N is not served; run mount in that namespace: nsenter -m");
        for (const std::string& option : letter == 'o' ? SplitOptions(value) : std::vector<std::string>()) {
          if (absl::Status status = TakeOption(option, request); !status.ok()) return status;
        }
        break;
      }
      switch (letter) {
        case 'f':
          request.fake = true;
          break;
        case 'v':
          request.verbose = true;
          break;
        case 'r':
          request.flags |= MS_RDONLY;
          break;
        case 'w':
          request.flags &= ~static_cast<unsigned long>(MS_RDONLY);
          break;
        case 's':  // Unknown options are the kernel's to refuse anyway.
        case 'n':  // There is no /etc/mtab.
          break;
        default:
          return Mistake(absl::StrCat("no such option: ", argument));
      }
    }
  }
  if (operands.size() != 2 || operands[0].empty()) return Mistake("give the share's tag and a directory");
  request.tag = operands[0];
  request.directory = operands[1];
  return request;
}

}  // namespace virtfs::frontend
