#include "backend/transport_virtfs/chain.h"

#include <gtest/gtest.h>

#include <vector>

namespace virtfs::backend {
namespace {

constexpr uint16_t kMore = XEN_VIRTFSF_MORE;
constexpr uint16_t kWrite = XEN_VIRTFSF_WRITE;

Slot Read(uint16_t offset = 0, uint16_t size = 0) {
  return {.gref = 1, .offset = offset, .flags = 0, .id = 0, .size = size};
}
Slot Write(uint16_t offset = 0, uint16_t size = 0) {
  return {.gref = 2, .offset = offset, .flags = kWrite, .id = 0, .size = size};
}

// Sets MORE as a frontend does, and parses.
int16_t Parse(std::vector<Slot> slots, Chain& chain, bool sized = true) {
  for (size_t i = 0; i + 1 < slots.size(); ++i) slots[i].flags |= kMore;
  return ParseChain(slots, sized, chain);
}
int16_t Parse(std::vector<Slot> slots, bool sized = true) {
  Chain chain;
  return Parse(std::move(slots), chain, sized);
}

TEST(Chain, EverySplitOfEveryLength) {
  for (size_t length = 2; length <= 252; ++length) {
    for (size_t reads = 1; reads < length; ++reads) {
      std::vector<Slot> slots(reads, Read());
      slots.resize(length, Write());
      Chain chain;
      ASSERT_EQ(Parse(slots, chain), XEN_VIRTFS_STATUS_OKAY);
      ASSERT_EQ(chain.read.size(), reads);
      ASSERT_EQ(chain.write.size(), length - reads);
      ASSERT_EQ(chain.read_size, 4096 * reads);
      ASSERT_EQ(chain.capacity, 4096 * (length - reads));
    }
  }
}

TEST(Chain, EveryOffsetAndSize) {
  Chain chain;
  for (uint32_t offset = 0; offset <= 4100; ++offset) {
    for (uint32_t size : {0u, 1u, 2u, 7u, 11u, 100u, 4095u, 4096u, 4097u, 65535u, 4096 - offset, 4097 - offset}) {
      const Slot slot = Write(static_cast<uint16_t>(offset), static_cast<uint16_t>(size));
      const auto sent = static_cast<uint32_t>(slot.size);
      const bool inside = offset < 4096 && (sent == 0 || offset + sent <= 4096);
      const int16_t status = Parse({Read(), Write(0, 11), slot}, chain);
      ASSERT_EQ(status, inside ? XEN_VIRTFS_STATUS_OKAY : XEN_VIRTFS_STATUS_BAD_EXTENT) << offset << "+" << sent;
      const uint32_t rest = 4096 - offset;
      if (inside) {
        ASSERT_EQ(chain.write[1], (Extent{2, slot.offset, static_cast<uint16_t>(sent == 0 ? rest : sent)}));
      }

      // Without `version` the size is not looked at.
      const int16_t unsized = Parse({Read(), Write(), slot}, chain, false);
      ASSERT_EQ(unsized, offset < 4096 ? XEN_VIRTFS_STATUS_OKAY : XEN_VIRTFS_STATUS_BAD_EXTENT);
      if (offset < 4096) {
        ASSERT_EQ(chain.capacity, 4096 + rest);
      }
    }
  }
}

TEST(Chain, EveryFlagsValue) {
  for (uint32_t flags = 0; flags <= 0xffff; ++flags) {
    Slot slot = Read();
    slot.flags = static_cast<uint16_t>(flags);
    const std::vector<Slot> slots = {slot, Write()};
    Chain chain;
    int16_t expected = XEN_VIRTFS_STATUS_OKAY;
    if ((flags & ~3u) != 0) {
      expected = XEN_VIRTFS_STATUS_BAD_FLAGS;
    } else if ((flags & kWrite) != 0) {
      expected = XEN_VIRTFS_STATUS_BAD_ORDER;
    }
    ASSERT_EQ(ParseChain(slots, true, chain), expected) << flags;
  }
}

TEST(Chain, LeastSizes) {
  for (uint16_t capacity = 1; capacity <= 20; ++capacity) {
    for (uint16_t request = 1; request <= 20; ++request) {
      int16_t expected = XEN_VIRTFS_STATUS_OKAY;
      if (capacity < 11) {
        expected = XEN_VIRTFS_STATUS_NO_ROOM;
      } else if (request < 7) {
        expected = XEN_VIRTFS_STATUS_SHORT_REQUEST;
      }
      EXPECT_EQ(Parse({Read(0, request), Write(0, capacity)}), expected);
      EXPECT_EQ(Parse({Read(0, request), Write(4096 - capacity)}), expected);
    }
  }
  // In pieces of one byte.
  EXPECT_EQ(Parse({Read(1, 1), Read(2, 1), Read(3, 1), Read(4, 1), Read(5, 1), Read(6, 1), Read(7, 1), Write()}),
            XEN_VIRTFS_STATUS_OKAY);
}

TEST(Chain, TheFirstStatusInTheOrderOfTheSpecification) {
  Slot odd = Read(5000);
  odd.flags = 0x8000;
  EXPECT_EQ(Parse({Write(), odd}), XEN_VIRTFS_STATUS_BAD_FLAGS);
  EXPECT_EQ(Parse({Write(5000), Read()}), XEN_VIRTFS_STATUS_BAD_ORDER);
  EXPECT_EQ(Parse({Read(), Write(), Read(), Write()}), XEN_VIRTFS_STATUS_BAD_ORDER);
  EXPECT_EQ(Parse({Write()}), XEN_VIRTFS_STATUS_BAD_ORDER);
  EXPECT_EQ(Parse({Read(0, 1), Write(4096)}), XEN_VIRTFS_STATUS_BAD_EXTENT);
  EXPECT_EQ(Parse({Read(0, 1)}), XEN_VIRTFS_STATUS_NO_ROOM);
  EXPECT_EQ(Parse({Read(0, 6), Write()}), XEN_VIRTFS_STATUS_SHORT_REQUEST);
}

}  // namespace
}  // namespace virtfs::backend
