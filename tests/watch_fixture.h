// For tests of `xl-virtfs watch`: guests with UUIDs and records on a simulated Xen, and what must hold of them.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "tests/simulated_xen.h"
#include "toolstack/attach.h"
#include "toolstack/records/guest_lock.h"
#include "toolstack/records/record_store.h"
#include "xenstore/store.h"

namespace virtfs {

class WatchTest : public testing::Test {
 protected:
  static constexpr char kReady[] = "2";  // InitWait
  // Longer than anything takes; whole machines stop for minutes.
  static constexpr std::chrono::seconds kPatience{120};

  void SetUp() override {
    xen_ = SimulatedXen::Start();
    ASSERT_NE(xen_, nullptr);
    std::string pattern = "/dev/shm/virtfs-watch-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    for (const char* name : {"/share", "/records", "/run"}) std::filesystem::create_directory(directory_ + name);
    records_ = std::make_unique<toolstack::RecordStore>(directory_ + "/records");
  }
  void TearDown() override {
    // Keepers are nobody's children here.
    for (const auto& [pid, domid] : KeeperProcesses()) kill(pid, SIGKILL);
    xen_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  std::shared_ptr<Process> SpawnWatch(uint32_t domid = 0, const std::string& runtime = "/run") {
    return xen_->Spawn(
        {Program("toolstack/cli/xl-virtfs"), "watch", "--conf", directory_ + "/virtfs.conf", "--records",
         directory_ + "/records", "--run", directory_ + runtime, "--keeper", Program("backend/xen-virtfsd")},
        domid, {"XEN_VIRTFS_RUN=" + directory_ + runtime});
  }
  std::shared_ptr<Process> StartWatch(uint32_t domid = 0, const std::string& runtime = "/run") {
    auto watch = SpawnWatch(domid, runtime);
    EXPECT_TRUE(watch->WaitForOutput("ready"));
    return watch;
  }

  // As xl makes one: its nodes are there when it is introduced.
  void Create(uint32_t domid, const std::string& uuid) {
    ASSERT_TRUE(xen_->Write("/local/domain/" + std::to_string(domid) + "/vm", "/vm/" + uuid));
    ASSERT_TRUE(xen_->AddDomain(domid));
  }

  static std::string Uuid(int number) {
    std::string uuid = "01234567-89ab-cdef-0123-000000000000";
    const std::string digits = std::to_string(number);
    return uuid.replace(uuid.size() - digits.size(), digits.size(), digits);
  }

  std::string Spec(uint32_t devid, const std::string& more = "") const {
    return "tag=t" + std::to_string(devid) + ",path=" + directory_ + "/share,security_model=none" + more;
  }
  toolstack::Record RecordOf(const std::string& uuid) {
    auto record = records_->Load(uuid);
    EXPECT_TRUE(record.ok()) << record.status().message();
    if (record.ok() && *record) return **record;
    return {.uuid = uuid, .name = "guest", .shares = {}, .absent_since = {}};
  }
  void Save(const std::string& uuid, const std::set<uint32_t>& devids, const std::string& backend = "0",
            const std::string& more = "") {
    toolstack::Record record = RecordOf(uuid);
    record.shares.clear();
    for (const uint32_t devid : devids) record.shares.push_back({devid, backend, Spec(devid, more)});
    ASSERT_TRUE(records_->Save(record).ok());
  }

  std::string Backend(uint32_t domid, const std::string& rest, uint32_t backend = 0) const {
    return "/local/domain/" + std::to_string(backend) + "/backend/virtfs/" + std::to_string(domid) + rest;
  }
  std::string Private(uint32_t domid, const std::string& rest, uint32_t backend = 0) const {
    return "/local/domain/" + std::to_string(backend) + "/virtfs/" + std::to_string(domid) + rest;
  }
  std::string Device(uint32_t domid, const std::string& rest) const {
    return "/local/domain/" + std::to_string(domid) + "/device/virtfs" + rest;
  }

  std::set<std::string> List(const std::string& path) {
    unsigned count = 0;
    char** names = xs_directory(xen_->store(), XBT_NULL, path.c_str(), &count);
    std::set<std::string> set;
    for (unsigned i = 0; names != nullptr && i < count; ++i) set.insert(names[i]);
    free(names);
    return set;
  }

  // Keepers of this test's Xen: process ids and whose they are.
  std::map<int, uint32_t> KeeperProcesses() {
    std::map<int, uint32_t> keepers;
    if (xen_ == nullptr) return keepers;
    DIR* const proc = opendir("/proc");
    while (const dirent* entry = readdir(proc)) {
      const int pid = atoi(entry->d_name);
      if (pid <= 0) continue;
      const auto text = [&](const char* file) {
        std::string content(65536, '\0');
        const UniqueFd fd(open(("/proc/" + std::to_string(pid) + "/" + file).c_str(), O_RDONLY | O_CLOEXEC));
        const ssize_t size = read(fd.get(), content.data(), content.size());
        content.resize(size > 0 ? static_cast<size_t>(size) : 0);
        return content;
      };
      const std::string command = text("cmdline"), flag = std::string("\0--domid\0", 9);
      const size_t at = command.find(flag);
      if (command.find("xen-virtfsd") == command.npos || at == command.npos) continue;
      if (text("environ").find("XENSIM_DIR=" + xen_->directory() + '\0') == std::string::npos) continue;
      keepers[pid] = static_cast<uint32_t>(atoi(command.c_str() + at + flag.size()));
    }
    closedir(proc);
    return keepers;
  }
  std::vector<int> KeepersOf(uint32_t domid) {
    std::vector<int> pids;
    for (const auto& [pid, whose] : KeeperProcesses()) {
      if (whose == domid) pids.push_back(pid);
    }
    return pids;
  }

  // Waits until `holds` says nothing; what it said last if it never did.
  template <typename F>
  static std::string Eventually(const F& holds, std::chrono::milliseconds bound = kPatience) {
    const auto end = std::chrono::steady_clock::now() + bound;
    for (;;) {
      const std::string wrong = holds();
      if (wrong.empty() || std::chrono::steady_clock::now() >= end) return wrong;
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
  }

  // What is not as it must be of a living guest with these shares and no others, none of them connected.
  std::string WrongWith(uint32_t domid, const std::set<uint32_t>& devids) {
    std::set<std::string> names;
    for (const uint32_t devid : devids) names.insert(std::to_string(devid));
    if (List(Backend(domid, "")) != names) return "backend directories";
    if (List(Device(domid, "")) != names) return "the guest's directories";
    std::set<std::string> own = List(Private(domid, ""));
    own.erase("keeper");
    if (own != names) return "private directories";
    for (const uint32_t devid : devids) {
      const std::string share = "/" + std::to_string(devid);
      if (xen_->Read(Backend(domid, share + "/state")) != kReady) return "state of" + share;
      if (xen_->Read(Backend(domid, share + "/online")) != "1") return "online of" + share;
      if (xen_->Read(Device(domid, share + "/tag")) != "t" + std::to_string(devid)) return "tag of" + share;
      if (xen_->Read(Device(domid, share + "/backend")) != Backend(domid, share)) return "backend of" + share;
    }
    const std::vector<int> keepers = KeepersOf(domid);
    if (!devids.empty() && keepers.size() != 1) return std::to_string(keepers.size()) + " keepers";
    if (keepers.size() > 1) return "more than one keeper";
    const std::string claim = xen_->Read(Private(domid, "/keeper")).value_or("");
    if (!devids.empty() && atoi(claim.c_str()) != keepers[0]) return "the keeper's claim";
    return "";
  }
  std::string Left(uint32_t domid) {
    if (xen_->Read(Backend(domid, ""))) return "backend directory";
    if (xen_->Read(Private(domid, ""))) return "private directory";
    if (xen_->Read("/local/domain/" + std::to_string(domid))) return "the guest's directory";
    return KeepersOf(domid).empty() ? "" : "a keeper";
  }
  void ExpectShares(uint32_t domid, const std::set<uint32_t>& devids) {
    EXPECT_EQ(Eventually([&] { return WrongWith(domid, devids); }), "") << "domain " << domid;
  }
  void ExpectNothing(uint32_t domid) {
    EXPECT_EQ(Eventually([&] { return Left(domid); }), "") << "domain " << domid;
  }

  std::unique_ptr<SimulatedXen> xen_;
  std::string directory_;
  std::unique_ptr<toolstack::RecordStore> records_;
};

}  // namespace virtfs
