// What the tests of a share's life have in common: a simulated Xen, keepers, the attach command, and a guest that walks
// the xenbus states by hand.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulated_xen.h"

extern "C" {
#include <sys/pidfd.h>
#include <xenevtchn.h>
#include <xengnttab.h>
}

namespace virtfs {

// State numbers of Xen's io/xenbus.h, as nodes have them.
inline constexpr char kInitialising[] = "1", kInitWait[] = "2", kInitialised[] = "3", kConnected[] = "4",
                      kClosing[] = "5", kClosed[] = "6";

// A guest's end of a share with a ring but nothing that uses it; every node is written as the guest itself.
class PlainFrontend {
 public:
  PlainFrontend(SimulatedXen& xen, uint32_t domid, uint32_t devid)
      : directory_("/local/domain/" + std::to_string(domid) + "/device/virtfs/" + std::to_string(devid) + "/"),
        store_(xen.OpenStore(domid)) {
    // The libraries look for their domain when a handle is opened.
    setenv("XENSIM_DOMID", std::to_string(domid).c_str(), 1);
    grants_ = xengntshr_open(nullptr, 0);
    channels_ = xenevtchn_open(nullptr, 0);
    unsetenv("XENSIM_DOMID");
    ring_ = xengntshr_share_pages(grants_, 0, 1, &ring_ref_, 1);
    port_ = xenevtchn_bind_unbound_port(channels_, 0);
    if (ring_ == nullptr || port_ < 0) {
      ADD_FAILURE() << "no ring: " << strerror(errno);
      return;
    }
    // Section 4.2: req_event and rsp_event begin at 1.
    uint32_t head[16] = {0, 1, 0, 1};
    memcpy(ring_, head, sizeof(head));
  }
  ~PlainFrontend() {
    xenevtchn_close(channels_);
    xengntshr_close(grants_);
  }
  PlainFrontend(const PlainFrontend&) = delete;
  PlainFrontend& operator=(const PlainFrontend&) = delete;

  bool Write(const std::string& node, const std::string& value) {
    const bool ok = xs_write(store_.get(), XBT_NULL, (directory_ + node).c_str(), value.data(),
                             static_cast<unsigned>(value.size()));
    if (!ok) ADD_FAILURE() << "guest cannot write " << node << ": " << strerror(errno);
    return ok;
  }
  void WriteRing() {
    Write("version", "1");
    Write("ring-ref", std::to_string(ring_ref_));
    Write("event-channel", std::to_string(port_));
  }
  xs_handle* store() { return store_.get(); }

 private:
  const std::string directory_;
  StoreHandle store_;
  xengntshr_handle* grants_;
  xenevtchn_handle* channels_;
  uint32_t ring_ref_ = 0;
  void* ring_;
  int port_;
};

class LifecycleTest : public testing::Test {
 protected:
  void SetUp() override {
    xen_ = SimulatedXen::Start();
    ASSERT_NE(xen_, nullptr);
    std::string pattern = "/dev/shm/virtfs-lifecycle-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override {
    xen_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  std::shared_ptr<Process> StartKeeper(uint32_t domid) {
    return xen_->Spawn({Program("backend/xen-virtfsd"), "--domid", std::to_string(domid), "--log-level", "debug"});
  }

  std::shared_ptr<Process> SpawnAttach(uint32_t domid, const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {Program("toolstack/virtfs-attach"), "--domid", std::to_string(domid)};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return xen_->Spawn(argv);
  }
  // Attaches directory_; the share's devid, or -1 and a failure.
  int Attach(uint32_t domid, const std::string& tag, const std::string& more = "") {
    return AttachPath(domid, tag, directory_, more);
  }
  int AttachPath(uint32_t domid, const std::string& tag, const std::string& path, const std::string& more = "") {
    auto attach = SpawnAttach(domid, {"tag=" + tag + ",path=" + path + ",security_model=passthrough" + more});
    const int status = attach->Wait();
    EXPECT_EQ(status, 0) << attach->Output();
    return status == 0 ? atoi(attach->Output().c_str()) : -1;
  }
  void Detach(uint32_t domid, int devid) {
    auto detach = SpawnAttach(domid, {"--detach", std::to_string(devid)});
    EXPECT_EQ(detach->Wait(), 0) << detach->Output();
  }

  static std::string Backend(uint32_t domid, int devid, const std::string& node = "state") {
    return "/local/domain/0/backend/virtfs/" + std::to_string(domid) + "/" + std::to_string(devid) + "/" + node;
  }
  static std::string Private(uint32_t domid, int devid, const std::string& node) {
    return "/local/domain/0/virtfs/" + std::to_string(domid) + "/" + std::to_string(devid) + "/" + node;
  }
  bool WaitForState(uint32_t domid, int devid, const std::string& state) {
    return xen_->WaitForNode(Backend(domid, devid), state);
  }

  // Walks the share to Connected.
  void Connect(PlainFrontend& frontend, uint32_t domid, int devid) {
    ASSERT_TRUE(WaitForState(domid, devid, kInitWait));
    frontend.WriteRing();
    frontend.Write("state", kInitialised);
    ASSERT_TRUE(WaitForState(domid, devid, kConnected));
    frontend.Write("state", kConnected);
  }

  // The processes that `parent` has started and that have not been reaped.
  static std::vector<int> ChildrenOf(int parent) {
    std::vector<int> children;
    const std::string base = "/proc/" + std::to_string(parent) + "/task/";
    DIR* tasks = opendir(base.c_str());
    if (tasks == nullptr) return children;
    while (const dirent* task = readdir(tasks)) {
      if (task->d_name[0] == '.') continue;
      if (FILE* list = fopen((base + task->d_name + "/children").c_str(), "re")) {
        for (int child; fscanf(list, "%d", &child) == 1;) children.push_back(child);
        fclose(list);
      }
    }
    closedir(tasks);
    return children;
  }

  static int DescriptorsOf(int pid) {
    int count = 0;
    if (DIR* fds = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str())) {
      while (readdir(fds) != nullptr) ++count;
      closedir(fds);
    }
    return count;
  }

  // Nothing of the guest's shares is in xenstore.
  void ExpectNoNodes(uint32_t domid) {
    const std::string guest = std::to_string(domid);
    EXPECT_FALSE(xen_->Read("/local/domain/0/backend/virtfs/" + guest));
    EXPECT_FALSE(xen_->Read("/local/domain/0/virtfs/" + guest));
  }

  std::unique_ptr<SimulatedXen> xen_;
  std::string directory_;  // an empty one of the test's own
};

}  // namespace virtfs
