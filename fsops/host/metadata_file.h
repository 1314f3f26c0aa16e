// Metadata files: where the mapped-file model keeps what it keeps of a file, as QEMU does.
//
//     DIRECTORY/.virtfs_metadata/NAME    of DIRECTORY/NAME; a regular file of lines "virtfs.uid=N", .gid, .mode, .rdev
//     ROOT/.virtfs_metadata_root         of the root itself
//
// N is decimal; QEMU writes it as a signed number of 32 bits. Whatever else is in such a file is not ours.
//
// Functions on held directories; who calls them sees to it that nobody else of this process is at the same file.
// Trust: the host may have put anything there. No symlink is followed; at most 4 KiB are read; nothing blocks; what is
// no regular file counts as no metadata when read, and is an error when it would be written. (A device would be opened:
// the export's mount is nodev.)
// Internal to fsops/host.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "fsops/host/mapping.h"
#include "fsops/host/path_component.h"

namespace virtfs::host {

inline constexpr const char* kMetadataDirectory = ".virtfs_metadata";
inline constexpr const char* kRootMetadata = ".virtfs_metadata_root";

// Which metadata file, relative to the directory of the file's own name.
class MetadataPath {
 public:
  static MetadataPath OfRoot() { return MetadataPath(kRootMetadata); }
  explicit MetadataPath(const PathComponent& name)
      : text_(std::string(kMetadataDirectory).append("/").append(name.view())) {}

  const char* c_str() const { return text_.c_str(); }

 private:
  explicit MetadataPath(const char* text) : text_(text) {}

  std::string text_;
};

Kept ParseMetadata(std::string_view text);
std::string FormatMetadata(const Kept& kept);

// openat2, preadv2, close.
Kept LoadMetadata(int dir, const MetadataPath& path);
// In the place of what may be there, which may be shared with another name.
Result<void> CreateMetadata(int dir, const PathComponent& name, const Kept& kept);
// For all names that share it, and by one write: a crash leaves the old or the new.
Result<void> UpdateMetadata(int dir, const MetadataPath& path, const Kept& change);
// Also if there is none.
Result<void> RemoveMetadata(int dir, const PathComponent& name);

// Renames of two names of a directory's metadata, and shares: what `to` has is set aside, `to` shares that of `from`.
class MetadataMove {
 public:
  MetadataMove(int from_dir, const PathComponent& from, int to_dir, const PathComponent& to)
      : from_dir_(from_dir), from_(from), to_dir_(to_dir), to_(to) {}

  // ENOENT is none: `from` has none, and afterwards `to` has none either.
  Result<void> Prepare();
  // The file itself has got the name `to`; its old name is gone where `moved`.
  void Commit(bool moved);
  // It has not.
  void Undo();

 private:
  Result<void> Share(int from, int to);

  const int from_dir_;
  const PathComponent& from_;
  const int to_dir_;
  const PathComponent& to_;
  bool aside_ = false;
  bool shared_ = false;
};

// Removes the metadata of directory `dir`, opened for reading, if the guest sees nothing else in it (ENOTEMPTY).
Result<void> PurgeMetadata(int dir);

}  // namespace virtfs::host
