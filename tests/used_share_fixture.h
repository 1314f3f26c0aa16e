// What the tests of the administrator's command on a share in use have in common: a guest with a name and a UUID, a
// directory to share with it, xl-virtfs, and a stock xl (tests/fake_xl).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/messages.h"
#include "tests/client_fixture.h"

namespace virtfs {

class UsedShareTest : public ClientTest {
 protected:
  static constexpr char kUuid[] = "11111111-2222-3333-4444-555555555555";

  void SetUp() override {
    ClientTest::SetUp();
    StartGuest();
    ASSERT_TRUE(xen_->Write("/local/domain/1/vm", "/vm/" + std::string(kUuid)));
    ASSERT_TRUE(xen_->Write("/local/domain/1/name", "web"));
    // The next domain of fake_xl gets the next id.
    ASSERT_TRUE(xen_->Write("/fake-xl/last", "1"));
    std::filesystem::create_directory(Path("docs"));
    WriteFile("docs/file", "text");
  }

  std::shared_ptr<Process> Start(const std::vector<std::string>& arguments,
                                 const std::vector<std::string>& environment = {}) {
    std::vector<std::string> argv = {Program("toolstack/cli/xl-virtfs")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.insert(argv.end(), {"--conf", Path("none"), "--records", Path("records"), "--run", xen_->RunDirectory()});
    std::vector<std::string> all = {
        "PATH=" + std::filesystem::path(Program("tests/fake_xl/xl")).parent_path().string() + ":/usr/bin:/bin"};
    all.insert(all.end(), environment.begin(), environment.end());
    return xen_->Spawn(argv, 0, all);
  }
  // Its exit status and what it said.
  std::pair<int, std::string> Run(const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& environment = {}) {
    auto process = Start(arguments, environment);
    const int status = process->Wait();
    return {status, process->Output()};
  }
  void AttachDocs() {
    const auto [status, output] =
        Run({"attach", "web", "tag=docs,path=" + Path("docs") + ",security_model=passthrough"});
    ASSERT_EQ(status, 0) << output;
  }
  // Opens the share's file as the guest.
  frontend::RemoteFid OpenFile(Connection& guest) {
    const std::string_view names[] = {"file"};
    Result<frontend::RemoteFid> file = guest.client->Walk(guest.root.get(), names);
    EXPECT_TRUE(file.ok());
    if (!file.ok()) return {};
    EXPECT_TRUE(guest.client->Call(p9::Tlopen{file->get(), p9::kOpenReadWrite}).ok());
    return *std::move(file);
  }
};

}  // namespace virtfs
