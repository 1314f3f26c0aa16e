#include "base/id_map.h"

#include "gtest/gtest.h"

namespace virtfs {
namespace {

constexpr uint32_t kNoId = 0xffffffff;

TEST(IdMapTest, AnEmptyOneChangesNothing) {
  const IdMap map;
  EXPECT_EQ(map.ToHost(0), 0u);
  EXPECT_EQ(map.ToGuest(0xfffffffe), 0xfffffffeu);
  EXPECT_FALSE(map.ToHost(kNoId));
  EXPECT_FALSE(map.ToGuest(kNoId));
}

TEST(IdMapTest, RangesTranslateBothWaysAndNothingBeside) {
  IdMap map;
  ASSERT_TRUE(map.Add({.guest = 0, .host = 100000, .count = 1000}));
  ASSERT_TRUE(map.Add({.guest = 1000, .host = 1000, .count = 1}));
  EXPECT_EQ(map.ToHost(0), 100000u);
  EXPECT_EQ(map.ToHost(999), 100999u);
  EXPECT_EQ(map.ToHost(1000), 1000u);
  EXPECT_FALSE(map.ToHost(1001));
  EXPECT_EQ(map.ToGuest(100999), 999u);
  EXPECT_EQ(map.ToGuest(1000), 1000u);
  for (const uint32_t host : {0u, 999u, 1001u, 99999u, 101000u, kNoId}) EXPECT_FALSE(map.ToGuest(host)) << host;
}

TEST(IdMapTest, WhatWouldGiveAnIdTwoMeaningsIsRefused) {
  IdMap map;
  ASSERT_TRUE(map.Add({.guest = 100, .host = 500, .count = 10}));
  EXPECT_FALSE(map.Add({.guest = 109, .host = 0, .count = 1}));
  EXPECT_FALSE(map.Add({.guest = 91, .host = 0, .count = 10}));
  EXPECT_FALSE(map.Add({.guest = 0, .host = 509, .count = 1}));
  EXPECT_FALSE(map.Add({.guest = 0, .host = 491, .count = 10}));
  EXPECT_TRUE(map.Add({.guest = 110, .host = 490, .count = 10}));
}

TEST(IdMapTest, NoRangeIsEmptyOrReachesNobody) {
  IdMap map;
  EXPECT_FALSE(map.Add({.guest = 1, .host = 1, .count = 0}));
  EXPECT_FALSE(IdMap().Add({.guest = 1, .host = 0, .count = kNoId}));
  EXPECT_FALSE(IdMap().Add({.guest = 0, .host = kNoId, .count = 1}));
  IdMap whole;
  ASSERT_TRUE(whole.Add({.guest = 0, .host = 0, .count = kNoId}));
  EXPECT_EQ(whole.ToHost(0xfffffffe), 0xfffffffeu);
  EXPECT_FALSE(whole.ToHost(kNoId));
}

TEST(IdMapTest, TheNumberOfRangesIsBounded) {
  IdMap map;
  for (uint32_t i = 0; i < IdMap::kMaxRanges; ++i) ASSERT_TRUE(map.Add({.guest = i, .host = i, .count = 1}));
  EXPECT_FALSE(map.Add({.guest = 1000, .host = 1000, .count = 1}));
}

}  // namespace
}  // namespace virtfs
