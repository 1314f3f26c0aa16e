#include "frontend/relay/frame_buffer.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "protocol/codec.h"

namespace virtfs::frontend {
namespace {

// Read at once where no frame has begun: many small ones, but little of a large one, which may have to be moved.
constexpr size_t kBulk = size_t{64} * 1024;

uint32_t LoadSize(const uint8_t* bytes) {
  return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

}  // namespace

FrameBuffer::FrameBuffer(uint32_t max_frame)
    : capacity_(2 * size_t{max_frame} + kBulk), bytes_(std::make_unique<uint8_t[]>(capacity_)) {}

std::span<uint8_t> FrameBuffer::Room() {
  size_t wanted = kBulk;
  // The rest of a frame and no more: the next one then begins at the front again.
  if (const size_t there = end_ - next_; there >= sizeof(uint32_t)) {
    const size_t size = LoadSize(bytes_.get() + next_);
    wanted = size > there ? size - there : 0;
  }
  if (capacity_ - end_ < wanted || next_ == end_) Compact();
  return {bytes_.get() + end_, std::min(wanted, capacity_ - end_)};
}

absl::StatusOr<std::span<uint8_t>> FrameBuffer::Next(uint32_t limit) {
  const size_t there = end_ - next_;
  if (there < sizeof(uint32_t)) return std::span<uint8_t>();
  const uint32_t size = LoadSize(bytes_.get() + next_);
  if (size < p9::kHeaderSize || size > limit) {
    return absl::InvalidArgumentError(absl::StrCat("the client sent a message of ", size, " bytes; ", p9::kHeaderSize,
                                                   " to ", limit, " are possible"));
  }
  if (there < size) return std::span<uint8_t>();
  return std::span<uint8_t>(bytes_.get() + next_, size);
}

void FrameBuffer::Hold(size_t size) {
  begin_ = next_;
  held_ = size;
  next_ += size;
}

// Moves the held frame, and what is not taken yet behind it, to the front.
void FrameBuffer::Compact() {
  std::memmove(bytes_.get(), bytes_.get() + begin_, held_);
  begin_ = 0;
  std::memmove(bytes_.get() + held_, bytes_.get() + next_, end_ - next_);
  end_ = held_ + (end_ - next_);
  next_ = held_;
}

}  // namespace virtfs::frontend
