// xl, as far as xl-virtfs calls it, on the simulated Xen: makes and ends domains with the nodes that libxl gives them.
// Every call is a line in $FAKE_XL_LOG. Nothing of it is under test.
//
//   xl create -p CFG, unpause DOMAIN, destroy DOMAIN, save DOMAIN FILE, restore -p FILE
//
// A call whose name is in $FAKE_XL_FAIL fails before it does anything; so does a save while a program of the guest has
// an event channel, for which Linux would kill it afterwards (docs/decisions/0018).

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "xensim/machine.h"
#include "xensim/report.h"
#include "xensim/world.h"

extern "C" {
#include <xenstore.h>
}

namespace {

struct Guest {
  int domid = -1;
  std::string name, uuid;
};

int Fail(const std::string& sentence) {
  fprintf(stderr, "xl: %s\n", sentence.c_str());
  return 1;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Xl {
 public:
  Xl() : store_(xs_open(0)) {}
  ~Xl() { xs_close(store_); }
  Xl(const Xl&) = delete;
  Xl& operator=(const Xl&) = delete;

  int Create(const std::string& config) {
    const std::string text = ReadFile(config);
    std::smatch name, uuid;
    if (!std::regex_search(text, name, std::regex("(?:^|\n)name *= *[\"']([^\"']*)"))) return Fail("no name");
    std::string id = std::regex_search(text, uuid, std::regex("(?:^|\n)uuid *= *[\"']([^\"']*)"))
                         ? uuid[1].str()
                         : ReadFile("/proc/sys/kernel/random/uuid").substr(0, 36);
    return Make({.domid = -1, .name = name[1], .uuid = id});
  }

  int Unpause(const std::string& domain) {
    const Guest guest = Find(domain);
    if (guest.domid < 0) return Fail(domain + " is no domain");
    Remove(Path(guest.domid) + "/fake-paused");
    return 0;
  }

  int Destroy(const std::string& domain) {
    const Guest guest = Find(domain);
    if (guest.domid < 0) return Fail(domain + " is no domain");
    const absl::Status status = xensim::StopDomain(machine_, static_cast<uint32_t>(guest.domid));
    Remove("/vm/" + guest.uuid);
    return status.ok() ? 0 : Fail(std::string(status.message()));
  }

  // In xl's own format, as far as its configuration.
  int Save(const std::string& domain, const std::string& file) {
    const Guest guest = Find(domain);
    if (guest.domid < 0) return Fail(domain + " is no domain");
    const std::shared_ptr<xensim::World> world = xensim::World::Open(machine_);
    for (const xensim::Holding& holding : xensim::HoldingsOf(*world, static_cast<uint32_t>(guest.domid))) {
      if (holding.ports == 0 || holding.command == "xenstored" || holding.command == "xensim-ctl") continue;
      return Fail("the guest's kernel would kill " + holding.command + ", which has an event channel");
    }
    const std::string config = R"({"c_info": {"type": "pvh", "name": ")" + guest.name + R"(", "uuid": ")" + guest.uuid +
                               R"("}, "b_info": {}})";
    const auto size = static_cast<uint32_t>(config.size());
    const uint32_t head[] = {0x01020304, 3, 0, size + 4, size};
    std::ofstream out(file);
    out.write("Xen saved domain, xl format\n \0 \r", 32);
    out.write(reinterpret_cast<const char*>(head), sizeof(head));
    out << config << "pages";
    return Destroy(domain);
  }

  int Restore(const std::string& file) {
    const std::string text = ReadFile(file);
    std::smatch found;
    if (!std::regex_search(text, found, std::regex("\"name\": \"([^\"]*)\", \"uuid\": \"([^\"]*)\""))) {
      return Fail("what is " + file + "?");
    }
    return Make({.domid = -1, .name = found[1], .uuid = found[2]});
  }

 private:
  static std::string Path(int domid) { return "/local/domain/" + std::to_string(domid); }

  std::string Read(const std::string& path) {
    unsigned size = 0;
    const std::unique_ptr<char, decltype(&free)> value(
        static_cast<char*>(xs_read(store_, XBT_NULL, path.c_str(), &size)), free);
    return value ? std::string(value.get(), size) : "";
  }
  void Write(const std::string& path, const std::string& value) {
    xs_write(store_, XBT_NULL, path.c_str(), value.data(), static_cast<unsigned>(value.size()));
  }
  void Remove(const std::string& path) { xs_rm(store_, XBT_NULL, path.c_str()); }

  // By name or id; domid -1: there is none.
  Guest Find(const std::string& domain) {
    for (int domid = 1; domid < 64; ++domid) {
      const std::string name = Read(Path(domid) + "/name"), vm = Read(Path(domid) + "/vm");
      if (name.empty() || (name != domain && std::to_string(domid) != domain)) continue;
      return {.domid = domid, .name = name, .uuid = vm.substr(vm.rfind('/') + 1)};
    }
    return {};
  }

  int Make(Guest guest) {
    if (Find(guest.name).domid >= 0) return Fail("a domain with the name " + guest.name + " exists already");
    // As Xen does: no id comes back soon.
    const std::string last = Read("/fake-xl/last");
    guest.domid = 1 + atoi(last.c_str());
    Write("/fake-xl/last", std::to_string(guest.domid));
    xensim::Installation installation;
    const std::string libraries = getenv("LD_LIBRARY_PATH");
    absl::Status status =
        xensim::Installation::Find(std::filesystem::path(libraries).parent_path().string(), &installation);
    if (status.ok()) {
      status =
          xensim::StartDomain(installation, machine_, static_cast<uint32_t>(guest.domid), /*die_with_parent=*/false);
    }
    if (!status.ok()) return Fail(std::string(status.message()));
    Write(Path(guest.domid) + "/fake-paused", "");
    Write(Path(guest.domid) + "/vm", "/vm/" + guest.uuid);
    Write("/vm/" + guest.uuid + "/name", guest.name);
    Write(Path(guest.domid) + "/name", guest.name);
    return 0;
  }

  const std::string machine_ = getenv("XENSIM_DIR");
  xs_handle* store_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  if (const char* log = getenv("FAKE_XL_LOG")) std::ofstream(log, std::ios::app) << line << "\n";
  if (const char* fail = getenv("FAKE_XL_FAIL"); fail != nullptr && !words.empty() && words[0] == fail) {
    return Fail("it fails, as it was told to");
  }
  Xl xl;
  const auto is = [&](const char* call, size_t size) { return words.size() == size && words[0] == call; };
  if (is("create", 3) && words[1] == "-p") return xl.Create(words[2]);
  if (is("unpause", 2)) return xl.Unpause(words[1]);
  if (is("destroy", 2)) return xl.Destroy(words[1]);
  if (is("save", 3)) return xl.Save(words[1], words[2]);
  if (is("restore", 3) && words[1] == "-p") return xl.Restore(words[2]);
  return Fail("what is '" + line + "'?");
}
