// virtfs-client: files of a virtfs share, from a program in the guest. No driver in the guest's kernel is needed.

#include <getopt.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/client/commands.h"
#include "frontend/client/shares.h"

namespace virtfs::frontend {
namespace {

constexpr char kHelp[] = R"(virtfs-client: files of a virtfs share, from within a Xen guest

usage: virtfs-client [OPTION...] COMMAND ARGUMENT...

  ls [-l] PLACE...            names of a directory; with -l mode, links, owner, size, time
  stat PLACE...               all attributes
  cat PLACE...                contents to stdout
  get TAG:/FILE [LOCAL]       copy one file out of a share
  put LOCAL TAG:/FILE         copy one file into a share
  cp [-r] FROM... TO          copy files; with -r trees: content, mode, times, symlinks
  rm [-r] TAG:/PATH...        remove from a share; with -r trees
  compare PLACE PLACE         name all differences of two trees: content, mode, times, symlinks, missing names

A PLACE is TAG:/path in the share that has this tag (:/path with --tag), or a local path. Symlinks in a share are not
followed. Devices, FIFOs and sockets are named and left out.

  --tag TAG        the share that :/path means
  --msize BYTES    largest message to ask for (524288)
  --depth N        requests in flight: files at once, and pieces of one file (16)
  --timeout SEC    how long to wait for the share to appear, and for each reply (30)
  --skip-special   compare: a device, FIFO or socket that only one side has is no difference
  --stats          at the end: files, bytes, operations/s, MiB/s, events (on stderr)
  --help, --version

Exit status: 0 success; 1 something failed or, with compare, differs; 2 wrong usage.

  virtfs-client ls -l share:/
  virtfs-client --stats cp -r share:/src /tmp/src
  virtfs-client compare share:/src /tmp/src
)";

struct Command {
  const char* name;
  int (*run)(CommandContext&, const std::vector<Place>&);
  size_t least;
  size_t most;
};

constexpr size_t kMany = SIZE_MAX;
constexpr Command kCommands[] = {{"ls", List, 1, kMany},   {"cat", Cat, 1, kMany},    {"get", Get, 1, 2},
                                 {"put", Put, 2, 2},       {"cp", Copy, 2, kMany},    {"stat", Stat, 1, kMany},
                                 {"rm", Remove, 1, kMany}, {"compare", Compare, 2, 2}};

int Usage(const std::string& sentence) {
  fprintf(stderr, "virtfs-client: %s; virtfs-client --help explains\n", sentence.c_str());
  return 2;
}

std::optional<uint32_t> Number(std::string_view text, uint32_t least, uint32_t most) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) return std::nullopt;
  return value;
}

void PrintStatistics(const CommandContext& context, const ShareStatistics& statistics, double seconds) {
  const RingStatistics& ring = statistics.ring;
  fprintf(stderr, "%" PRIu64 " files, %" PRIu64 " directories, %" PRIu64 " symlinks, %" PRIu64 " bytes in %.3f s\n",
          context.files, context.directories, context.symlinks, context.bytes, seconds);
  fprintf(stderr, "%.0f operations/s, %.1f MiB/s\n", static_cast<double>(ring.calls) / seconds,
          static_cast<double>(context.bytes) / seconds / (1024.0 * 1024.0));
  fprintf(stderr, "%" PRIu64 " operations, %" PRIu64 " events sent, %" PRIu64 " sleeps, msize %" PRIu32 "\n",
          ring.calls, ring.notifications, ring.sleeps, statistics.msize);
}

int Main(int argc, char** argv) {
  enum { kTag = 256, kMsize, kDepth, kTimeout, kSkipSpecial, kStats, kHelpOption, kVersionOption };
  const option kOptions[] = {{"tag", required_argument, nullptr, kTag},
                             {"msize", required_argument, nullptr, kMsize},
                             {"depth", required_argument, nullptr, kDepth},
                             {"timeout", required_argument, nullptr, kTimeout},
                             {"skip-special", no_argument, nullptr, kSkipSpecial},
                             {"stats", no_argument, nullptr, kStats},
                             {"help", no_argument, nullptr, kHelpOption},
                             {"version", no_argument, nullptr, kVersionOption},
                             {nullptr, 0, nullptr, 0}};
  ShareOptions options;
  std::string tag;
  bool recursive = false;
  bool details = false;
  bool skip_special = false;
  bool stats = false;
  opterr = 0;
  for (int letter; (letter = getopt_long(argc, argv, "lrh", kOptions, nullptr)) != -1;) {
    std::optional<uint32_t> number;
    switch (letter) {
      case 'l':
        details = true;
        break;
      case 'r':
        recursive = true;
        break;
      case 'h':
      case kHelpOption:
        fputs(kHelp, stdout);
        return 0;
      case kVersionOption:
        puts("virtfs-client: virtfs version " XEN_VIRTFS_VERSION ", 9P2000.L");
        return 0;
      case kTag:
        tag = optarg;
        break;
      case kMsize:
        number = Number(optarg, XEN_VIRTFS_MIN_MSIZE, XEN_VIRTFS_MAX_MSIZE);
        if (!number) return Usage("--msize wants 4096 to 4194304 bytes");
        options.msize = *number;
        break;
      case kDepth:
        number = Number(optarg, 1, 128);
        if (!number) return Usage("--depth wants 1 to 128");
        options.depth = *number;
        break;
      case kTimeout:
        number = Number(optarg, 1, 86400);
        if (!number) return Usage("--timeout wants 1 to 86400 seconds");
        options.timeout = std::chrono::seconds(*number);
        break;
      case kSkipSpecial:
        skip_special = true;
        break;
      case kStats:
        stats = true;
        break;
      default:
        return Usage(std::string("no such option, or no value for it: ") + argv[optind - 1]);
    }
  }
  if (optind == argc) return Usage("no command");
  const std::string name = argv[optind++];
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    std::vector<Place> places;
    for (int i = optind; i < argc; ++i) places.push_back(ParsePlace(argv[i], tag));
    if (places.size() < command.least || places.size() > command.most) {
      return Usage(name + ": wrong number of arguments");
    }
    // Modes are those of the source.
    umask(0);
    Shares shares(options);
    CommandContext context{.shares = shares,
                           .depth = options.depth,
                           .recursive = recursive,
                           .details = details,
                           .skip_special = skip_special};
    const auto start = std::chrono::steady_clock::now();
    int result = command.run(context, places);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (fflush(stdout) != 0 && result == 0) {
      fprintf(stderr, "virtfs-client: cannot write: %s\n", strerror(errno));
      result = 1;
    }
    if (stats) PrintStatistics(context, shares.statistics(), context.seconds > 0 ? context.seconds : elapsed.count());
    if (const absl::Status closed = shares.Close(); !closed.ok()) {
      fprintf(stderr, "virtfs-client: %s\n", std::string(closed.message()).c_str());
      result = 1;
    }
    return result;
  }
  return Usage("no command '" + name + "'");
}

}  // namespace
}  // namespace virtfs::frontend

int main(int argc, char** argv) { return virtfs::frontend::Main(argc, argv); }
