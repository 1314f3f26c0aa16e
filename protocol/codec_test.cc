#include "protocol/codec.h"

#include <gtest/gtest.h>
namespace virtfs::p9 {
TEST(CodecTest, EncodesDecodesAndVisits) {
  uint8_t b[100];
  size_t n = Encode(7, Twalk{.fid = 1, .newfid = 2, .wname = {"ab", "c"}}, b);
  ASSERT_EQ(n, 7 + 4 + 4 + 2 + 4 + 3u);
  auto r = VisitRequest(std::span<const uint8_t>(b, n), [](const auto& m) { return (int)m.kType; });
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(*r, 110);
  auto v = VisitMessage(std::span<const uint8_t>(b, n), [](const auto&) {});
  ASSERT_TRUE(v.ok());
  EXPECT_EQ(*Decode<Twalk>({b, n}), (Twalk{.fid = 1, .newfid = 2, .wname = {"ab", "c"}}));
  EXPECT_EQ(HeadSize(118, 1000), 23u);
}
}  // namespace virtfs::p9
