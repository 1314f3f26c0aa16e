#include "fsops/host/handle_store.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <map>
#include <random>
#include <string>

#include "base/sanitizer.h"

namespace virtfs::host {
namespace {

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
std::string Text(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

TEST(HandleStoreTest, KeepsEachUntilItIsErased) {
  HandleStore store;
  const HandleToken a = *store.Add({3, 1, 8}, Bytes("handle-a"));
  const HandleToken b = *store.Add({3, 1, 8}, Bytes("handle-b"));
  const HandleToken same = *store.Add({3, 1, 8}, Bytes("handle-a"));
  EXPECT_NE(a, same);
  EXPECT_EQ(Text(store.Find(a)->handle), "handle-a");
  EXPECT_EQ(store.Find(b)->kind, (HandleKind{3, 1, 8}));
  EXPECT_TRUE(store.Erase(a));
  EXPECT_FALSE(store.Erase(a));
  EXPECT_FALSE(store.Find(a));
  EXPECT_EQ(store.size(), 2u);
  // In the same record, but not by the same token.
  const HandleToken c = *store.Add({3, 1, 8}, Bytes("handle-c"));
  EXPECT_FALSE(store.Find(a));
  EXPECT_EQ(Text(store.Find(c)->handle), "handle-c");
  EXPECT_EQ(Text(store.Find(same)->handle), "handle-a");
}

TEST(HandleStoreTest, NumbersThatAreNoTokensFindNothing) {
  HandleStore store;
  EXPECT_FALSE(store.Find(HandleToken{0}));
  const auto token = static_cast<uint64_t>(*store.Add({3, 1, 2}, Bytes("ab")));
  for (int bit = 0; bit < 64; ++bit) EXPECT_FALSE(store.Find(HandleToken{token ^ uint64_t{1} << bit})) << bit;
  EXPECT_FALSE(store.Find(HandleToken{~uint64_t{0}}));
  EXPECT_FALSE(store.Erase(HandleToken{~uint64_t{0}}));
  EXPECT_EQ(store.size(), 1u);
}

// Against a map, with handles of several mounts, types and lengths from none to the longest.
TEST(HandleStoreTest, DoesAsAMapDoes) {
  const HandleKind kinds[] = {{3, 1, 0}, {3, 1, 3}, {3, 1, 8}, {4, 1, 8}, {3, 0x81, 12}, {3, 0x4d, 40}, {5, 1, 128}};
  HandleStore store;
  std::map<HandleToken, std::pair<HandleKind, std::string>> model;
  std::mt19937 random(1);
  for (int step = 0; step < 200'000; ++step) {
    if (random() % 5 < 3 || model.empty()) {
      const HandleKind& kind = kinds[random() % std::size(kinds)];
      std::string handle(kind.bytes, '\0');
      for (char& c : handle) c = static_cast<char>(random());
      const HandleToken token = *store.Add(kind, Bytes(handle));
      ASSERT_TRUE(model.emplace(token, std::pair(kind, handle)).second);
    } else {
      auto entry = model.lower_bound(HandleToken{uint64_t{random()} << 32 | random()});
      if (entry == model.end()) entry = model.begin();
      const auto found = store.Find(entry->first);
      ASSERT_TRUE(found);
      ASSERT_EQ(found->kind, entry->second.first);
      ASSERT_EQ(Text(found->handle), entry->second.second);
      if (random() % 2 == 0) {
        ASSERT_TRUE(store.Erase(entry->first));
        model.erase(entry);
      }
    }
    ASSERT_EQ(store.size(), model.size());
  }
}

#if !VIRTFS_SANITIZED
TEST(HandleStoreTest, TakesTenBytesForAHandleOfEight) {
  constexpr size_t kHandles = 1'000'000;
  const auto in_use = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  const size_t before = in_use();
  HandleStore store;
  for (size_t i = 0; i < kHandles; ++i) ASSERT_TRUE(store.Add({3, 1, 8}, Bytes("12345678")));
  EXPECT_LE((in_use() - before) / kHandles, 10u);
}
#endif

}  // namespace
}  // namespace virtfs::host
