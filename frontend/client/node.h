// Node: one file, directory or symlink of a tree, which is the guest's own or a share; what copying and comparing need.
//
// Symlinks are never followed: a node that is one is the link itself.
//
// Errors: the Errno of the guest's kernel, or of the share's server.
// Threads: a directory's methods from any thread; a reader, a writer or another node from one at a time.
// Trust: whatever a share says about its files is its server's word. Names have been checked to be single components.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace virtfs::frontend {

struct Time {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;

  friend bool operator==(const Time&, const Time&) = default;
};

struct Attributes {
  uint32_t mode = 0;  // With the type: S_IFREG ...
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t nlink = 0;
  uint64_t size = 0;
  uint64_t inode = 0;
  Time atime;
  Time mtime;
  Time ctime;
};

// The content of a file, from its beginning.
class Reader {
 public:
  virtual ~Reader() = default;
  // The next bytes, valid until the next call; none at the end.
  virtual Result<std::span<const uint8_t>> Next() = 0;
};

class Writer {
 public:
  virtual ~Writer() = default;
  virtual Result<void> Append(std::span<const uint8_t> bytes) = 0;
  // When all is written: gives the file the mode and times of `like`.
  virtual Result<void> Finish(const Attributes& like) = 0;
};

class Node {
 public:
  virtual ~Node() = default;

  virtual Result<Attributes> Stat() = 0;
  // Gives it the times of `like`, and unless it is a symlink its mode.
  virtual Result<void> Become(const Attributes& like) = 0;
  virtual Result<std::string> ReadLink() = 0;
  // Of a regular file. `expected`: its probable size. Once for each node.
  virtual Result<std::unique_ptr<Reader>> Read(uint64_t expected) = 0;

  // The rest is for directories.

  // Names but "." and "..", in no order.
  virtual Result<std::vector<std::string>> List() = 0;
  // May succeed for a name that does not exist; Stat then says so.
  virtual Result<std::unique_ptr<Node>> Child(const std::string& name) = 0;
  // A directory that only its owner may use; EEXIST if there is anything of that name.
  virtual Result<void> MakeDirectory(const std::string& name) = 0;
  virtual Result<void> MakeSymlink(const std::string& name, const std::string& target) = 0;
  // An empty regular file; an existing one is emptied. ELOOP or EEXIST if a symlink is in the way.
  virtual Result<std::unique_ptr<Writer>> MakeFile(const std::string& name) = 0;
  virtual Result<void> Remove(const std::string& name, bool directory) = 0;
};

}  // namespace virtfs::frontend
