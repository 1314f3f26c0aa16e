// A private directory of the host, exported, on a disk file system and on tmpfs. For tests of fsops/host.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "fsops/host/export.h"
#include "fsops/host/local_handle_broker.h"

namespace virtfs::host {

inline PathComponent Name(std::string_view name) { return *PathComponent::Parse(name); }

// Of a Result: 0 if it is ok.
template <typename T>
int ErrorOf(const Result<T>& result) {
  return result ? 0 : result.error().value();
}

// A new directory beneath `parent`, removed with all that is in it.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(std::string parent) : path_(std::move(parent) + "/virtfs-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) abort();
    chmod(path_.c_str(), 0755);
  }
  ~ScratchDirectory() {
    if (system(("rm -rf " + path_).c_str()) != 0) abort();
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline UniqueFd OpenDirectory(const std::string& path, int flags = O_PATH) {
  return UniqueFd(open(path.c_str(), flags | O_DIRECTORY | O_CLOEXEC));
}

inline std::unique_ptr<Export> MakeExport(const std::string& path, HandleBroker& broker, ExportOptions options = {}) {
  return *Export::Make(OpenDirectory(path), OpenDirectory("/proc/self/fd"), broker, options);
}

// The parameter is the directory in which to be: "/tmp", "/dev/shm".
class ExportTest : public ::testing::TestWithParam<const char*> {
 protected:
  ExportTest() : outside_(GetParam()) {
    mkdir(path().c_str(), 0755);
    broker_ = std::make_unique<LocalHandleBroker>(OpenDirectory(path()).get());
    tree_ = MakeExport(path(), *broker_);
  }

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "makes files for others, which takes root";
  }

  // Whether evicted files can come back here.
  bool HandlesWork() {
    const Result<HandleToken> token = tree_->KeepToken(root());
    if (!token) return false;
    const bool works = broker_->Reopen(*token).ok();
    broker_->Drop(*token);
    return works;
  }

  // What is beneath the export's root, and what is beside it, on the host.
  std::string path(const std::string& name = "") const { return outside_.path() + "/export/" + name; }
  std::string beside(const std::string& name) const { return outside_.path() + "/" + name; }

  void Reexport(const ExportOptions& options) {
    tree_.reset();
    tree_ = MakeExport(path(), *broker_, options);
  }

  Inode& root() { return *tree_->root(); }
  Result<Node> Find(std::string_view name) { return tree_->Lookup(root(), Name(name)); }
  InodeRef Get(std::string_view name) { return Find(name)->inode; }

  // Makes an entry, then looks it up.
  Node MakeDirectory(Inode& dir, std::string_view name, uint32_t mode = 0755) {
    const Result<Attributes> made = tree_->MakeDirectory(dir, Name(name), mode, {0, 0});
    EXPECT_EQ(ErrorOf(made), 0);
    return *tree_->Lookup(dir, Name(name));
  }

  static void Write(const std::string& path, std::string_view text, mode_t mode = 0644) {
    const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, mode));
    ASSERT_TRUE(fd.ok()) << path;
    ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  static std::string Read(const std::string& path) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY));
    std::string text(4096, '\0');
    const ssize_t size = read(fd.get(), text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return text;
  }
  static struct stat StatOf(const std::string& path) {
    struct stat stat = {};
    lstat(path.c_str(), &stat);
    return stat;
  }

  ScratchDirectory outside_;
  std::unique_ptr<LocalHandleBroker> broker_;
  std::unique_ptr<Export> tree_;
};

inline std::string FileSystemName(const ::testing::TestParamInfo<const char*>& info) {
  return std::string(info.param) == "/tmp" ? "Disk" : "Tmpfs";
}

#define INSTANTIATE_ON_FILE_SYSTEMS(suite) \
  INSTANTIATE_TEST_SUITE_P(On, suite, ::testing::Values("/tmp", "/dev/shm"), FileSystemName)

}  // namespace virtfs::host
