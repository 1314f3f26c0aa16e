#include "toolstack/share_spec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "xen/io/virtfs.h"
#include "xenstore/number.h"

namespace virtfs::toolstack {
namespace {

constexpr size_t kMaxTag = 255;

absl::Status Mistake(const std::string& sentence) { return absl::InvalidArgumentError(sentence); }

absl::Status Set(ShareSpec& spec, std::string_view key, std::string_view value, bool has_value) {
  const std::string name(key), text(value);
  if (key.empty()) return Mistake("an option is missing beside a comma: write KEY=VALUE,KEY=VALUE");
  if (key == "readonly") {
    const std::optional<bool> flag = has_value ? xenstore::ParseFlag(value) : true;
    if (!flag) return Mistake(absl::StrCat("readonly=", text, ": write readonly, readonly=1 or readonly=0"));
    spec.readonly = *flag;
    return absl::OkStatus();
  }
  if (!has_value || value.empty()) return Mistake(absl::StrCat(name, " needs a value: write ", name, "=..."));
  if (key == "tag") {
    if (value.size() > kMaxTag ||
        !std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c <= '~'; })) {
      return Mistake("tag: write 1 to 255 printable ASCII characters without blanks");
    }
    spec.tag = text;
  } else if (key == "path") {
    if (value[0] != '/') {
      return Mistake(absl::StrCat("path=", text, " is not absolute: write it from the root on, as in path=/srv/share"));
    }
    spec.path = text;
  } else if (key == "security_model") {
    spec.security_model = text;
  } else if (key == "max-msize") {
    spec.max_msize = xenstore::ParseNumber(value, XEN_VIRTFS_MIN_MSIZE, XEN_VIRTFS_MAX_MSIZE);
    if (!spec.max_msize) {
      return Mistake(absl::StrCat("max-msize=", text, ": write a number of bytes from ", XEN_VIRTFS_MIN_MSIZE, " to ",
                                  XEN_VIRTFS_MAX_MSIZE));
    }
  } else if (key == "devid") {
    spec.devid = xenstore::ParseNumber(value, 0, INT32_MAX);
    if (!spec.devid) return Mistake(absl::StrCat("devid=", text, ": write a number, or leave it out"));
  } else {
    return Mistake(
        absl::StrCat("unknown option ", name, ": there are tag, path, security_model, readonly, max-msize and devid"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ShareSpec> ParseShareSpec(std::string_view text) {
  ShareSpec spec;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const size_t equals = item.find('=');
    const bool has_value = equals != std::string_view::npos;
    const absl::Status set = Set(spec, item.substr(0, equals), has_value ? item.substr(equals + 1) : "", has_value);
    if (!set.ok()) return set;
  }
  if (spec.tag.empty()) return Mistake("the share has no tag: write tag=NAME, which is what the guest mounts");
  if (spec.path.empty()) return Mistake("the share has no path: write path=/the/directory to be shared");
  if (spec.security_model.empty()) return Mistake("the share has no security model: write security_model=passthrough");
  return spec;
}

}  // namespace virtfs::toolstack
