#include "fsops/session/ids.h"

#include <array>
#include <cerrno>
#include <cstddef>

namespace virtfs::session {
namespace {

// Linux's posix_acl_xattr: version[4], then entries of tag[2] perm[2] id[4], all little-endian.
constexpr size_t kAclHead = 4;
constexpr size_t kAclEntry = 8;
constexpr size_t kAclId = 4;  // in an entry
constexpr uint32_t kAclVersion = 2;
constexpr uint32_t kAclUser = 0x02;
constexpr uint32_t kAclGroup = 0x08;

uint32_t Load(std::string_view bytes, size_t at, size_t size) {
  uint32_t value = 0;
  for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

void StoreId(std::string& bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < sizeof(value); ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}

bool IsWellFormed(std::string_view acl) {
  return acl.size() >= kAclHead && (acl.size() - kAclHead) % kAclEntry == 0 && Load(acl, 0, 4) == kAclVersion;
}

// Calls `translate(is a user's, id)` for the id of each entry that has one and stores what it returns.
template <typename Translate>
Result<std::string> TranslateAcl(std::string_view acl, Translate translate) {
  std::string result(acl);
  if (!IsWellFormed(acl)) return result;
  for (size_t at = kAclHead; at < acl.size(); at += kAclEntry) {
    const uint32_t tag = Load(acl, at, 2);
    if (tag != kAclUser && tag != kAclGroup) continue;
    const Result<uint32_t> id = translate(tag == kAclUser, Load(acl, at + kAclId, 4));
    if (!id) return id.error();
    StoreId(result, at + kAclId, *id);
  }
  return result;
}

Result<uint32_t> OrOverflow(std::optional<uint32_t> id) {
  if (!id) return Errno(EOVERFLOW);
  return *id;
}

}  // namespace

std::optional<uint32_t> Ids::Acting(uint32_t guest_uid) const {
  return IsSquashed(guest_uid) ? options_.anon_uid : options_.uids.ToHost(guest_uid);
}

std::optional<host::Owner> Ids::Anonymous() const {
  if (options_.squash == IdOptions::Squash::kNone) return std::nullopt;
  return host::Owner{.uid = options_.anon_uid, .gid = options_.anon_gid};
}

Result<uint32_t> Ids::HostUid(uint32_t guest) const { return OrOverflow(Acting(guest)); }

Result<uint32_t> Ids::HostGid(uint32_t guest) const {
  return OrOverflow(IsSquashed(guest) ? options_.anon_gid : options_.gids.ToHost(guest));
}

bool Ids::IsAcl(std::string_view attribute) {
  return attribute == "system.posix_acl_access" || attribute == "system.posix_acl_default";
}

Result<std::string> Ids::AclForHost(std::string_view value) const {
  return TranslateAcl(value, [this](bool user, uint32_t id) { return user ? HostUid(id) : HostGid(id); });
}

std::string Ids::AclForGuest(std::string_view value) const {
  return *TranslateAcl(value,
                       [this](bool user, uint32_t id) { return Result<uint32_t>(user ? GuestUid(id) : GuestGid(id)); });
}

}  // namespace virtfs::session
