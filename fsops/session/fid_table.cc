#include "fsops/session/fid_table.h"

namespace virtfs::session {

FidTable::Change::~Change() {
  if (table_ == nullptr) return;
  std::lock_guard lock(table_->mutex_);
  before_.state_->changing_ = false;
}

void FidTable::Change::Commit(std::unique_ptr<FidState> after) && {
  FidRef replaced;  // Given up after the lock, as it may close a file.
  std::lock_guard lock(table_->mutex_);
  const auto entry = table_->states_.find(before_.state_->fid_);
  if (entry != table_->states_.end() && *entry == before_.state_) {
    replaced = Take(table_->states_, entry);
    table_->Put(before_.state_->fid_, std::move(after));
  }
  table_ = nullptr;
}

Result<FidRef> FidTable::Find(p9::Fid fid) {
  std::lock_guard lock(mutex_);
  const auto entry = states_.find(fid);
  if (entry == states_.end()) return Errno(EBADF);
  if (Result<void> file = CheckFile(**entry); !file.ok()) return file.error();
  return FidRef(*entry);
}

Result<FidRef> FidTable::FindOpened(p9::Fid fid) {
  std::lock_guard lock(mutex_);
  const auto entry = states_.find(fid);
  if (entry == states_.end()) return Errno(EBADF);
  if (!(*entry)->inode) return Errno(ESTALE);
  if ((*entry)->opened == nullptr) return Errno(EBADF);
  return FidRef(*entry);
}

Result<void> FidTable::CheckFile(const FidState& state) {
  if (!state.inode) return Errno(ESTALE);
  if (state.opened != nullptr && state.opened->xattr != nullptr) return Errno(EINVAL);
  return {};
}

bool FidTable::Has(p9::Fid fid, const FidRef& state) {
  std::lock_guard lock(mutex_);
  const auto entry = states_.find(fid);
  return entry != states_.end() && *entry == state.state_;
}

Result<void> FidTable::Insert(p9::Fid fid, std::unique_ptr<FidState> state) {
  if (fid == p9::kNoFid) return Errno(EINVAL);
  std::lock_guard lock(mutex_);
  if (states_.contains(fid)) return Errno(EBADF);
  if (states_.size() >= limit_) return Errno(ENFILE);
  Put(fid, std::move(state));
  return {};
}

Result<FidTable::Change> FidTable::BeginChange(p9::Fid fid) {
  std::lock_guard lock(mutex_);
  const auto entry = states_.find(fid);
  if (entry == states_.end()) return Errno(EBADF);
  if (Result<void> file = CheckFile(**entry); !file.ok()) return file.error();
  if ((*entry)->changing_) return Errno(EBUSY);
  (*entry)->changing_ = true;
  return Change(this, FidRef(*entry));
}

Result<FidRef> FidTable::Remove(p9::Fid fid) {
  std::lock_guard lock(mutex_);
  const auto entry = states_.find(fid);
  if (entry == states_.end()) return Errno(EBADF);
  FidRef removed = Take(states_, entry);
  Count();
  return removed;
}

void FidTable::Clear() {
  States states;
  {
    std::lock_guard lock(mutex_);
    states.swap(states_);
    Count();
  }
  for (FidState* state : states) {
    FidRef entry;
    entry.state_ = state;
  }
}

size_t FidTable::size() {
  std::lock_guard lock(mutex_);
  return states_.size();
}

std::vector<std::pair<p9::Fid, FidRef>> FidTable::Snapshot() {
  std::lock_guard lock(mutex_);
  std::vector<std::pair<p9::Fid, FidRef>> all;
  all.reserve(states_.size());
  for (FidState* state : states_) all.emplace_back(state->fid_, FidRef(state));
  return all;
}

FidRef FidTable::Take(States& states, States::iterator entry) {
  FidRef taken;
  taken.state_ = *entry;
  states.erase(entry);
  return taken;
}

void FidTable::Put(p9::Fid fid, std::unique_ptr<FidState> state) {
  state->fid_ = fid;
  state->references_.store(1, std::memory_order_relaxed);
  states_.insert(state.release());
  Count();
}

}  // namespace virtfs::session
