#include "backend/link/broker_service.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <span>
#include <utility>

namespace virtfs::link {

Result<uint64_t> MountIdOf(int fd) {
  struct statx st;
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) != 0) return Errno::Last();
  if ((st.stx_mask & STATX_MNT_ID) == 0) return Errno(ENOSYS);
  return uint64_t{st.stx_mnt_id};
}

Result<host::HandleToken> BrokerService::Keep(int fd) {
  const Result<uint64_t> mount_id = MountIdOf(fd);
  if (!mount_id.ok()) return mount_id.error();
  if (*mount_id != mount_id_) return Errno(EXDEV);
  return broker_.Keep(fd);
}

Result<void> BrokerService::Serve(int link, Packet packet) {
  if (auto keep = packet.As<link::Keep>()) {
    Kept kept{.sequence = keep->sequence};
    for (const UniqueFd& fd : packet.TakeFds()) {
      Kept::One& one = kept.files[kept.count++];
      const Result<host::HandleToken> token = Keep(fd.get());
      if (token.ok()) {
        one.token = static_cast<uint64_t>(*token);
      } else {
        one.error = token.error().value();
      }
    }
    return Send(link, kept, -1, Wait::kNo);
  }
  if (auto reopen = packet.As<Reopen>()) {
    Reopened reopened{.sequence = reopen->sequence};
    UniqueFd fd;
    Result<UniqueFd> opened = broker_.Reopen(host::HandleToken{reopen->token});
    if (opened.ok()) {
      fd = *std::move(opened);
    } else {
      reopened.error = opened.error().value();
    }
    return Send(link, reopened, fd.get(), Wait::kNo);
  }
  if (auto drop = packet.As<Drop>()) {
    if (drop->count > Drop::kMaxTokens) return Errno(EPROTO);
    for (const uint64_t token : std::span(drop->tokens).first(drop->count)) broker_.Drop(host::HandleToken{token});
    return {};
  }
  if (auto find = packet.As<FindUser>(); find && users_ != nullptr) {
    FoundUser found{.sequence = find->sequence};
    const Result<host::User> user = users_->Find(find->uid);
    if (!user.ok()) {
      found.error = user.error().value();
    } else if (user->groups.size() > found.groups.size()) {
      found.error = EOVERFLOW;
    } else {
      found.gid = user->gid;
      found.count = static_cast<uint32_t>(user->groups.size());
      std::copy(user->groups.begin(), user->groups.end(), found.groups.begin());
    }
    return Send(link, found, -1, Wait::kNo);
  }
  return Errno(EPROTO);
}

}  // namespace virtfs::link
