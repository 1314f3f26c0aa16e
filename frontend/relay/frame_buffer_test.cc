#include "frontend/relay/frame_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace virtfs::frontend {
namespace {

constexpr uint32_t kMax = 100'000;

std::vector<uint8_t> Frame(uint32_t size, uint8_t fill) {
  std::vector<uint8_t> frame(size, fill);
  for (size_t i = 0; i < 4; ++i) frame[i] = static_cast<uint8_t>(size >> (8 * i));
  return frame;
}

// Reads from `stream` at most `size` bytes, as a socket would give them. False: no room, or nothing left.
bool Read(FrameBuffer& buffer, std::span<const uint8_t>& stream, size_t size) {
  const std::span<uint8_t> room = buffer.Room();
  size = std::min({size, room.size(), stream.size()});
  if (size == 0) return false;
  std::memcpy(room.data(), stream.data(), size);
  buffer.Filled(size);
  stream = stream.subspan(size);
  return true;
}

TEST(FrameBufferTest, AStreamIsCutIntoItsFramesHoweverItComes) {
  std::mt19937 random(7);
  for (const uint32_t largest : {40U, 5'000U, kMax}) {
    for (const size_t chunk : {1U, 3U, 4'096U, 1'000'000U}) {
      std::vector<std::vector<uint8_t>> frames;
      std::vector<uint8_t> bytes;
      while (bytes.size() < (chunk < 10 ? 30'000 : 500'000)) {
        frames.push_back(Frame(7 + random() % (largest - 6), static_cast<uint8_t>(frames.size())));
        bytes.insert(bytes.end(), frames.back().begin(), frames.back().end());
      }
      FrameBuffer buffer(kMax);
      std::span<const uint8_t> stream(bytes);
      size_t next = 0;   // Of frames, to be seen.
      size_t held = 0;   // One beyond that frame's number.
      size_t taken = 0;  // Behind the held one.
      const auto check_held = [&] {
        ASSERT_TRUE(std::ranges::equal(buffer.held(), held > 0 ? frames[held - 1] : std::vector<uint8_t>()));
      };
      while (next < frames.size()) {
        const auto frame = buffer.Next(kMax);
        ASSERT_TRUE(frame.ok()) << frame.status();
        if (frame->empty()) {
          // As long as none is held there is always room for more.
          if (!Read(buffer, stream, chunk)) {
            ASSERT_GT(held, 0U) << "frame " << next << " of " << frames.size();
            buffer.DropHeld();
            held = 0;
          }
          check_held();
          continue;
        }
        ASSERT_TRUE(std::ranges::equal(*frame, frames[next]));
        ++next;
        if (held == 0 && random() % 4 == 0) {
          buffer.Hold(frame->size());
          held = next;
          taken = 0;
        } else {
          buffer.Take(frame->size());
          if (held > 0 && ++taken == 20) {
            buffer.DropHeld();
            held = 0;
          }
        }
        check_held();
      }
      EXPECT_FALSE(buffer.partial());
    }
  }
}

TEST(FrameBufferTest, BytesThatAreNoFrameAreNamed) {
  for (const uint32_t size : {0U, 6U, 101U, 0xffffffffU}) {
    FrameBuffer buffer(100);
    std::vector<uint8_t> bytes = Frame(7, 1);
    for (size_t i = 0; i < 4; ++i) bytes[i] = static_cast<uint8_t>(size >> (8 * i));
    std::span<const uint8_t> stream(bytes);
    ASSERT_TRUE(Read(buffer, stream, 4));
    EXPECT_EQ(buffer.Next(100).status().code(), absl::StatusCode::kInvalidArgument) << size;
  }
}

}  // namespace
}  // namespace virtfs::frontend
