// Extended attributes of held files.
#include <linux/limits.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "fsops/host/export_fixture.h"

namespace virtfs::host {
namespace {

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// "trusted." is what every type of file and every file system under test has.
class XattrsTest : public ExportTest {
 protected:
  int Set(Inode& inode, std::string_view name, std::string_view value, XattrMode mode = XattrMode::kEither) {
    return ErrorOf(tree_->SetXattr(inode, name, Bytes(value), mode));
  }
};
INSTANTIATE_ON_FILE_SYSTEMS(XattrsTest);

TEST_P(XattrsTest, OfEveryTypeOfFile) {
  MakeDirectory(root(), "d");
  Write(path("f"), "text");
  ASSERT_EQ(symlink("f", path("l").c_str()), 0);
  ASSERT_EQ(mknod(path("p").c_str(), S_IFIFO | 0600, 0), 0);
  ASSERT_EQ(mknod(path("c").c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  for (const char* name : {"d", "f", "l", "p", "c"}) {
    SCOPED_TRACE(name);
    const InodeRef inode = Get(name);
    const std::string value = std::string("of \0", 4) + name;
    ASSERT_EQ(Set(*inode, "trusted.a", value), 0);
    EXPECT_EQ(*tree_->GetXattr(*inode, "trusted.a"), value);
    EXPECT_EQ(*tree_->ListXattr(*inode), std::string("trusted.a\0", 10));
    // The host agrees, and of the symlink that it is the symlink's own.
    char bytes[16];
    EXPECT_EQ(lgetxattr(path(name).c_str(), "trusted.a", bytes, sizeof(bytes)), static_cast<ssize_t>(value.size()));
    EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*inode, "trusted.a")), 0);
    EXPECT_EQ(ErrorOf(tree_->GetXattr(*inode, "trusted.a")), ENODATA);
    EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*inode, "trusted.a")), ENODATA);
    EXPECT_EQ(*tree_->ListXattr(*inode), "");
  }
  EXPECT_EQ(Set(*Get("l"), "user.a", ""), EPERM);
}

TEST_P(XattrsTest, NewOrThereAsAskedFor) {
  Write(path("f"), "");
  const InodeRef f = Get("f");
  EXPECT_EQ(Set(*f, "trusted.a", "1", XattrMode::kReplace), ENODATA);
  EXPECT_EQ(Set(*f, "trusted.a", "2", XattrMode::kCreate), 0);
  EXPECT_EQ(Set(*f, "trusted.a", "3", XattrMode::kCreate), EEXIST);
  EXPECT_EQ(*tree_->GetXattr(*f, "trusted.a"), "2");
  EXPECT_EQ(Set(*f, "trusted.a", "", XattrMode::kReplace), 0);
  EXPECT_EQ(*tree_->GetXattr(*f, "trusted.a"), "");
}

TEST_P(XattrsTest, OfAnUnlinkedOpenFile) {
  Write(path("f"), "");
  const InodeRef f = Get("f");
  const auto open = *tree_->Open(*f, {});
  ASSERT_EQ(ErrorOf(tree_->Unlink(root(), Name("f"))), 0);
  EXPECT_EQ(Set(*f, "trusted.a", "value"), 0);
  EXPECT_EQ(*tree_->GetXattr(*f, "trusted.a"), "value");
  EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*f, "trusted.a")), 0);
}

TEST_P(XattrsTest, NamesAreChecked) {
  const std::string longest = "trusted." + std::string(XATTR_NAME_MAX - 8, 'n');
  EXPECT_EQ(Set(root(), longest, "v"), 0);
  EXPECT_EQ(*tree_->GetXattr(root(), longest), "v");
  for (const auto& [name, error] : {std::pair<std::string, int>{"", ERANGE},
                                    {longest + "n", ERANGE},
                                    {std::string("trusted.a\0b", 11), EINVAL},
                                    {"nonsense", EOPNOTSUPP}}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(Set(root(), name, "v"), error);
    EXPECT_EQ(ErrorOf(tree_->GetXattr(root(), name)), error);
    EXPECT_EQ(ErrorOf(tree_->RemoveXattr(root(), name)), error);
  }
}

TEST_P(XattrsTest, ValuesAndListsOfEverySize) {
  // ext4 has room for one block of them only.
  const bool roomy = std::string(GetParam()) != "/tmp";
  EXPECT_EQ(Set(root(), "trusted.a", std::string(XATTR_SIZE_MAX + 1, 'x')), E2BIG);
  std::vector<size_t> sizes = {0, 1, 3000};
  if (roomy) sizes.insert(sizes.end(), {4096, 4097, XATTR_SIZE_MAX});
  for (const size_t size : sizes) {
    const std::string value(size, 'x');
    ASSERT_EQ(Set(root(), "trusted.a", value), 0) << size;
    EXPECT_EQ(*tree_->GetXattr(root(), "trusted.a"), value);
  }
  if (!roomy) return;
  std::string list;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "trusted." + std::to_string(i) + std::string(200, 'n');
    ASSERT_EQ(Set(root(), name, ""), 0);
    list += name + '\0';
  }
  EXPECT_GT(tree_->ListXattr(root())->size(), list.size());
}

TEST_P(XattrsTest, AValueThatChangesMeanwhileIsReadWhole) {
  Write(path("f"), "");
  const InodeRef f = Get("f");
  const std::string small(10, 's');
  const std::string large(std::string(GetParam()) == "/tmp" ? 3500 : 60000, 'l');
  ASSERT_EQ(Set(*f, "trusted.a", small), 0);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 2000; ++i) EXPECT_EQ(Set(*f, "trusted.a", i % 2 == 0 ? large : small), 0);
    done = true;
  });
  while (!done) {
    const Result<std::string> value = tree_->GetXattr(*f, "trusted.a");
    ASSERT_EQ(ErrorOf(value), 0);
    ASSERT_TRUE(*value == small || *value == large);
  }
  writer.join();
}

TEST_P(XattrsTest, NothingChangesInAReadOnlyExport) {
  ASSERT_EQ(Set(root(), "trusted.a", "v"), 0);
  Reexport({.readonly = true});
  EXPECT_EQ(Set(root(), "trusted.a", "w"), EROFS);
  EXPECT_EQ(ErrorOf(tree_->RemoveXattr(root(), "trusted.a")), EROFS);
  EXPECT_EQ(*tree_->GetXattr(root(), "trusted.a"), "v");
}

}  // namespace
}  // namespace virtfs::host
