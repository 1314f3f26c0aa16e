// FileIo: the one place where a Payload is opened: by the kernel, which moves its bytes between a file and memory that
// may be a guest's, or to be copied from or to private memory. Nothing here looks at the bytes.
//
// Threads: any; calls on one file run at the same time, and overlapping ones mix as pread and pwrite do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/payload.h"
#include "base/result.h"
#include "fsops/host/open_file.h"

namespace virtfs::host {

class FileIo {
 public:
  // How many bytes were read into the beginning of `payload`: fewer than its size at the end of the file, 0 at or
  // behind it. EISDIR: a directory. EBADF: opened for writing only. EINVAL: `offset` beyond 2^63 - 1.
  // One preadv (per 1,024 segments).
  static Result<size_t> ReadInto(OpenFile& file, uint64_t offset, const Payload& payload);

  // How many bytes of `payload` were written; may be fewer than its size, and never 0 unless that is. A file opened for
  // appending ignores `offset`. EBADF: opened for reading only. ENOSPC: ExportOptions::max_space, too; fewer bytes if
  // only some fit. One pwritev (per 1,024 segments), and where space is limited a statx, or two if the file grows.
  static Result<size_t> WriteFrom(OpenFile& file, uint64_t offset, const Payload& payload);

  // For what is no file (extended attributes): copies as much as both have, and returns how much. A guest may change
  // the bytes meanwhile: what is in private memory afterwards is what counts.
  static size_t CopyInto(std::span<const uint8_t> bytes, const Payload& payload);
  static size_t CopyFrom(const Payload& payload, std::span<uint8_t> bytes);
};

}  // namespace virtfs::host
