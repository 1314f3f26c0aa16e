// A work tree of half a million files, in a guest with 2 GiB that caches all it can: find, du and git status, and what
// the server takes for the fids that the guest's kernel then holds.
//
// Part of ./dev test full.

#include <dirent.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

#include "tests/linux/linux_host.h"

namespace virtfs {
namespace {

using std::chrono::minutes;

constexpr size_t kMaxBytesPerFid = 300;

// The one server of a keeper with one share.
int ServerOf(int keeper) {
  const std::string tasks = "/proc/" + std::to_string(keeper) + "/task/";
  int server = -1;
  if (DIR* directory = opendir(tasks.c_str())) {
    while (const dirent* task = readdir(directory)) {
      std::ifstream children(tasks + task->d_name + "/children");
      for (int child; children >> child;) server = child;
    }
    closedir(directory);
  }
  if (server < 0) ADD_FAILURE() << "the keeper has no server";
  return server;
}

// The number behind `line` in a file of a process's.
size_t NumberIn(int pid, const std::string& file, std::string_view line) {
  std::ifstream lines("/proc/" + std::to_string(pid) + "/" + file);
  for (std::string text; std::getline(lines, text);) {
    if (text.rfind(line, 0) == 0) return std::stoul(text.substr(text.find_first_of("0123456789", line.size())));
  }
  ADD_FAILURE() << "no " << line << " of process " << pid;
  return 0;
}

size_t MemoryOf(int pid) { return NumberIn(pid, "smaps_rollup", "Pss_Anon:") * 1024; }

size_t DescriptorsOf(int pid) {
  size_t count = 0;
  if (DIR* descriptors = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str())) {
    while (readdir(descriptors) != nullptr) ++count;
    closedir(descriptors);
  }
  return count - 2;
}

// Says at once, for whoever waits, how long something took.
class Timed {
 public:
  explicit Timed(std::string what) : what_(std::move(what)) {}
  ~Timed() {
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start_;
    printf("%-12s %7.1f s\n", what_.c_str(), taken.count());
    fflush(stdout);
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  const std::string what_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class LinuxScale : public testing::TestWithParam<int> {};

TEST_P(LinuxScale, FindDuAndGitStatus) {
  const std::string files = std::to_string(GetParam());
  auto host = LinuxHost::Start({.memory = "2G", .disk = "64M"});
  ASSERT_NE(host, nullptr);
  const std::string directory = host->Directory("tree");
  ASSERT_TRUE(host->Share("tree", directory, "security_model=passthrough"));
  // On this machine: in the guest it would take ten times as long, and is no part of what is to be seen.
  {
    const Timed timed("making it");
    const std::string made = host->RunHere(
        "/bin/bash " + RealPath("tests/linux/guest/many_files.sh") + " " + directory + " " + files, minutes(30));
    ASSERT_EQ(made, "made\n");
  }

  const std::string mounted = "mount_share tree /virtfs/tree cache=loose,msize=262144\ncd /virtfs/tree\n";
  ASSERT_EQ(host->guest().Run(mounted, minutes(1)).status, 0);
  const int keeper = host->keeper().pid(), server = ServerOf(keeper);
  const size_t before = MemoryOf(server) + MemoryOf(keeper);

  const auto run = [&](const std::string& what, const std::string& script, const std::string& expected) {
    const Timed timed(what);
    const LinuxGuest::Outcome outcome = host->guest().Run("cd /virtfs/tree\n" + script, minutes(90));
    EXPECT_EQ(outcome.status, 0) << what << ": " << outcome.errors;
    EXPECT_EQ(outcome.output, expected) << what << ": " << outcome.errors;
  };
  run("find", "find . -path ./.git -prune -o -type f -print | wc -l", files + "\n");
  run("du", "du -s --apparent-size --exclude=.git . | awk '{ print ($1 > 0) }'", "1\n");
  run("git status", "git config --global safe.directory '*'; git status --porcelain", "");

  // The kernel has a fid for every name that it knows, and an inode for each of them.
  const LinuxGuest::Outcome inodes =
      host->guest().Run("awk '$1 == \"v9fs_inode_cache\" { print $2 }' /proc/slabinfo", minutes(1));
  const size_t fids = inodes.output.empty() ? 0 : std::stoul(inodes.output);
  EXPECT_GE(fids, static_cast<size_t>(GetParam()));
  const size_t taken = MemoryOf(server) + MemoryOf(keeper) - before;
  const size_t descriptors = DescriptorsOf(server), limit = NumberIn(server, "limits", "Max open files");
  printf("%zu fids, %zu bytes each, %zu descriptors of %zu\n", fids, taken / fids, descriptors, limit);
  EXPECT_LE(taken / fids, kMaxBytesPerFid);
  EXPECT_LT(descriptors, limit);
  EXPECT_EQ(host->guest().Run("umount /virtfs/tree", minutes(10)).status, 0);
}

INSTANTIATE_TEST_SUITE_P(Full, LinuxScale, testing::Values(500000));

}  // namespace
}  // namespace virtfs
