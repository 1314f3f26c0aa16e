#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace virtfs {
namespace {

TEST(ResultTest, HoldsAValueOrAnErrno) {
  Result<std::unique_ptr<int>> good = std::make_unique<int>(7);
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(**good, 7);
  std::unique_ptr<int> moved = *std::move(good);
  EXPECT_EQ(*moved, 7);

  Result<std::unique_ptr<int>> bad = Errno(ENOTEMPTY);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error(), Errno(ENOTEMPTY));
}

TEST(ResultTest, VoidIsSuccessUnlessGivenAnError) {
  EXPECT_TRUE(Result<void>().ok());
  EXPECT_EQ(Result<void>(Errno(EROFS)).error().value(), EROFS);
}

}  // namespace
}  // namespace virtfs
