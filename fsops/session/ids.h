// Ids: users and groups of the guest as users and groups of the host, and back: ranges (IdMap), and those who are
// squashed into one.
//
// A session keeps the host's ids only; the guest's are translated where they come in (Tattach, the gid of what is made,
// Tsetattr, ACLs) and go out (Rgetattr, ACLs).
//
// Errors: EOVERFLOW: an id that shall own something and has no counterpart on the host (as of a mount with mapped ids).
// Threads: any; it never changes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fsops/host/credentials.h"
#include "fsops/session/options.h"

namespace virtfs::session {

class Ids {
 public:
  // What those of the host appear as that no user of the guest is; and as whom those of the guest act that no user of
  // the host is.
  static constexpr uint32_t kNobody = 65534;

  explicit Ids(const IdOptions& options) : options_(options) {}

  // Who acts for the guest's user; none: nobody, who can own nothing.
  std::optional<uint32_t> Acting(uint32_t guest_uid) const;
  // Who has a group of his own and no other, if anyone: the squashed.
  std::optional<host::Owner> Anonymous() const;

  // For what is to be owned.
  Result<uint32_t> HostUid(uint32_t guest) const;
  Result<uint32_t> HostGid(uint32_t guest) const;

  // Of what is owned.
  uint32_t GuestUid(uint32_t host) const { return options_.uids.ToGuest(host).value_or(kNobody); }
  uint32_t GuestGid(uint32_t host) const { return options_.gids.ToGuest(host).value_or(kNobody); }

  // The value of a POSIX ACL (system.posix_acl_access, system.posix_acl_default), whose entries name users and groups.
  // What is no such value stays as it is: the kernel refuses it.
  static bool IsAcl(std::string_view attribute);
  Result<std::string> AclForHost(std::string_view value) const;
  std::string AclForGuest(std::string_view value) const;

 private:
  bool IsSquashed(uint32_t guest) const {
    return options_.squash == IdOptions::Squash::kAll || (options_.squash == IdOptions::Squash::kRoot && guest == 0);
  }

  const IdOptions options_;
};

}  // namespace virtfs::session
