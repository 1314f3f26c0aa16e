// Names: under which name in which directory the session last saw a file. For Tremove and Trename, whose fid says
// which file is meant but not which of its names.
//
// Fids that came by the same name share one Name, so a rename through any fid is one change here, whatever the number
// of fids and however deep they are. A Name is a hint: hosts rename too, and a walk or a second rename may race with a
// rename. So it is only ever used together with the inode (host::Export::RemoveIfSame, RenameIfSame).
//
// Threads: every method from any thread. One lock, never held over a system call.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/result.h"
#include "fsops/host/inode.h"
#include "fsops/host/path_component.h"

namespace virtfs::session {

class NameRef;

struct Place {
  host::InodeRef dir;
  host::PathComponent name;
};

class Names {
 public:
  Names() = default;
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

  NameRef Intern(const host::InodeRef& dir, std::string_view text);

  // The host has renamed `from` in `from_dir`.
  void Renamed(host::Inode& from_dir, std::string_view from, const host::InodeRef& to_dir, std::string_view to);

  // Where a file of this Name was last. `name` must not be null.
  Place Where(const NameRef& name);

  size_t size();

 private:
  friend class NameRef;

  // One allocation with its text, which begins in what would be padding: 48 bytes of the heap for names of up to
  // 17 bytes. A text that a rename made longer is elsewhere, and a pointer to it stands in the text's place.
  struct Name {
    static Name* Make(Names* names, const host::InodeRef& dir, std::string_view text);
    static void Destroy(Name* name);
    Name(const Name&) = delete;
    Name& operator=(const Name&) = delete;

    std::string_view text() const { return {outside_ ? Outside() : place(), size_}; }
    void set_text(std::string_view text);

    Names* const names;
    host::InodeRef dir;
    uint32_t references = 1;
    bool listed : 1 = true;  // False: something else was renamed over it.
    bool outside_ : 1 = false;

    // The rest is for the above only, and public for the sake of offsetof.
    Name(Names* names, const host::InodeRef& dir, std::string_view text);
    ~Name();
    static size_t PlaceFor(std::string_view text) { return std::max(text.size(), sizeof(char*)); }
    const char* place() const { return reinterpret_cast<const char*>(this) + offsetof(Name, place_); }
    char* place() { return reinterpret_cast<char*>(this) + offsetof(Name, place_); }
    char* Outside() const;

    uint8_t size_;
    uint8_t capacity_;  // Of the place.
    char place_[1];     // And what was allocated behind it.
  };
  struct Key {
    const host::Inode* dir;
    std::string_view text;
    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      // Not the view itself: absl's own string_view is another type, and std's is not known to its hash.
      return H::combine_contiguous(H::combine(std::move(h), key.dir), key.text.data(), key.text.size());
    }
  };
  static Key KeyOf(const Key& key) { return key; }
  static Key KeyOf(const Name* name) { return {name->dir.get(), name->text()}; }
  struct Hash {
    using is_transparent = void;
    size_t operator()(const auto& name) const { return absl::Hash<Key>()(KeyOf(name)); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const auto& a, const auto& b) const { return KeyOf(a) == KeyOf(b); }
  };

  void Ref(Name* name);
  void Unref(Name* name);

  std::mutex mutex_;  // Of everything, the contents and reference counts of the Names included.
  absl::flat_hash_set<Name*, Hash, Equal> listed_;
};

// A share of a Name; null for a file that was reached without one (the root, "..").
class NameRef {
 public:
  NameRef() = default;
  NameRef(const NameRef& other) : name_(other.name_) {
    if (name_ != nullptr) name_->names->Ref(name_);
  }
  NameRef(NameRef&& other) noexcept : name_(std::exchange(other.name_, nullptr)) {}
  NameRef& operator=(NameRef other) noexcept {
    std::swap(name_, other.name_);
    return *this;
  }
  ~NameRef() {
    if (name_ != nullptr) name_->names->Unref(name_);
  }

  explicit operator bool() const { return name_ != nullptr; }

 private:
  friend class Names;
  explicit NameRef(Names::Name* name) : name_(name) {}

  Names::Name* name_ = nullptr;
};

}  // namespace virtfs::session
