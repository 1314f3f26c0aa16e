// What the tests of the administrator's command have in common: xl-virtfs with its files in a directory of the test's
// own, and a stock xl that makes simulated domains (tests/fake_xl).
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "tests/lifecycle_fixture.h"

namespace virtfs {

class ToolstackTest : public LifecycleTest {
 protected:
  void SetUp() override {
    LifecycleTest::SetUp();
    ASSERT_FALSE(HasFatalFailure());
    for (const char* name : {"srv", "srv/a", "srv/b", "records", "run"}) {
      std::filesystem::create_directory(directory_ + "/" + name);
    }
  }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name)) << text;
    return Path(name);
  }
  std::string ReadFile(const std::string& name) const {
    std::ifstream file(Path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool HasRecord(const std::string& uuid) const { return std::filesystem::exists(Path("records/" + uuid + ".json")); }

  // The arguments begin with the subcommand.
  std::shared_ptr<Process> Start(const std::vector<std::string>& arguments,
                                 const std::vector<std::string>& environment = {}) {
    std::vector<std::string> argv = {Program("toolstack/cli/xl-virtfs")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.insert(argv.begin() + 2, {"--conf", Path("virtfs.conf"), "--records", Path("records"), "--run", Path("run")});
    std::vector<std::string> all = {
        "PATH=" + std::filesystem::path(Program("tests/fake_xl/xl")).parent_path().string() + ":/usr/bin:/bin",
        "FAKE_XL_LOG=" + Path("xl.log")};
    all.insert(all.begin(), environment.begin(), environment.end());
    return xen_->Spawn(argv, 0, all);
  }
  struct Outcome {
    int status;
    std::string output;
  };
  Outcome Run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {}) {
    auto process = Start(arguments, environment);
    const int status = process->Wait();
    return {status, process->Output()};
  }

  // A guest as xl makes it, for tests that create none by themselves.
  void AddGuest(uint32_t domid, const std::string& name, const std::string& uuid) {
    const std::string domain = "/local/domain/" + std::to_string(domid);
    ASSERT_TRUE(xen_->AddDomain(domid));
    ASSERT_TRUE(xen_->Write(domain + "/vm", "/vm/" + uuid));
    ASSERT_TRUE(xen_->Write(domain + "/name", name));
  }

  // A share of the directory `name` beneath srv.
  std::string Share(const std::string& tag, const std::string& name, const std::string& more = "") const {
    return "tag=" + tag + ",path=" + Path("srv/" + name) + ",security_model=passthrough" + more;
  }
};

}  // namespace virtfs
