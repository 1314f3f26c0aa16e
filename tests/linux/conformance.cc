// conformance SUITE DIR KNOWN PLACE [SHARE-OPTIONS [MOUNT-OPTIONS]]: what `./dev conformance` runs.
//
// Runs a public suite, built by the caller in DIR, in user-mode Linux on a local ext4 and on a share, and prints the
// cases that end differently. guest/conformance/SUITE.sh prints a line for each case: name, passed, failed or skipped,
// and what it said, separated by tabs. PLACE is an empty directory for the share and the guest's disk, on a file system
// that has extended attributes. What the suite says besides goes to stderr.
//
// Exit status: 0 if every case that passes locally passes on the share or is in KNOWN (known_differences.txt says how
// it is written); 1 if some does not; 2 if the run itself failed.

#include <fnmatch.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/linux/linux_host.h"

namespace virtfs {
namespace {

constexpr std::chrono::hours kBound{2};

struct Ending {
  std::string result, text;
};
using Endings = std::map<std::string, Ending>;

struct Known {
  std::string suite, name, where, reason;
  bool seen = false;
};

std::vector<Known> ReadKnown(const std::string& path) {
  std::vector<Known> all;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    Known known;
    words >> known.suite >> known.name >> known.where >> std::ws;
    std::getline(words, known.reason);
    all.push_back(known);
  }
  return all;
}

// What a suite printed in one place; nothing if it did not get to its end.
std::optional<std::string> RunSuite(LinuxHost& host, const std::string& suite, const std::string& directory,
                                    const std::string& where, const std::string& cache) {
  std::string script = "export SUITE_DIR='" + directory + "' CACHE=" + cache;
  for (const char* name : {"ONLY", "OPERATIONS"}) {
    if (const char* value = getenv(name)) script += std::string(" ") + name + "='" + value + "'";
  }
  // exec: xfstests unmounts the file system, in which no shell may then be.
  script += "\nmkdir " + where + "/run\ncd " + where + "/run\nexec /virtfs/guest/conformance/" + suite + ".sh\n";
  const auto start = std::chrono::steady_clock::now();
  const LinuxGuest::Outcome outcome = host.guest().Run(script, kBound);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  fprintf(stderr, "%s\n%s in %s ended with %d after %.0f s\n", outcome.errors.c_str(), suite.c_str(), where.c_str(),
          outcome.status, taken.count());
  if (outcome.status != 0) return std::nullopt;
  return outcome.output;
}

// The same, of the local directory. $LOCAL keeps it, so that the next kind of mount takes half the time.
std::optional<std::string> RunLocally(LinuxHost& host, const std::string& suite, const std::string& directory,
                                      const std::string& cache) {
  const char* kept = getenv("LOCAL");
  if (kept != nullptr && std::filesystem::exists(kept)) {
    std::ostringstream text;
    text << std::ifstream(kept).rdbuf();
    return text.str();
  }
  std::optional<std::string> output = RunSuite(host, suite, directory, "/virtfs/local", cache);
  if (output && kept != nullptr) std::ofstream(kept) << *output;
  return output;
}

Endings Parse(const std::string& output) {
  Endings endings;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find('\t'), second = line.find('\t', first + 1);
    if (second == std::string::npos) continue;
    endings[line.substr(0, first)] = {line.substr(first + 1, second - first - 1), line.substr(second + 1)};
  }
  return endings;
}

int Compare(const std::string& suite, const std::string& where, const Endings& local, const Endings& share,
            std::vector<Known>& known) {
  int passed = 0, differ = 0, unknown = 0;
  for (const auto& [name, ending] : local) {
    const auto found = share.find(name);
    const Ending other = found == share.end() ? Ending{"missing", ""} : found->second;
    if (ending.result == other.result) passed += ending.result == "passed";
    if (ending.result != "passed" || other.result == "passed") continue;
    ++differ;
    Known* reason = nullptr;
    for (Known& candidate : known) {
      if (candidate.suite == suite && fnmatch(candidate.name.c_str(), name.c_str(), 0) == 0 &&
          fnmatch(candidate.where.c_str(), where.c_str(), 0) == 0) {
        reason = &candidate;
        break;
      }
    }
    unknown += reason == nullptr;
    if (reason != nullptr) reason->seen = true;
    printf("%-8s %s: %s %s%s%s\n", reason != nullptr ? "known" : "DIFFERS", name.c_str(), other.result.c_str(),
           other.text.c_str(), reason != nullptr ? "\n         because " : "",
           reason != nullptr ? reason->reason.c_str() : "");
  }
  for (const auto& [name, ending] : share) {
    if (ending.result == "passed" && local.count(name) != 0 && local.at(name).result == "failed") {
      printf("better   %s: fails only on the local directory: %s\n", name.c_str(), local.at(name).text.c_str());
    }
  }
  printf("%s (%s): %zu cases, %d pass on both, %d pass on the local directory only, %d of them for no known reason\n",
         suite.c_str(), where.c_str(), local.size(), passed, differ, unknown);
  return unknown == 0 ? 0 : 1;
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.size() < 4 || arguments.size() > 6) {
    fprintf(stderr, "usage: conformance SUITE DIR KNOWN PLACE [SHARE-OPTIONS [MOUNT-OPTIONS]]\n");
    return 2;
  }
  const std::string& suite = arguments[0];
  const std::string directory = std::filesystem::canonical(arguments[1]);
  std::vector<Known> known = ReadKnown(arguments[2]);
  const std::string options = arguments.size() > 4 ? arguments[4] : "security_model=passthrough";
  const std::string mount = arguments.size() > 5 ? arguments[5] : "cache=none,msize=262144";
  const size_t cache_at = mount.find("cache=");
  const std::string cache =
      cache_at == std::string::npos ? "none" : mount.substr(cache_at + 6, mount.find(',', cache_at) - cache_at - 6);

  std::optional<std::string> local, share;
  if (auto host = LinuxHost::Start({.memory = "1G", .disk = "8G"}, arguments[3] + "/run")) {
    if (host->Share("share", host->Directory("share"), options) &&
        host->guest().Run("mount_share share /virtfs/share " + mount, std::chrono::seconds(30)).status == 0) {
      local = RunLocally(*host, suite, directory, cache);
      if (local) share = RunSuite(*host, suite, directory, "/virtfs/share", cache);
    }
  }
  if (!local || !share || local->empty()) return 2;
  return Compare(suite, options + " " + mount, Parse(*local), Parse(*share), known);
}

}  // namespace
}  // namespace virtfs

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return virtfs::Main({argv + 1, argv + argc});
}
