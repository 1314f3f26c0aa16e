#include "fsops/session/names.h"

#include <cstring>
#include <new>

namespace virtfs::session {

NameRef Names::Intern(const host::InodeRef& dir, std::string_view text) {
  std::lock_guard lock(mutex_);
  if (const auto found = listed_.find(Key{dir.get(), text}); found != listed_.end()) {
    ++(*found)->references;
    return NameRef(*found);
  }
  Name* const name = Name::Make(this, dir, text);
  listed_.insert(name);
  return NameRef(name);
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
  name->set_text(to);
  listed_.insert(name);
}

Place Names::Where(const NameRef& name) {
  std::lock_guard lock(mutex_);
  return {name.name_->dir, *host::PathComponent::Parse(name.name_->text())};
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
  {
    const std::lock_guard lock(mutex_);
    if (--name->references > 0) return;
    if (name->listed) listed_.erase(name);
  }
  Name::Destroy(name);  // Not under the lock, for the sake of its Inode.
}

Names::Name* Names::Name::Make(Names* names, const host::InodeRef& dir, std::string_view text) {
  const size_t size = std::max(sizeof(Name), offsetof(Name, place_) + PlaceFor(text));
  return new (::operator new(size)) Name(names, dir, text);
}

void Names::Name::Destroy(Name* name) {
  name->~Name();
  ::operator delete(name);
}

Names::Name::Name(Names* names, const host::InodeRef& dir, std::string_view text)
    : names(names),
      dir(dir),
      size_(static_cast<uint8_t>(text.size())),
      capacity_(static_cast<uint8_t>(PlaceFor(text))) {
  std::memcpy(place(), text.data(), text.size());
}

Names::Name::~Name() {
  if (outside_) delete[] Outside();
}

void Names::Name::set_text(std::string_view text) {
  if (outside_) delete[] Outside();
  outside_ = text.size() > capacity_;
  size_ = static_cast<uint8_t>(text.size());
  if (outside_) {
    char* const copy = new char[text.size()];
    std::memcpy(copy, text.data(), text.size());
    std::memcpy(place(), &copy, sizeof copy);
  } else {
    std::memcpy(place(), text.data(), text.size());
  }
}

char* Names::Name::Outside() const {
  char* text;
  std::memcpy(&text, place(), sizeof text);
  return text;
}

}  // namespace virtfs::session
