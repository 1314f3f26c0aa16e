// What the tests of the guest's side have in common: a guest with shares of one directory each, virtfs-client as a
// process of the guest, and connections of the test's own process as that guest.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "frontend/device.h"
#include "frontend/p9_client.h"
#include "tests/lifecycle_fixture.h"

namespace virtfs {

// While it lives, Xen's libraries and libxenstore open their handles as this domain's.
class AsDomain {
 public:
  AsDomain(SimulatedXen& xen, uint32_t domid) : host_store_(xensim::StorePath(xen.directory(), 0)) {
    setenv("XENSTORED_PATH", xensim::StorePath(xen.directory(), domid).c_str(), 1);
    setenv("XENSIM_DOMID", std::to_string(domid).c_str(), 1);
  }
  ~AsDomain() {
    unsetenv("XENSIM_DOMID");
    setenv("XENSTORED_PATH", host_store_.c_str(), 1);
  }
  AsDomain(const AsDomain&) = delete;
  AsDomain& operator=(const AsDomain&) = delete;

 private:
  const std::string host_store_;
};

// A share that this process uses as domain 1.
struct Connection {
  std::unique_ptr<frontend::Device> device;
  std::unique_ptr<frontend::P9Client> client;
  frontend::RemoteFid root;

  explicit operator bool() const { return client != nullptr; }
  // In this order; so does the destructor.
  void Close() {
    root.Reset();
    client.reset();
    device.reset();
  }
};

class ClientTest : public LifecycleTest {
 protected:
  static constexpr uint32_t kGuest = 1;

  // `keeper`: what the keeper is started with in front.
  void StartGuest(const std::vector<std::string>& keeper = {}) {
    ASSERT_TRUE(xen_->AddDomain(kGuest));
    std::vector<std::string> argv = keeper;
    argv.insert(argv.end(), {Program("backend/xen-virtfsd"), "--domid", std::to_string(kGuest)});
    keeper_ = xen_->Spawn(argv);
  }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  // A directory beneath directory_, shared with the guest.
  void Share(const std::string& tag, const std::string& more = "") {
    ASSERT_EQ(mkdir(Path(tag).c_str(), 0755), 0);
    ASSERT_GE(AttachPath(kGuest, tag, Path(tag), more), 0);
  }

  void WriteFile(const std::string& name, const std::string& content) {
    std::ofstream(Path(name), std::ios::binary | std::ios::trunc) << content;
  }
  std::string ReadFile(const std::string& name) const {
    std::ostringstream content;
    content << std::ifstream(Path(name), std::ios::binary).rdbuf();
    return content.str();
  }

  // Runs virtfs-client in the guest; its exit status, and what it wrote into *output.
  int Client(const std::vector<std::string>& arguments, std::string* output = nullptr) {
    std::vector<std::string> argv = {Program("frontend/virtfs-client")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const std::shared_ptr<Process> client = xen_->Spawn(argv, kGuest);
    const int status = client->Wait();
    if (output != nullptr) *output = client->Output();
    return status;
  }

  // Connects this process as the guest.
  Connection ConnectShare(const std::string& tag, uint32_t msize = 512 * 1024, uint32_t domid = kGuest) {
    Connection connection;
    auto device = [&] {
      const AsDomain guest(*xen_, domid);
      return frontend::Device::Connect({.tag = tag, .ninepfs = true});
    }();
    if (!device.ok()) {
      ADD_FAILURE() << device.status();
      return connection;
    }
    connection.device = *std::move(device);
    auto client = std::make_unique<frontend::P9Client>(connection.device->channel(), kBound);
    const Result<void> version = client->Version(msize);
    Result<frontend::RemoteFid> root = client->Attach();
    if (!version.ok() || !root.ok()) {
      ADD_FAILURE() << tag << ": no session";
      return connection;
    }
    connection.root = *std::move(root);
    connection.client = std::move(client);
    return connection;
  }

  std::shared_ptr<Process> keeper_;
};

}  // namespace virtfs
