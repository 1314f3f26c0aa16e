// What a file is (Attributes), what shall change about it (AttributeChange), and how full its file system is.
//
// Plain values in the host kernel's units; no 9P here.
#pragma once

#include <cstdint>
#include <optional>

namespace virtfs::host {

struct Time {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;

  friend bool operator==(const Time&, const Time&) = default;
};

struct Attributes {
  uint64_t dev = 0;  // of the file system, as makedev(3) packs it; with `ino` it is unique on this host while held
  uint64_t ino = 0;
  uint32_t mode = 0;  // type and permissions
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t nlink = 0;
  uint64_t rdev = 0;  // of a device node, as makedev(3) packs it
  uint64_t size = 0;
  uint64_t block_size = 0;
  uint64_t blocks = 0;  // of 512 bytes
  Time atime;
  Time mtime;
  Time ctime;
  std::optional<Time> birth;  // where the file system knows it
};

struct TimeChange {
  enum class Kind : uint8_t { kKeep, kNow, kSet };
  Kind kind = Kind::kKeep;
  Time time = {};  // of kSet; nanoseconds below 10^9, else EINVAL
};

// Absent means "as it is".
struct AttributeChange {
  std::optional<uint32_t> mode = {};  // permissions; the type bits are ignored
  std::optional<uint32_t> uid = {};   // 0xffffffff: EINVAL
  std::optional<uint32_t> gid = {};
  std::optional<uint64_t> size = {};
  TimeChange atime = {};
  TimeChange mtime = {};
  bool touch_ctime = false;  // ctime becomes now even if nothing else is asked for
};

struct FileSystemStatus {
  uint32_t type = 0;        // f_type, the magic number
  uint32_t block_size = 0;  // unit of the three below
  uint64_t blocks = 0;
  uint64_t free_blocks = 0;
  uint64_t available_blocks = 0;
  uint64_t files = 0;
  uint64_t free_files = 0;
  uint64_t id = 0;
  uint32_t max_name = 0;
};

}  // namespace virtfs::host
