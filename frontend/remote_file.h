// RemoteReader, RemoteWriter, ReadDirectory: whole files and directories of a share, with many requests in flight.
//
// Errors: the Errno of the first request that failed. Threads: one at a time each.
// Trust: contents, names and counts are the server's; a directory entry's name is checked to be a single component.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "frontend/p9_client.h"

namespace virtfs::frontend {

// How much is asked for ahead.
struct Pipeline {
  uint32_t chunk = 128 * 1024;  // Bytes of one request; P9Client::max_data() bounds it.
  uint32_t depth = 4;           // Requests at once.
};

// Reads an open file from its beginning to its end.
class RemoteReader {
 public:
  // `expected`: how long the file probably is. What was read up to there is the end if the server says no more.
  RemoteReader(P9Client& client, p9::Fid fid, uint64_t expected, const Pipeline& pipeline);
  ~RemoteReader();

  // The next bytes, valid until the next call; none at the end.
  Result<std::span<const uint8_t>> Next();

 private:
  struct Slot;

  void Ask();

  P9Client& client_;
  const p9::Fid fid_;
  const uint64_t expected_;
  const uint32_t chunk_;
  std::vector<std::unique_ptr<Slot>> slots_;  // Round robin.
  uint64_t asked_ = 0;                        // Everything before this offset is asked for.
  uint64_t read_ = 0;                         // Everything before this was given out.
  size_t next_ = 0;                           // The slot whose turn it is.
  size_t in_flight_ = 0;
};

// Writes an open file from its beginning.
class RemoteWriter {
 public:
  RemoteWriter(P9Client& client, p9::Fid fid, const Pipeline& pipeline);
  ~RemoteWriter();

  // Takes a copy. An error may be that of an earlier piece.
  Result<void> Append(std::span<const uint8_t> bytes);
  // Waits until the server has everything.
  Result<void> Finish();

 private:
  struct Slot;

  Result<void> Send();
  Result<void> Await(Slot& slot);

  P9Client& client_;
  const p9::Fid fid_;
  const uint32_t chunk_;
  const size_t depth_;
  std::vector<std::unique_ptr<Slot>> slots_;
  uint64_t offset_ = 0;  // Of the piece that is being gathered.
  size_t next_ = 0;
};

struct RemoteEntry {
  std::string name;
  uint8_t type;  // DT_*
};

// All entries of an open directory but "." and "..", in the server's order.
Result<std::vector<RemoteEntry>> ReadDirectory(P9Client& client, p9::Fid fid);

}  // namespace virtfs::frontend
