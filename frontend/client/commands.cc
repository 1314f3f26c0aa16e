#include "frontend/client/commands.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "frontend/client/report.h"
#include "frontend/client/trees.h"

namespace virtfs::frontend {
namespace {

int Fail(const absl::Status& status) {
  absl::FPrintF(stderr, "virtfs-client: %s\n", status.message());
  return 1;
}

int Fail(const std::string& sentence) { return Fail(absl::UnknownError(sentence)); }

absl::Status Failure(const Place& place, Errno error) {
  return absl::UnknownError(absl::StrFormat("%s: %s", Printable(place.Text()), error.message()));
}

absl::StatusOr<Attributes> StatOf(Node& node, const Place& place) {
  const Result<Attributes> attributes = node.Stat();
  if (!attributes.ok()) return Failure(place, attributes.error());
  return *attributes;
}

// Runs `work` with a pool and a report, and remembers what it did.
int RunOnTrees(CommandContext& context, const std::string& verb, const std::function<void(const TreeTask&)>& work) {
  WorkPool pool(context.depth);
  Report report(verb);
  work({pool, report, [&context] { return context.shares.IsOver(); }});
  context.files += report.files;
  context.directories += report.directories;
  context.symlinks += report.symlinks;
  context.bytes += report.bytes;
  context.seconds += report.elapsed().count();
  return report.problems() == 0 ? 0 : 1;
}

// Whether `place` is a directory.
absl::StatusOr<bool> IsDirectory(Shares& shares, const Place& place) {
  const absl::StatusOr<std::shared_ptr<Node>> node = shares.Open(place);
  if (absl::IsNotFound(node.status())) return false;
  if (!node.ok()) return node.status();
  const Result<Attributes> attributes = (*node)->Stat();
  if (!attributes.ok() && attributes.error() == Errno(ENOENT)) return false;
  if (!attributes.ok()) return Failure(place, attributes.error());
  if (S_ISLNK(attributes->mode) && !place.in_share()) {
    // A local user means where the link leads.
    struct stat info;
    return stat(place.path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }
  return S_ISDIR(attributes->mode);
}

int CopyTo(CommandContext& context, const std::vector<Place>& sources, const Place& target) {
  Shares& shares = context.shares;
  const absl::StatusOr<bool> into = IsDirectory(shares, target);
  if (!into.ok()) return Fail(into.status());
  if (sources.size() > 1 && !*into) return Fail(target.Text() + ": not a directory, and there are several sources");
  int result = 0;
  for (const Place& source : sources) {
    absl::StatusOr<std::shared_ptr<Node>> from = shares.Open(source);
    if (!from.ok()) return Fail(from.status());
    const absl::StatusOr<Attributes> attributes = StatOf(**from, source);
    if (!attributes.ok()) return Fail(attributes.status());
    if (S_ISDIR(attributes->mode) && !context.recursive) return Fail(source.Text() + ": is a directory; use cp -r");
    // A source without a name, like TAG:/, is copied by what is in it.
    const std::string name = *into ? source.Name() : target.Name();
    Place parent = *into ? target : target.Parent();
    if (!parent.in_share() && *into) parent.path += "/.";
    absl::StatusOr<std::shared_ptr<Node>> to = shares.Open(parent);
    if (!to.ok()) return Fail(to.status());
    result |=
        RunOnTrees(context, "copying", [&](const TreeTask& task) { CopyTree(task, *from, *to, name, source.Text()); });
  }
  return result;
}

std::string ModeText(uint32_t mode) {
  static constexpr std::pair<uint32_t, char> kTypes[] = {{S_IFREG, '-'}, {S_IFDIR, 'd'}, {S_IFLNK, 'l'}, {S_IFCHR, 'c'},
                                                         {S_IFBLK, 'b'}, {S_IFIFO, 'p'}, {S_IFSOCK, 's'}};
  std::string text = "?rwxrwxrwx";
  for (const auto& [type, letter] : kTypes) {
    if ((mode & S_IFMT) == type) text[0] = letter;
  }
  for (size_t bit = 0; bit < 9; ++bit) {
    if ((mode & (0400U >> bit)) == 0) text[1 + bit] = '-';
  }
  const auto special = [&](uint32_t bit, size_t at, char letter) {
    if ((mode & bit) != 0) text[at] = text[at] == 'x' ? letter : static_cast<char>(letter - 'a' + 'A');
  };
  special(S_ISUID, 3, 's');
  special(S_ISGID, 6, 's');
  special(S_ISVTX, 9, 't');
  return text;
}

std::string TimeText(const Time& time) {
  const auto seconds = static_cast<time_t>(time.seconds);
  tm local = {};
  char text[32] = "?";
  if (localtime_r(&seconds, &local) != nullptr) strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
  return absl::StrFormat("%s.%09u", text, time.nanoseconds);
}

// One line of ls -l.
Result<std::string> DetailsOf(Node& node, const std::string& name) {
  const Result<Attributes> attributes = node.Stat();
  if (!attributes.ok()) return attributes.error();
  std::string line =
      absl::StrFormat("%s %3d %5u %5u %10d %s %s", ModeText(attributes->mode), attributes->nlink, attributes->uid,
                      attributes->gid, attributes->size, TimeText(attributes->mtime).substr(0, 19), Printable(name));
  if (S_ISLNK(attributes->mode)) {
    const Result<std::string> target = node.ReadLink();
    if (!target.ok()) return target.error();
    line += " -> " + Printable(*target);
  }
  return line;
}

// Prints the entries of a directory, one a line, by name.
int ListDirectory(CommandContext& context, const std::shared_ptr<Node>& node, const Place& place) {
  Result<std::vector<std::string>> names = node->List();
  if (!names.ok()) return Fail(Failure(place, names.error()));
  std::sort(names->begin(), names->end());
  if (!context.details) {
    for (const std::string& name : *names) absl::PrintF("%s\n", Printable(name));
    return 0;
  }
  std::vector<std::string> lines(names->size());
  const int result = RunOnTrees(context, "", [&](const TreeTask& task) {
    for (size_t i = 0; i < lines.size(); ++i) {
      task.pool.Add([&, i] {
        const std::string& name = (*names)[i];
        Result<std::unique_ptr<Node>> child = node->Child(name);
        Result<std::string> line = child.ok() ? DetailsOf(**child, name) : Result<std::string>(child.error());
        if (!line.ok()) return task.report.Problem(name, line.error());
        lines[i] = *std::move(line) + "\n";
      });
    }
    task.pool.Run();
  });
  for (const std::string& line : lines) absl::PrintF("%s", line);
  return result;
}

// Applies `one` to each place until one fails.
int ForEach(CommandContext& context, const std::vector<Place>& places,
            const std::function<int(const std::shared_ptr<Node>&, const Attributes&, const Place&)>& one) {
  for (const Place& place : places) {
    const absl::StatusOr<std::shared_ptr<Node>> node = context.shares.Open(place);
    if (!node.ok()) return Fail(node.status());
    const absl::StatusOr<Attributes> attributes = StatOf(**node, place);
    if (!attributes.ok()) return Fail(attributes.status());
    if (const int result = one(*node, *attributes, place); result != 0) return result;
  }
  return 0;
}

}  // namespace

int List(CommandContext& context, const std::vector<Place>& places) {
  return ForEach(context, places,
                 [&](const std::shared_ptr<Node>& node, const Attributes& attributes, const Place& place) {
                   if (places.size() > 1) absl::PrintF("%s:\n", Printable(place.Text()));
                   if (S_ISDIR(attributes.mode)) return ListDirectory(context, node, place);
                   const Result<std::string> line =
                       context.details ? DetailsOf(*node, place.Name()) : Result<std::string>(Printable(place.Name()));
                   if (!line.ok()) return Fail(Failure(place, line.error()));
                   absl::PrintF("%s\n", *line);
                   return 0;
                 });
}

int Cat(CommandContext& context, const std::vector<Place>& places) {
  return ForEach(context, places,
                 [&](const std::shared_ptr<Node>& node, const Attributes& attributes, const Place& place) {
                   if (!S_ISREG(attributes.mode))
                     return Fail(Failure(place, Errno(S_ISDIR(attributes.mode) ? EISDIR : EINVAL)));
                   Result<std::unique_ptr<Reader>> reader = node->Read(attributes.size);
                   if (!reader.ok()) return Fail(Failure(place, reader.error()));
                   for (;;) {
                     const Result<std::span<const uint8_t>> bytes = (*reader)->Next();
                     if (!bytes.ok()) return Fail(Failure(place, bytes.error()));
                     if (bytes->empty()) return 0;
                     if (fwrite(bytes->data(), 1, bytes->size(), stdout) != bytes->size()) {
                       return Fail(std::string("cannot write: ") + Errno::Last().message());
                     }
                     context.bytes += bytes->size();
                   }
                 });
}

int Get(CommandContext& context, const std::vector<Place>& places) {
  const Place target = places.size() > 1 ? places[1] : Place{"", "."};
  if (!places[0].in_share() || target.in_share()) return Fail("get copies TAG:/path to a local path");
  return CopyTo(context, {places[0]}, target);
}

int Put(CommandContext& context, const std::vector<Place>& places) {
  if (places[0].in_share() || !places[1].in_share()) return Fail("put copies a local path to TAG:/path");
  return CopyTo(context, {places[0]}, places[1]);
}

int Copy(CommandContext& context, const std::vector<Place>& places) {
  return CopyTo(context, std::vector<Place>(places.begin(), places.end() - 1), places.back());
}

int Stat(CommandContext& context, const std::vector<Place>& places) {
  return ForEach(context, places,
                 [&](const std::shared_ptr<Node>& node, const Attributes& attributes, const Place& place) {
                   absl::PrintF("%s", Printable(place.Text()));
                   if (S_ISLNK(attributes.mode)) {
                     const Result<std::string> target = node->ReadLink();
                     if (!target.ok()) return Fail(Failure(place, target.error()));
                     absl::PrintF(" -> %s", Printable(*target));
                   }
                   absl::PrintF("\n  mode %s (%04o)  owner %u:%u  links %d  inode %d\n  size %d\n",
                                ModeText(attributes.mode), attributes.mode & 07777, attributes.uid, attributes.gid,
                                attributes.nlink, attributes.inode, attributes.size);
                   absl::PrintF("  accessed %s\n  modified %s\n  changed  %s\n", TimeText(attributes.atime),
                                TimeText(attributes.mtime), TimeText(attributes.ctime));
                   return 0;
                 });
}

int Remove(CommandContext& context, const std::vector<Place>& places) {
  int result = 0;
  for (const Place& place : places) {
    if (!place.in_share()) return Fail(place.Text() + ": not in a share; rm removes TAG:/path only");
    if (place.Name().empty()) return Fail(place.Text() + ": the root of a share cannot be removed");
    const absl::StatusOr<std::shared_ptr<Node>> parent = context.shares.Open(place.Parent());
    if (!parent.ok()) return Fail(parent.status());
    if (context.recursive) {
      result |= RunOnTrees(context, "removing",
                           [&](const TreeTask& task) { RemoveTree(task, *parent, place.Name(), place.Text()); });
    } else if (const Result<void> removed = (*parent)->Remove(place.Name(), false); !removed.ok()) {
      return Fail(Failure(place, removed.error()));
    }
  }
  return result;
}

int Compare(CommandContext& context, const std::vector<Place>& places) {
  const absl::StatusOr<std::shared_ptr<Node>> one = context.shares.Open(places[0]);
  if (!one.ok()) return Fail(one.status());
  const absl::StatusOr<std::shared_ptr<Node>> other = context.shares.Open(places[1]);
  if (!other.ok()) return Fail(other.status());
  std::mutex mutex;
  std::vector<std::pair<std::string, std::string>> differences;
  const int result = RunOnTrees(context, "comparing", [&](const TreeTask& task) {
    CompareTrees(task, *one, *other, {.skip_special = context.skip_special},
                 [&](const std::string& path, const std::string& what) {
                   const std::lock_guard lock(mutex);
                   differences.emplace_back(path, what);
                 });
  });
  std::sort(differences.begin(), differences.end());
  for (const auto& [path, what] : differences) absl::PrintF("%s: %s\n", Printable(path), what);
  if (result == 0 && differences.empty()) {
    absl::PrintF("%d files, %d directories, %d symlinks, %d bytes: the same\n", context.files, context.directories,
                 context.symlinks, context.bytes);
  }
  return differences.empty() ? result : 1;
}

}  // namespace virtfs::frontend
