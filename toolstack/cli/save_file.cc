#include "toolstack/cli/save_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "toolstack/records/record.h"

namespace virtfs::toolstack {
namespace {

constexpr std::string_view kMagic("Xen saved domain, xl format\n \0 \r", 32);
constexpr uint32_t kByteOrder = 0x01020304;
constexpr uint32_t kJson = 1;  // of mandatory_flags: the configuration is JSON
constexpr size_t kMaxHead = 1 << 20;

struct Head {
  uint32_t byteorder;
  uint32_t mandatory_flags;
  uint32_t optional_flags;
  uint32_t optional_data_len;
  uint32_t config_len;
};

absl::Status Bad(const std::string& path, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat(path, " is no file of `xl save`: ", why));
}

}  // namespace

absl::StatusOr<SavedGuest> ParseSaveFile(const std::string& path, std::string_view head) {
  if (!head.starts_with(kMagic)) return Bad(path, "it does not begin like one");
  head.remove_prefix(kMagic.size());
  Head fields{};
  if (head.size() < sizeof(fields)) return Bad(path, "it ends too soon");
  memcpy(&fields, head.data(), sizeof(fields));
  head.remove_prefix(sizeof(fields));
  if (fields.byteorder != kByteOrder) return Bad(path, "it is of a machine with another byte order");
  if ((fields.mandatory_flags & kJson) == 0) return Bad(path, "it has no configuration of the guest");
  if (fields.optional_data_len < sizeof(fields.config_len) ||
      fields.config_len > fields.optional_data_len - sizeof(fields.config_len) || fields.config_len > head.size()) {
    return Bad(path, "it ends too soon");
  }
  head = head.substr(0, fields.config_len);
  while (head.ends_with('\0')) head.remove_suffix(1);
  const nlohmann::json config = nlohmann::json::parse(head, nullptr, /*allow_exceptions=*/false);
  const auto text = [&](const char* key) -> std::string {
    if (!config.is_object() || !config.contains("c_info")) return "";
    const nlohmann::json& guest = config["c_info"];
    if (!guest.is_object() || !guest.contains(key) || !guest[key].is_string()) return "";
    return guest[key].get<std::string>();
  };
  SavedGuest guest{.name = text("name"), .uuid = absl::AsciiStrToLower(text("uuid"))};
  if (!IsUuid(guest.uuid)) return Bad(path, "its configuration does not say the guest's UUID");
  return guest;
}

absl::StatusOr<SavedGuest> ReadSaveFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string head(file.ok() ? kMaxHead : 0, '\0');
  size_t size = 0;
  ssize_t step = file.ok() ? 1 : -1;
  while (step > 0 && size < head.size()) {
    step = read(file.get(), head.data() + size, head.size() - size);
    if (step > 0) size += static_cast<size_t>(step);
  }
  if (step < 0) return absl::UnavailableError(absl::StrCat("cannot read ", path, ": ", strerror(errno)));
  head.resize(size);
  return ParseSaveFile(path, head);
}

}  // namespace virtfs::toolstack
