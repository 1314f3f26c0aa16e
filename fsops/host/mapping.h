// Mapping: where a mapped security model keeps what its guest believes about files: their owners, permissions, types
// and device numbers. On the host all of them belong to the server and have one mode, directories another.
//
// What is neither a directory nor a regular file for the guest is a regular file on the host that stands for it: a
// symlink's holds the target, others are empty. What the host itself has put there (files of which nothing is kept,
// symlinks, FIFOs) shows as it is.
//
// Trust: what is kept was written by this server or by another program of the host (QEMU), in a tree that the host may
// change at any time; whatever makes no sense counts as not kept. The guest cannot get at it.
// Errors: the kernel's. Threads: every method from any thread. Internal to fsops/host.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "base/result.h"
#include "fsops/host/attributes.h"
#include "fsops/host/inode.h"
#include "fsops/host/path_component.h"

namespace virtfs::host {

enum class SecurityModel : uint8_t;

// Absent: as the host has it; of a change: as it was.
struct Kept {
  std::optional<uint32_t> uid = {};
  std::optional<uint32_t> gid = {};
  std::optional<uint32_t> mode = {};  // with the type
  std::optional<uint64_t> rdev = {};  // as makedev(3) packs it

  // `attributes`, the host's, become the guest's. Only a regular file can stand for another type.
  void Overlay(Attributes& attributes) const;
  // This after `change`.
  Kept With(const Kept& change) const;
};

// A name in a held directory.
struct Place {
  Inode& dir;
  int fd;  // of `dir`
  const PathComponent& name;
};

class Mapping {
 public:
  // One system call that changes names.
  using Change = absl::FunctionRef<Result<void>()>;

  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  virtual ~Mapping() = default;

  // --- attributes ---

  // The guest's attributes of a held file.
  virtual Result<Attributes> Stat(Inode& inode, int fd) = 0;
  // Keeps another owner or mode.
  virtual Result<void> Set(Inode& inode, int fd, const Kept& change) = 0;

  // What is kept of a file that was just found at `place`, under a lock of Reading; `fd`: its O_PATH descriptor.
  virtual Kept Read(int fd, const Attributes& host, const Place& place) = 0;
  // `inode` is at `place`, and `kept` is kept of it.
  virtual void Saw(Inode& /*inode*/, const Place& /*place*/, const Kept& /*kept*/) {}
  // `inode` is about to be destroyed.
  virtual void Forget(Inode& /*inode*/) {}

  // --- names ---

  // No file of the guest can have such a name; what has it on the host is hidden.
  virtual bool Reserves(std::string_view /*name*/) const { return false; }
  // While it lives this server changes no name in `dir`, and nothing that is kept of what is there.
  virtual std::shared_lock<std::shared_mutex> Reading(const Inode& /*dir*/) { return {}; }

  // Each makes `change` and has what is kept follow; nothing has changed if it fails.

  // `change` makes the file `born`, on whose descriptor it calls Stamp before anybody can see the file.
  virtual Result<void> Make(const Place& /*at*/, const Kept& /*born*/, Change change) { return change(); }
  virtual Result<void> Stamp(int /*fd*/, const Kept& /*born*/) { return {}; }
  virtual Result<void> Link(Inode& /*file*/, int /*fd*/, const Place& /*to*/, Change change) { return change(); }
  virtual Result<void> Rename(const Place& /*from*/, const Place& /*to*/, Change change) { return change(); }
  virtual Result<void> Remove(const Place& /*at*/, bool /*directory*/, Change change) { return change(); }

  // --- extended attributes ---

  // The host's name of the guest's attribute `name`; else the error of asking for it, or of changing it.
  virtual Result<std::string> XattrName(std::string_view name, bool change) const = 0;
  // The guest's name of the host's attribute, empty if it is hidden.
  virtual std::string_view GuestXattrName(std::string_view name) const = 0;
};

// Null: the model has none. `root`: O_PATH descriptor of the tree's top.
Result<std::unique_ptr<Mapping>> MakeMapping(SecurityModel model, int root);

}  // namespace virtfs::host
