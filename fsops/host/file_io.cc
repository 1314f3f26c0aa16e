#include "fsops/host/file_io.h"

#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "fsops/host/usage.h"

namespace virtfs::host {
namespace {

constexpr size_t kMaxSegments = IOV_MAX;

// The first segments of a list, `size` bytes together, as one system call takes them.
class Batch {
 public:
  // From `segments` on, at most `size` bytes, which they hold.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): copy_ is set where it is needed.
  Batch(std::span<const iovec> segments, size_t size) {
    size_t count = 0;
    while (count < segments.size() && count < kMaxSegments && segments[count].iov_len <= size - size_) {
      size_ += segments[count++].iov_len;
    }
    whole_ = count;
    list_ = segments.first(count);
    if (size_ == size || count == segments.size() || count == kMaxSegments) return;

    // The last one is cut.
    std::copy_n(segments.begin(), count + 1, copy_.begin());
    copy_[count].iov_len = size - size_;
    size_ = size;
    list_ = std::span(copy_).first(count + 1);
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  const iovec* data() const { return list_.data(); }
  int count() const { return static_cast<int>(list_.size()); }
  size_t size() const { return size_; }
  size_t whole() const { return whole_; }  // how many segments are in it uncut

 private:
  std::span<const iovec> list_;
  size_t size_ = 0;
  size_t whole_ = 0;
  std::array<iovec, kMaxSegments> copy_;
};

// Calls `transfer(segments, count, offset)` until `size` bytes are moved, or it moves fewer than it was asked to.
template <typename Transfer>
Result<size_t> MoveAll(std::span<const iovec> segments, size_t size, uint64_t offset, Transfer transfer) {
  if (offset > INT64_MAX) return Errno(EINVAL);
  size_t done = 0;
  while (done < size) {
    const Batch batch(segments, size - done);
    if (batch.size() == 0) break;  // nothing but empty segments: the list was shorter than it said
    const ssize_t moved = transfer(batch.data(), batch.count(), static_cast<off_t>(offset + done));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && done == 0) return Errno::Last();
    if (moved < 0) break;  // what was moved is reported; the error comes again with the rest
    done += static_cast<size_t>(moved);
    if (static_cast<size_t>(moved) < batch.size()) break;
    segments = segments.subspan(batch.whole());
  }
  return done;
}

// Calls `copy(segment, at, size)` for the segments that hold the first `size` bytes.
template <typename Copy>
size_t CopyAll(std::span<const iovec> segments, size_t size, Copy copy) {
  size_t done = 0;
  for (const iovec& segment : segments) {
    const size_t piece = std::min(segment.iov_len, size - done);
    if (piece > 0) copy(segment.iov_base, done, piece);
    done += piece;
  }
  return done;
}

}  // namespace

Result<size_t> FileIo::ReadInto(OpenFile& file, uint64_t offset, const Payload& payload) {
  if (file.is_directory()) return Errno(EISDIR);
  if (file.flags().access == Access::kWrite) return Errno(EBADF);
  return MoveAll(payload.segments_, payload.size_, offset, [&](const iovec* segments, int count, off_t at) {
    return preadv2(file.fd_.get(), segments, count, at, 0);
  });
}

Result<size_t> FileIo::WriteFrom(OpenFile& file, uint64_t offset, const Payload& payload) {
  if (!file.flags().writes()) return Errno(EBADF);
  const int fd = file.fd_.get();
  const auto write = [&](size_t size) {
    return MoveAll(payload.segments_, size, offset,
                   [&](const iovec* segments, int count, off_t at) { return pwritev2(fd, segments, count, at, 0); });
  };
  Usage* const usage = file.inode().usage();
  const std::optional<uint64_t> place = file.flags().append ? std::nullopt : std::optional(offset);
  Result<size_t> written = usage != nullptr && usage->limits_space()
                               ? usage->Write(fd, file.inode().key(), place, payload.size_, write)
                               : write(payload.size_);
  // A client would try for ever.
  if (written && *written == 0 && payload.size_ > 0) return Errno(EIO);
  return written;
}

size_t FileIo::CopyInto(std::span<const uint8_t> bytes, const Payload& payload) {
  return CopyAll(payload.segments_, std::min(payload.size_, bytes.size()),
                 [&](void* segment, size_t at, size_t size) { memcpy(segment, bytes.data() + at, size); });
}

size_t FileIo::CopyFrom(const Payload& payload, std::span<uint8_t> bytes) {
  return CopyAll(payload.segments_, std::min(payload.size_, bytes.size()),
                 [&](const void* segment, size_t at, size_t size) { memcpy(bytes.data() + at, segment, size); });
}

}  // namespace virtfs::host
