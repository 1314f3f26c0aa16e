#include "fsops/session/names.h"

#include <memory>

namespace virtfs::session {

NameRef Names::Intern(const host::InodeRef& dir, std::string_view text) {
  std::lock_guard lock(mutex_);
  if (const auto found = listed_.find(Key{dir.get(), text}); found != listed_.end()) {
    ++(*found)->references;
    return NameRef(*found);
  }
  auto name = std::make_unique<Name>(Name{this, dir, std::string(text), 1, true});
  listed_.insert(name.get());
  return NameRef(name.release());
}

void Names::Renamed(host::Inode& from_dir, std::string_view from, const host::InodeRef& to_dir, std::string_view to) {
  host::InodeRef left;  // Given up after the lock: the last reference of an Inode makes system calls.
  std::lock_guard lock(mutex_);
  const auto old = listed_.find(Key{&from_dir, from});
  const auto replaced = listed_.find(Key{to_dir.get(), to});
  if (old != listed_.end() && old == replaced) return;
  if (replaced != listed_.end()) {
    (*replaced)->listed = false;
    listed_.erase(replaced);
  }
  if (old == listed_.end()) return;
  Name* name = *old;
  listed_.erase(old);
  left = std::exchange(name->dir, to_dir);
  name->text = to;
  listed_.insert(name);
}

Place Names::Where(const NameRef& name) {
  std::lock_guard lock(mutex_);
  return {name.name_->dir, *host::PathComponent::Parse(name.name_->text)};
}

size_t Names::size() {
  std::lock_guard lock(mutex_);
  return listed_.size();
}

void Names::Ref(Name* name) {
  std::lock_guard lock(mutex_);
  ++name->references;
}

void Names::Unref(Name* name) {
  std::unique_ptr<Name> last;  // Destroyed after the lock, for the sake of its Inode.
  std::lock_guard lock(mutex_);
  if (--name->references > 0) return;
  if (name->listed) listed_.erase(name);
  last.reset(name);
}

}  // namespace virtfs::session
