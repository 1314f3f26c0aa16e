#include "options/option_table.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <iterator>

#include "options/values.h"
#include "xen/io/virtfs.h"

namespace virtfs::options {
namespace {

// Each stores what `parsed` holds, if anything.
template <typename T, typename Parsed>
bool Store(T& into, const Parsed& parsed) {
  if (parsed) into = static_cast<T>(*parsed);
  return parsed.has_value();
}

// One of some words, in the order of the enum's values, which begin at 1.
template <typename Enum, size_t N>
bool StoreWord(Enum& into, std::string_view text, const std::array<std::string_view, N>& words) {
  const auto* const word = std::find(words.begin(), words.end(), text);
  if (word == words.end()) return false;
  into = static_cast<Enum>(1 + (word - words.begin()));
  return true;
}

template <auto Member>
bool SetNumber(ShareOptions& options, std::string_view text, uint64_t min, uint64_t max) {
  return Store(options.server.*Member, ParseNumber(text, min, max));
}

constexpr uint32_t kMaxCount = 1 << 24;
constexpr uint32_t kMaxId = 0xfffffffe;
constexpr std::array<std::string_view, 4> kModels = {"passthrough", "mapped-xattr", "mapped-file", "none"};

constexpr Option kOptions[] = {
    {XEN_VIRTFS_NODE_PATH, "DIRECTORY", "", "the directory from the root on, as in path=/srv/share",
     "the directory that is shared, absolute",
     [](ShareOptions& o, std::string_view text) {
       const bool good = text.starts_with('/') && text.find('\0') == text.npos;
       if (good) o.path = std::string(text);
       return good;
     }},
    {XEN_VIRTFS_NODE_SECURITY_MODEL, "MODEL", "", "passthrough, mapped-xattr, mapped-file or none",
     "how owners and modes are kept on the host: passthrough, mapped-xattr, mapped-file or none",
     [](ShareOptions& o, std::string_view text) { return StoreWord(o.server.security_model, text, kModels); }},
    {XEN_VIRTFS_NODE_TRANSPORT, "WIRE", "virtfs", "virtfs or 9pfs",
     "what the guest finds: a virtfs device, or Xen's older 9pfs, which stock guests mount with trans=xen",
     [](ShareOptions& o, std::string_view text) {
       return StoreWord(o.server.transport, text, std::array<std::string_view, 2>{"virtfs", "9pfs"});
     }},
    {XEN_VIRTFS_NODE_READONLY, "", "0", "1 or 0", "the guest can change nothing",
     [](ShareOptions& o, std::string_view text) { return Store(o.server.readonly, ParseFlag(text)); }},
    {XEN_VIRTFS_NODE_ENFORCE, "WHO", "client", "client or server",
     "who checks permissions: the guest's kernel (client), or the host's for the user who attaches (server)",
     [](ShareOptions& o, std::string_view text) {
       return StoreWord(o.server.enforce, text, std::array<std::string_view, 2>{"client", "server"});
     }},
    {XEN_VIRTFS_NODE_UID_MAP, "GUEST:HOST:COUNT[+...]", "none",
     "GUEST:HOST:COUNT with decimal numbers, up to 16 joined by +, none overlapping another",
     "which users of the guest are which users of the host",
     [](ShareOptions& o, std::string_view text) { return Store(o.server.uid_map, ParseIdMap(text)); }},
    {XEN_VIRTFS_NODE_GID_MAP, "GUEST:HOST:COUNT[+...]", "none",
     "GUEST:HOST:COUNT with decimal numbers, up to 16 joined by +, none overlapping another",
     "which groups of the guest are which groups of the host",
     [](ShareOptions& o, std::string_view text) { return Store(o.server.gid_map, ParseIdMap(text)); }},
    {XEN_VIRTFS_NODE_SQUASH, "WHOM", "none", "none, root or all",
     "whose ids become anon-uid and anon-gid: none, root (0) or all",
     [](ShareOptions& o, std::string_view text) {
       return StoreWord(o.server.squash, text, std::array<std::string_view, 3>{"none", "root", "all"});
     }},
    {XEN_VIRTFS_NODE_ANON_UID, "UID", "65534", "a user id of the host from 0 to 4294967294",
     "the host's user for those who are squashed",
     [](ShareOptions& o, std::string_view t) { return SetNumber<&ServerOptions::anon_uid>(o, t, 0, kMaxId); }},
    {XEN_VIRTFS_NODE_ANON_GID, "GID", "65534", "a group id of the host from 0 to 4294967294",
     "the host's group for those who are squashed",
     [](ShareOptions& o, std::string_view t) { return SetNumber<&ServerOptions::anon_gid>(o, t, 0, kMaxId); }},
    {XEN_VIRTFS_NODE_FMODE, "OCTAL", "0600", "octal permissions from 0600 to 0777 that let the owner read and write",
     "permissions of the host's files under the mapped models",
     [](ShareOptions& o, std::string_view text) { return Store(o.server.file_mode, ParsePermissions(text, 0600)); }},
    {XEN_VIRTFS_NODE_DMODE, "OCTAL", "0700", "octal permissions from 0700 to 0777 that let the owner do everything",
     "permissions of the host's directories under the mapped models",
     [](ShareOptions& o, std::string_view text) {
       return Store(o.server.directory_mode, ParsePermissions(text, 0700));
     }},
    {XEN_VIRTFS_NODE_UMASK, "OCTAL", "0", "octal permissions from 0 to 0777",
     "permissions that nothing gets which the guest makes",
     [](ShareOptions& o, std::string_view text) { return Store(o.server.umask, ParsePermissions(text, 0)); }},
    {XEN_VIRTFS_NODE_MULTIDEVS, "HOW", "remap", "remap, forbid or warn",
     "file systems mounted inside: inode numbers made unique (remap), refused (forbid) or taken as they are (warn)",
     [](ShareOptions& o, std::string_view text) {
       return StoreWord(o.server.devices, text, std::array<std::string_view, 3>{"remap", "forbid", "warn"});
     }},
    {XEN_VIRTFS_NODE_MAX_MSIZE, "BYTES", "1048576", "a number of bytes from 4096 to 4194304", "longest message",
     [](ShareOptions& o, std::string_view t) {
       return SetNumber<&ServerOptions::max_msize>(o, t, XEN_VIRTFS_MIN_MSIZE, XEN_VIRTFS_MAX_MSIZE);
     }},
    {XEN_VIRTFS_NODE_MAX_FIDS, "N", "1048576", "a number from 16 to 16777216",
     "files that the guest can refer to at once; a Linux guest does to all that it has cached",
     [](ShareOptions& o, std::string_view t) { return SetNumber<&ServerOptions::max_fids>(o, t, 16, kMaxCount); }},
    {XEN_VIRTFS_NODE_MAX_OPEN_FILES, "N", "4096", "a number from 1 to 1048576", "files that the guest can have open",
     [](ShareOptions& o, std::string_view t) { return SetNumber<&ServerOptions::max_open_files>(o, t, 1, 1 << 20); }},
    {XEN_VIRTFS_NODE_MAX_XATTR_BYTES, "SIZE", "16M", "a size from 64K to 1G, as in 16M",
     "memory for extended attributes that are being read or written",
     [](ShareOptions& o, std::string_view text) {
       return Store(o.server.max_xattr_bytes, ParseSize(text, 64 << 10, 1 << 30));
     }},
    {XEN_VIRTFS_NODE_MAX_LOCKS, "N", "16384", "a number from 1 to 16777216", "byte ranges that the guest can lock",
     [](ShareOptions& o, std::string_view t) { return SetNumber<&ServerOptions::max_locks>(o, t, 1, kMaxCount); }},
    {XEN_VIRTFS_NODE_MAX_REQUESTS, "N", "0", "a number from 0 to 65535",
     "requests that are served at once; 0: as many as the rings hold",
     [](ShareOptions& o, std::string_view t) { return SetNumber<&ServerOptions::max_requests>(o, t, 0, 65535); }},
    {XEN_VIRTFS_NODE_MAX_FILES, "N", "0", "a number from 0 to 9223372036854775807",
     "files and directories in the share; 0: no limit",
     [](ShareOptions& o, std::string_view t) { return SetNumber<&ServerOptions::max_files>(o, t, 0, INT64_MAX); }},
    {XEN_VIRTFS_NODE_MAX_SPACE, "SIZE", "0", "a size, as in 500M or 10G",
     "sizes of all files together, each rounded up to 4K; 0: no limit",
     [](ShareOptions& o, std::string_view text) { return Store(o.server.max_space, ParseSize(text, 0, INT64_MAX)); }},
    {XEN_VIRTFS_NODE_THROTTLE_OPS, "N", "0", "a number from 0 to 1000000000", "requests in a second; 0: no limit",
     [](ShareOptions& o, std::string_view text) {
       return Store(o.server.operations.per_second, ParseNumber(text, 0, 1'000'000'000));
     }},
    {XEN_VIRTFS_NODE_THROTTLE_OPS_BURST, "N", "0", "a number from 0 to 1000000000",
     "requests that may come at once after a pause; 0: as many as in one second",
     [](ShareOptions& o, std::string_view text) {
       return Store(o.server.operations.burst, ParseNumber(text, 0, 1'000'000'000));
     }},
    {XEN_VIRTFS_NODE_THROTTLE_BYTES, "SIZE", "0", "a size of up to 1024T, as in 100M",
     "bytes read and written in a second; 0: no limit",
     [](ShareOptions& o, std::string_view text) {
       return Store(o.server.bytes.per_second, ParseSize(text, 0, uint64_t{1} << 50));
     }},
    {XEN_VIRTFS_NODE_THROTTLE_BYTES_BURST, "SIZE", "0", "a size of up to 1024T, as in 100M",
     "bytes that may come at once after a pause; 0: as many as in one second",
     [](ShareOptions& o, std::string_view text) {
       return Store(o.server.bytes.burst, ParseSize(text, 0, uint64_t{1} << 50));
     }},
};
static_assert(std::size(kOptions) <= 64, "a bit of ShareOptions::given for each");

// (absl's own StrCat does not take std::string_view here.)
std::string Text(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

uint64_t BitOf(const Option& option) { return uint64_t{1} << (&option - kOptions); }

// What an option that was given needs of the others.
struct Need {
  std::string_view name;
  bool (*met)(const ServerOptions&);
  std::string_view sentence;
};

bool IsPassthrough(const ServerOptions& o) { return o.security_model == SecurityModel::kPassthrough; }
bool IsMapped(const ServerOptions& o) {
  return o.security_model == SecurityModel::kMappedXattr || o.security_model == SecurityModel::kMappedFile;
}
bool Squashes(const ServerOptions& o) { return o.squash != Squash::kNone; }

constexpr std::string_view kNeedsMapped =
    "only means something with security_model=mapped-xattr or mapped-file: leave it out, or write one of these";
constexpr std::string_view kNeedsPassthrough =
    "needs the owners of the host's files: write security_model=passthrough, or leave it out";
constexpr std::string_view kNeedsSquash = "is for those who are squashed: write squash=root or squash=all, too";

constexpr Need kNeeds[] = {
    {XEN_VIRTFS_NODE_FMODE, IsMapped, kNeedsMapped},
    {XEN_VIRTFS_NODE_DMODE, IsMapped, kNeedsMapped},
    {XEN_VIRTFS_NODE_ENFORCE, [](const ServerOptions& o) { return o.enforce == Enforce::kClient || IsPassthrough(o); },
     "can be server only where users have rights of their own on the host: write security_model=passthrough, or "
     "enforce=client"},
    {XEN_VIRTFS_NODE_UID_MAP, IsPassthrough, kNeedsPassthrough},
    {XEN_VIRTFS_NODE_GID_MAP, IsPassthrough, kNeedsPassthrough},
    {XEN_VIRTFS_NODE_SQUASH, [](const ServerOptions& o) { return !Squashes(o) || IsPassthrough(o); },
     kNeedsPassthrough},
    {XEN_VIRTFS_NODE_ANON_UID, Squashes, kNeedsSquash},
    {XEN_VIRTFS_NODE_ANON_GID, Squashes, kNeedsSquash},
    {XEN_VIRTFS_NODE_THROTTLE_OPS_BURST, [](const ServerOptions& o) { return o.operations.per_second != 0; },
     "needs a rate: write throttle-ops, too"},
    {XEN_VIRTFS_NODE_THROTTLE_BYTES_BURST, [](const ServerOptions& o) { return o.bytes.per_second != 0; },
     "needs a rate: write throttle-bytes, too"},
};

}  // namespace

std::span<const Option> AllOptions() { return kOptions; }

const Option* FindOption(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kOptions), std::end(kOptions), [&](const Option& option) { return option.name == name; });
  return found == std::end(kOptions) ? nullptr : found;
}

absl::Status SetOption(ShareOptions& options, const Option& option, std::string_view text) {
  if (!option.set(options, text)) {
    return absl::InvalidArgumentError(Text({option.name, "=", text, ": write ", option.values}));
  }
  options.given |= BitOf(option);
  return absl::OkStatus();
}

absl::Status CheckOptions(const ShareOptions& options) {
  for (const Option& option : kOptions) {
    if (!option.initial.empty() || (options.given & BitOf(option)) != 0) continue;
    return absl::InvalidArgumentError(Text({"the share has no ", option.name, ": write ", option.name, "=",
                                            option.argument, ", which is ", option.values}));
  }
  for (const Need& need : kNeeds) {
    if ((options.given & BitOf(*FindOption(need.name))) == 0 || need.met(options.server)) continue;
    return absl::InvalidArgumentError(Text({need.name, " ", need.sentence}));
  }
  return absl::OkStatus();
}

std::string OptionsHelp() {
  std::string help;
  for (const Option& option : kOptions) {
    const bool flag = option.argument.empty();
    help += Text({"  ", option.name, flag ? "" : "=", option.argument, "\n      ", option.help});
    // A flag that is not there is off; what must be said has no default.
    if (!option.initial.empty() && !flag) help += Text({" (default: ", option.initial, ")"});
    help += '\n';
  }
  return help;
}

}  // namespace virtfs::options
