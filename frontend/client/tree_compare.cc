#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "frontend/client/trees.h"

namespace virtfs::frontend {
namespace {

struct Comparison {
  const TreeTask task;
  const CompareOptions options;
  const Differ differ;
};

bool IsSpecial(uint32_t mode) { return !S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode); }

const char* KindOf(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    default:
      return "special file";
  }
}

std::string TextOf(const Time& time) { return absl::StrFormat("%d.%09u", time.seconds, time.nanoseconds); }

// Where the contents of two files differ first, or how long both are.
struct Content {
  bool same;
  uint64_t offset;
};

Result<Content> CompareContent(const TreeTask& task, Node& one, Node& other, uint64_t size) {
  Result<std::unique_ptr<Reader>> first = one.Read(size);
  if (!first.ok()) return first.error();
  Result<std::unique_ptr<Reader>> second = other.Read(size);
  if (!second.ok()) return second.error();
  std::span<const uint8_t> a;
  std::span<const uint8_t> b;
  uint64_t offset = 0;
  for (;;) {
    for (auto [bytes, reader] : {std::pair(&a, &*first), std::pair(&b, &*second)}) {
      if (!bytes->empty()) continue;
      const Result<std::span<const uint8_t>> next = (*reader)->Next();
      if (!next.ok()) return next.error();
      *bytes = *next;
    }
    if (a.empty() || b.empty()) return Content{a.empty() && b.empty(), offset};
    const size_t common = std::min(a.size(), b.size());
    const size_t same = static_cast<size_t>(
        std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(common), b.begin()).first - a.begin());
    offset += same;
    task.report.bytes += same;
    if (same < common) return Content{false, offset};
    a = a.subspan(common);
    b = b.subspan(common);
  }
}

void CompareNodes(const std::shared_ptr<Comparison>& comparison, const std::shared_ptr<Node>& one,
                  const std::shared_ptr<Node>& other, const std::string& path);

// `name` is in one of the two only.
void Missing(const std::shared_ptr<Comparison>& comparison, Node& there, const std::string& name,
             const std::string& path, const char* what) {
  if (comparison->options.skip_special) {
    const Result<std::unique_ptr<Node>> node = there.Child(name);
    const Result<Attributes> attributes = node.ok() ? (*node)->Stat() : Result<Attributes>(node.error());
    if (attributes.ok() && IsSpecial(attributes->mode)) return;
  }
  comparison->differ(path, what);
}

void CompareEntries(const std::shared_ptr<Comparison>& comparison, const std::shared_ptr<Node>& one,
                    const std::shared_ptr<Node>& other, const std::string& path) {
  const TreeTask& task = comparison->task;
  Result<std::vector<std::string>> first = one->List();
  if (!first.ok()) return task.report.Problem(path, first.error());
  Result<std::vector<std::string>> second = other->List();
  if (!second.ok()) return task.report.Problem(path, second.error());
  std::sort(first->begin(), first->end());
  std::sort(second->begin(), second->end());
  const std::string prefix = path == "." ? "" : path + "/";
  auto a = first->begin();
  auto b = second->begin();
  while (a != first->end() || b != second->end()) {
    if (b == second->end() || (a != first->end() && *a < *b)) {
      Missing(comparison, *one, *a, prefix + *a, "only in the first");
      ++a;
    } else if (a == first->end() || *b < *a) {
      Missing(comparison, *other, *b, prefix + *b, "only in the second");
      ++b;
    } else {
      task.report.found_entries++;
      task.pool.Add([comparison, one, other, name = *a, child_path = prefix + *a] {
        const TreeTask& task = comparison->task;
        if (task.is_over()) return task.pool.Stop();
        Result<std::unique_ptr<Node>> child = one->Child(name);
        if (!child.ok()) return task.report.Problem(child_path, child.error());
        Result<std::unique_ptr<Node>> other_child = other->Child(name);
        if (!other_child.ok()) return task.report.Problem(child_path, other_child.error());
        CompareNodes(comparison, *std::move(child), *std::move(other_child), child_path);
      });
      ++a;
      ++b;
    }
  }
}

void CompareNodes(const std::shared_ptr<Comparison>& comparison, const std::shared_ptr<Node>& one,
                  const std::shared_ptr<Node>& other, const std::string& path) {
  const TreeTask& task = comparison->task;
  const Result<Attributes> a = one->Stat();
  if (!a.ok()) return task.report.Problem(path, a.error());
  const Result<Attributes> b = other->Stat();
  if (!b.ok()) return task.report.Problem(path, b.error());
  task.report.Count(a->mode);
  const Differ& differ = comparison->differ;
  if ((a->mode & S_IFMT) != (b->mode & S_IFMT)) {
    return differ(path, absl::StrCat("a ", KindOf(a->mode), ", a ", KindOf(b->mode)));
  }
  if (!S_ISLNK(a->mode) && (a->mode & 07777) != (b->mode & 07777)) {
    differ(path, absl::StrFormat("mode %04o, %04o", a->mode & 07777, b->mode & 07777));
  }
  if (a->mtime != b->mtime) differ(path, absl::StrCat("mtime ", TextOf(a->mtime), ", ", TextOf(b->mtime)));
  if (S_ISDIR(a->mode)) {
    CompareEntries(comparison, one, other, path);
  } else if (S_ISLNK(a->mode)) {
    const Result<std::string> target = one->ReadLink();
    if (!target.ok()) return task.report.Problem(path, target.error());
    const Result<std::string> other_target = other->ReadLink();
    if (!other_target.ok()) return task.report.Problem(path, other_target.error());
    if (*target != *other_target) {
      differ(path, absl::StrCat("symlink to ", Printable(*target), ", to ", Printable(*other_target)));
    }
  } else if (S_ISREG(a->mode) && a->size != b->size) {
    differ(path, absl::StrCat("size ", a->size, ", ", b->size));
  } else if (S_ISREG(a->mode) && a->size > 0) {
    task.report.found_bytes += a->size;
    const Result<Content> content = CompareContent(task, *one, *other, a->size);
    if (!content.ok()) return task.report.Problem(path, content.error());
    if (!content->same) differ(path, absl::StrCat("content, first at byte ", content->offset));
  }
}

}  // namespace

void CompareTrees(const TreeTask& task, const std::shared_ptr<Node>& one, const std::shared_ptr<Node>& other,
                  const CompareOptions& options, const Differ& differ) {
  const auto comparison = std::make_shared<Comparison>(Comparison{task, options, differ});
  task.report.found_entries++;
  task.pool.Add([=] { CompareNodes(comparison, one, other, "."); });
  task.pool.Run();
}

}  // namespace virtfs::frontend
