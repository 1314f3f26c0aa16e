// xensim-ctl: a simulated Xen from the shell.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "xensim/grants.h"
#include "xensim/machine.h"
#include "xensim/report.h"

namespace xensim {
namespace {

constexpr char kUsage[] =
    "Usage: xensim-ctl COMMAND     on the simulated Xen in $XENSIM_DIR (default /dev/shm/xensim)\n"
    "  up                      makes it, with domain 0 and the real xenstored\n"
    "  down                    kills every process that uses it and removes it\n"
    "  domain N                creates domain N and introduces it to xenstored\n"
    "  destroy N               kills domain N and its processes\n"
    "  env N                   prints the environment for a process of domain N, for eval\n"
    "  run N COMMAND...        runs a command in domain N\n"
    "  limit N PAGES           how many pages domain N may share (Linux's default: 1024)\n"
    "  revoke N REF            takes a grant back: what is mapped stays, later maps and copies fail\n"
    "  stats [--json|--reset]  calls by domain and kind\n"
    "  leaks [N]               what each process (of domain N) holds\n"
    "  fault CALL [--after N] [--count K|all] [--domain D] ERRNO    lets calls fail (ERRNO as a number)\n"
    "  fault clear\n";

int Fail(const std::string& text) {
  std::fprintf(stderr, "xensim-ctl: %s\n", text.c_str());
  return 1;
}

int Report(const absl::Status& status) { return status.ok() ? 0 : Fail(std::string(status.message())); }

// A whole decimal number below `bound`; false if `text` is none.
bool ParseNumber(const std::string& text, uint64_t bound, uint64_t* value) {
  char* end = nullptr;
  errno = 0;
  *value = strtoull(text.c_str(), &end, 10);
  return errno == 0 && !text.empty() && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *value < bound;
}

int InjectFault(World& world, const std::vector<std::string>& words) {
  if (words.size() == 1 && words[0] == "clear") {
    ClearFaults(world);
    return 0;
  }
  const std::optional<Call> call = words.empty() ? std::nullopt : CallNamed(words[0]);
  if (!call.has_value()) {
    std::string known;
    for (const char* name : kCallNames) known += std::string(" ") + name;
    return Fail("fault: name a call, one of" + known);
  }
  uint64_t after = 0;
  uint64_t count = 1;
  uint64_t domid = kAnyDomain;
  uint64_t error = 0;
  bool all = false;
  bool ok = true;
  for (size_t i = 1; i < words.size() && ok; ++i) {
    const std::string value = i + 1 < words.size() ? words[i + 1] : "";
    if (words[i] == "--after") {
      ok = ParseNumber(value, INT64_MAX, &after), ++i;
    } else if (words[i] == "--count") {
      all = value == "all";
      ok = all || ParseNumber(value, INT64_MAX, &count), ++i;
    } else if (words[i] == "--domain") {
      ok = ParseNumber(value, kMaxDomains, &domid), ++i;
    } else {
      ok = ParseNumber(words[i], 4096, &error);
    }
  }
  if (!ok || error == 0) return Fail("fault: wrong arguments\n" + std::string(kUsage));
  if (!AddFault(world, *call, static_cast<uint32_t>(domid), static_cast<int64_t>(after),
                all ? -1 : static_cast<int64_t>(count), static_cast<int>(error))) {
    return Fail("fault: too many at a time");
  }
  return 0;
}

int ShowStats(World& world, const std::string& option) {
  if (option == "--reset") {
    ResetCounts(world);
  } else {
    std::fputs((option == "--json" ? StatsJson(world) : StatsText(world)).c_str(), stdout);
  }
  return 0;
}

int RunIn(const Installation& installation, const std::string& machine, uint32_t domid, char** argv) {
  for (const std::string& entry : DomainEnvironment(installation, machine, domid)) {
    const size_t equals = entry.find('=');
    setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
  }
  execvp(argv[0], argv);
  return Fail(std::string("cannot run ") + argv[0] + ": " + strerror(errno));
}

// Commands that need the programs: up, domain, env, run.
int WithInstallation(const std::string& command, const std::string& machine, uint32_t domid, char** rest) {
  Installation installation;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  if (absl::Status found = Installation::Find(self, &installation); !found.ok()) return Report(found);
  if (command == "up") return Report(StartMachine(installation, machine, /*die_with_parent=*/false));
  if (command == "domain") return Report(StartDomain(installation, machine, domid, /*die_with_parent=*/false));
  if (command == "run") return *rest != nullptr ? RunIn(installation, machine, domid, rest) : Fail(kUsage);
  for (const std::string& entry : DomainEnvironment(installation, machine, domid)) {
    std::printf("export %s\n", entry.c_str());
  }
  return 0;
}

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const std::string command = words.empty() ? "" : words[0];
  if (command.empty() || command == "--help") {
    std::fputs(kUsage, stdout);
    return command.empty() ? 2 : 0;
  }
  const std::string machine = World::DefaultDirectory();
  if (command == "up") return WithInstallation(command, machine, 0, nullptr);
  if (command == "down") return Report(StopMachine(machine));

  const std::shared_ptr<World> world = World::Open();
  if (world == nullptr) return Fail("no simulated Xen in " + machine + " ('up' makes one)");
  const std::string argument = words.size() > 1 ? words[1] : "";
  if (command == "stats") return ShowStats(*world, argument);
  if (command == "fault") return InjectFault(*world, {words.begin() + 1, words.end()});
  uint64_t number = 0;
  const bool named = ParseNumber(argument, kMaxDomains, &number);
  const auto domid = static_cast<uint32_t>(number);
  if (command == "leaks" && (named || argument.empty())) {
    const auto holdings = HoldingsOf(*world, named ? std::optional<uint32_t>(domid) : std::nullopt);
    std::fputs(HoldingsText(holdings).c_str(), stdout);
    return 0;
  }
  if (!named) return Fail("wrong arguments\n" + std::string(kUsage));
  uint64_t second = 0;
  const bool has_second = words.size() > 2 && ParseNumber(words[2], kPagesPerDomain, &second);
  if (command == "serve-domain" && has_second) return RunDomain(machine, domid, static_cast<int>(second));
  if (command == "domain" || command == "env" || command == "run") {
    return WithInstallation(command, machine, domid, argv + 3);
  }
  if (command == "destroy") return Report(StopDomain(machine, domid));
  if (command == "limit" && has_second) {
    world->state().domains[domid].page_limit = static_cast<uint32_t>(second);
    return 0;
  }
  if (command == "revoke" && has_second) {
    return Revoke(*world, domid, static_cast<uint32_t>(second)) ? 0 : Fail("that page is not granted");
  }
  return Fail("wrong arguments\n" + std::string(kUsage));
}

}  // namespace
}  // namespace xensim

int main(int argc, char** argv) { return xensim::Main(argc, argv); }
