#include "fsops/host/users.h"

#include <algorithm>
#include <utility>

namespace virtfs::host {
namespace {

uint64_t NextGeneration() {
  static std::atomic<uint64_t> last = 0;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

// Whom this thread acts for. Generation 0: nobody yet.
struct Acting {
  uint64_t generation = 0;
  uint32_t uid = kNoId;
  std::shared_ptr<const User> user;
};
thread_local Acting acting;

}  // namespace

Users::Users(UserDatabase& database, const std::optional<Owner>& anonymous)
    : database_(database), anonymous_(anonymous), generation_(NextGeneration()) {}

Result<Users::UserPtr> Users::Read(uint32_t uid) {
  if (anonymous_ && anonymous_->uid == uid) {
    return std::make_shared<const User>(User{.gid = anonymous_->gid, .groups = {anonymous_->gid}});
  }
  Result<User> user = database_.Find(uid);
  if (!user) return user.error();
  return std::make_shared<const User>(*std::move(user));
}

Result<void> Users::Refresh(uint32_t uid) {
  // Not under the lock: the database may be far away.
  Result<UserPtr> fresh = Read(uid);
  if (!fresh) return fresh.error();
  const std::lock_guard lock(mutex_);
  const auto known = known_.find(uid);
  if (known != known_.end()) {
    if (*known->second == **fresh) return {};
    known_.erase(known);
  }
  // Any other makes room; if he is still active he is asked for again.
  if (known_.size() >= kMaxUsers) known_.erase(known_.begin());
  known_.emplace(uid, *std::move(fresh));
  // Also for one who was not known: he may have been forgotten while a thread still acts for him.
  generation_ = NextGeneration();
  return {};
}

Result<Users::UserPtr> Users::Get(uint32_t uid) {
  for (bool again = false;; again = true) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto known = known_.find(uid); known != known_.end()) return known->second;
    }
    // Crowded out before it could be used: that many users come at once.
    if (again) return Errno(EAGAIN);
    if (Result<void> read = Refresh(uid); !read) return read.error();
  }
}

Result<void> Users::Assume(uint32_t uid) {
  const uint64_t generation = generation_.load(std::memory_order_acquire);
  if (acting.generation == generation && acting.uid == uid) return {};
  if (uid == kNoId) return Errno(EINVAL);
  Result<UserPtr> user = Get(uid);
  if (!user) return user.error();
  acting.generation = 0;
  if (Result<void> assumed = AssumeUser({.uid = uid, .gid = (*user)->gid}, (*user)->groups); !assumed) return assumed;
  acting = {.generation = generation, .uid = uid, .user = *std::move(user)};
  return {};
}

uint32_t Users::GroupOfNew(uint32_t gid) {
  if (acting.user == nullptr) return gid;
  const bool his = acting.uid == 0 || std::binary_search(acting.user->groups.begin(), acting.user->groups.end(), gid);
  return his ? gid : acting.user->gid;
}

}  // namespace virtfs::host
