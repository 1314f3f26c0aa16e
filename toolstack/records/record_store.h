// RecordStore: the guests' records on disk, one file UUID.json for each.
//
// A record is there as it was or as it is to be, whatever happens meanwhile: a new file is written beside it, synced,
// renamed over it, and the directory is synced. Success means that it is on the disk.
//
// Errors: a sentence for the operator, with the name of the file.
// Threads: any. Who changes a record holds the guest's GuestLock from Load to Save.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "toolstack/records/record.h"

namespace virtfs::toolstack {

class RecordStore {
 public:
  // The directory is made by the first Save.
  explicit RecordStore(std::string directory) : directory_(std::move(directory)) {}

  // Nothing if there is none. One that is damaged is an error and stays as it is.
  absl::StatusOr<std::optional<Record>> Load(const std::string& uuid) const;
  absl::Status Save(const Record& record) const;
  // Success if there is none.
  absl::Status Remove(const std::string& uuid) const;

  // All of them, by UUID; and a sentence for each that cannot be read.
  struct Listing {
    std::vector<Record> records;
    std::vector<absl::Status> unreadable;
  };
  absl::StatusOr<Listing> All() const;

  const std::string& directory() const { return directory_; }
  // "UUID" of a record's file name; nothing if it is another file.
  static std::optional<std::string> UuidOf(std::string_view file_name);

 private:
  std::string PathOf(const std::string& uuid) const { return directory_ + "/" + uuid + ".json"; }

  std::string directory_;
};

}  // namespace virtfs::toolstack
