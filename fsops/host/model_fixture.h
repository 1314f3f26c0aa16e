// An export under a mapped security model, on the disk (tmpfs has "user." attributes since Linux 6.6 only). For tests
// of fsops/host.
#pragma once

#include <gtest/gtest.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fsops/host/export_fixture.h"

namespace virtfs::host {

class ModelTest : public ::testing::TestWithParam<SecurityModel> {
 protected:
  explicit ModelTest(const std::string& parent = "/tmp") : outside_(parent) {
    mkdir(path().c_str(), 0755);
    broker_ = std::make_unique<LocalHandleBroker>(OpenDirectory(path()).get());
    Reexport();
  }

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "opens files by handles, which takes root";
  }

  // What is beneath the export's root, on the host.
  std::string path(const std::string& name = "") const { return outside_.path() + "/export/" + name; }

  // What is seen afterwards is what was kept on the disk. InodeRefs of before stay valid, and of the old Export.
  void Reexport(ExportOptions options = {}) {
    options.model = GetParam();
    earlier_.push_back(std::move(tree_));
    tree_ = MakeExport(path(), *broker_, options);
  }

  Inode& root() { return *tree_->root(); }
  InodeRef Get(std::string_view name) { return tree_->Lookup(root(), Name(name))->inode; }
  Attributes Stat(Inode& inode) { return *tree_->Stat(inode); }
  // Of a new lookup.
  Attributes Stat(std::string_view name) { return tree_->Lookup(root(), Name(name))->attributes; }

  InodeRef MakeFile(std::string_view name, uint32_t mode = 0640, const Owner& owner = {1000, 1001}) {
    Result<CreatedFile> made =
        tree_->Create(root(), Name(name), {.access = Access::kReadWrite, .exclusive = true}, mode, owner);
    EXPECT_EQ(ErrorOf(made), 0);
    return made->node.inode;
  }
  InodeRef MakeDirectory(std::string_view name, uint32_t mode = 0750, const Owner& owner = {1000, 1001}) {
    EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name(name), mode, owner)), 0);
    return Get(name);
  }

  // Names, "." and ".." aside, and types.
  std::map<std::string, mode_t> List(Inode& dir, size_t buffer_size = 4096) {
    std::map<std::string, mode_t> names;
    const auto open = *tree_->Open(dir, {});
    for (uint64_t cookie = 0;;) {
      bool any = false;
      const auto visit = [&](const DirectoryEntry& entry) {
        any = true;
        cookie = entry.cookie;
        if (entry.name != "." && entry.name != "..") names[std::string(entry.name)] = entry.type;
        return true;
      };
      EXPECT_EQ(ErrorOf(open->ReadDirectory(cookie, buffer_size, visit)), 0);
      if (!any) return names;
    }
  }

  struct stat HostStat(const std::string& name) const {
    struct stat stat = {};
    EXPECT_EQ(lstat(path(name).c_str(), &stat), 0) << name;
    return stat;
  }
  void Write(const std::string& name, std::string_view text) const {
    const UniqueFd fd(open(path(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    ASSERT_TRUE(fd.ok()) << name;
    ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  std::string Read(const std::string& name) const {
    const UniqueFd fd(open(path(name).c_str(), O_RDONLY));
    std::string text(4096, '\0');
    const ssize_t size = read(fd.get(), text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return text;
  }

  ScratchDirectory outside_;
  std::unique_ptr<LocalHandleBroker> broker_;
  std::vector<std::unique_ptr<Export>> earlier_;
  std::unique_ptr<Export> tree_;
};

inline std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline std::string ModelName(const ::testing::TestParamInfo<SecurityModel>& info) {
  return info.param == SecurityModel::kMappedXattr ? "MappedXattr" : "MappedFile";
}

}  // namespace virtfs::host
