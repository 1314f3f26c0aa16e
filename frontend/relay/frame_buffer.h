// FrameBuffer: cuts a byte stream into 9P frames. A fixed piece of memory that the stream is read into; frames are used
// where they lie. One frame that cannot be used yet can be held, and those behind it looked at.
//
//     | held frame | frames already taken | next ... | what is not read yet |
//
// Threads: one at a time. Trust: the stream's bytes are anybody's; a frame is no more than size[4] and so many bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"

namespace virtfs::frontend {

class FrameBuffer {
 public:
  // For frames of at most `max_frame` bytes, one held beside.
  explicit FrameBuffer(uint32_t max_frame);

  // Where to put what is read next; empty as long as a held frame is in the way. Spans of frames are void afterwards.
  std::span<uint8_t> Room();
  void Filled(size_t size) { end_ += size; }

  // The next frame, if it is whole; else an empty span. An error: the stream's bytes are no frame of at most `limit`
  // bytes, and nothing behind them can be one.
  absl::StatusOr<std::span<uint8_t>> Next(uint32_t limit);
  // Whether the stream ended within a frame.
  bool partial() const { return end_ != next_; }

  // Done with the frame that Next returned.
  void Take(size_t size) { next_ += size; }
  // Keeps it, and goes on behind it. Only if none is held.
  void Hold(size_t size);

  // The frame held; empty if there is none.
  std::span<uint8_t> held() { return {bytes_.get() + begin_, held_}; }
  void DropHeld() { held_ = 0; }

  void Clear() { begin_ = held_ = next_ = end_ = 0; }

 private:
  void Compact();

  const size_t capacity_;
  const std::unique_ptr<uint8_t[]> bytes_;
  size_t begin_ = 0;  // Of the held frame.
  size_t held_ = 0;   // Its size.
  size_t next_ = 0;   // The next frame's beginning.
  size_t end_ = 0;    // Of what was read.
};

}  // namespace virtfs::frontend
