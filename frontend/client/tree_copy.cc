#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "frontend/client/trees.h"

namespace virtfs::frontend {
namespace {

// A directory that is being filled. When the last job in it is over it gets its mode and times.
struct Filling {
  ~Filling() {
    if (!finish || task.is_over()) return;
    if (const Result<void> became = to->Become(like); !became.ok()) task.report.Problem(path, became.error());
    task.report.Count(S_IFDIR);
  }

  const TreeTask task;
  const std::shared_ptr<Node> from;
  const std::shared_ptr<Node> to;
  const Attributes like;
  const std::string path;
  const std::shared_ptr<Filling> parent;  // Finished after this: to fill it changes its times.
  const bool finish = true;
};

Result<void> CopyContent(const TreeTask& task, Node& from, Node& to, const std::string& name, const Attributes& like) {
  Result<std::unique_ptr<Writer>> writer = to.MakeFile(name);
  if (!writer.ok() && (writer.error() == Errno(ELOOP) || writer.error() == Errno(EEXIST))) {
    // A symlink is in the way; writing through it is not what was asked for.
    if (Result<void> removed = to.Remove(name, false); !removed.ok()) return removed;
    writer = to.MakeFile(name);
  }
  if (!writer.ok()) return writer.error();
  if (like.size > 0) {
    Result<std::unique_ptr<Reader>> reader = from.Read(like.size);
    if (!reader.ok()) return reader.error();
    for (;;) {
      const Result<std::span<const uint8_t>> bytes = (*reader)->Next();
      if (!bytes.ok()) return bytes.error();
      if (bytes->empty()) break;
      if (Result<void> written = (*writer)->Append(*bytes); !written.ok()) return written;
      task.report.bytes += bytes->size();
    }
  }
  return (*writer)->Finish(like);
}

Result<void> CopySymlink(Node& from, Node& to, const std::string& name, const Attributes& like) {
  const Result<std::string> target = from.ReadLink();
  if (!target.ok()) return target.error();
  Result<void> made = to.MakeSymlink(name, *target);
  if (!made.ok() && made.error() == Errno(EEXIST)) {
    if (Result<void> removed = to.Remove(name, false); !removed.ok()) return removed;
    made = to.MakeSymlink(name, *target);
  }
  if (!made.ok()) return made;
  const Result<std::unique_ptr<Node>> link = to.Child(name);
  if (!link.ok()) return link.error();
  return (*link)->Become(like);
}

void CopyNode(const TreeTask& task, const std::shared_ptr<Node>& from, const std::shared_ptr<Node>& to,
              const std::string& name, const std::string& path, const std::shared_ptr<Filling>& parent);

void CopyEntries(const std::shared_ptr<Filling>& filling) {
  const TreeTask& task = filling->task;
  const Result<std::vector<std::string>> names = filling->from->List();
  if (!names.ok()) return task.report.Problem(filling->path, names.error());
  task.report.found_entries += names->size();
  for (const std::string& name : *names) {
    task.pool.Add([filling, name] {
      const TreeTask& task = filling->task;
      if (task.is_over()) return task.pool.Stop();
      const std::string path = filling->path + (filling->path.ends_with('/') ? "" : "/") + name;
      Result<std::unique_ptr<Node>> from = filling->from->Child(name);
      if (!from.ok()) return task.report.Problem(path, from.error());
      CopyNode(task, *std::move(from), filling->to, name, path, filling);
    });
  }
}

Result<std::shared_ptr<Node>> MakeOrOpenDirectory(Node& to, const std::string& name) {
  const Result<void> made = to.MakeDirectory(name);
  if (!made.ok() && made.error() != Errno(EEXIST)) return made.error();
  Result<std::unique_ptr<Node>> directory = to.Child(name);
  if (!directory.ok()) return directory.error();
  if (!made.ok()) {
    const Result<Attributes> there = (*directory)->Stat();
    if (!there.ok()) return there.error();
    if (!S_ISDIR(there->mode)) return Errno(ENOTDIR);
  }
  return std::shared_ptr<Node>(*std::move(directory));
}

// Copies one node; what is in a directory by further jobs.
void CopyNode(const TreeTask& task, const std::shared_ptr<Node>& from, const std::shared_ptr<Node>& to,
              const std::string& name, const std::string& path, const std::shared_ptr<Filling>& parent) {
  const Result<Attributes> like = from->Stat();
  if (!like.ok()) return task.report.Problem(path, like.error());
  Result<void> copied;
  if (S_ISDIR(like->mode)) {
    Result<std::shared_ptr<Node>> directory = MakeOrOpenDirectory(*to, name);
    if (!directory.ok()) return task.report.Problem(path, directory.error());
    CopyEntries(std::shared_ptr<Filling>(new Filling{task, from, *std::move(directory), *like, path, parent}));
    return;
  }
  if (S_ISREG(like->mode)) {
    task.report.found_bytes += like->size;
    copied = CopyContent(task, *from, *to, name, *like);
  } else if (S_ISLNK(like->mode)) {
    copied = CopySymlink(*from, *to, name, *like);
  } else {
    return task.report.Note(path, "left out: it is neither file, directory nor symlink");
  }
  if (!copied.ok()) return task.report.Problem(path, copied.error());
  task.report.Count(like->mode);
}

}  // namespace

void CopyTree(const TreeTask& task, const std::shared_ptr<Node>& from, const std::shared_ptr<Node>& to,
              const std::string& to_name, const std::string& path) {
  task.pool.Add([=] {
    task.report.found_entries++;
    if (!to_name.empty()) return CopyNode(task, from, to, to_name, path, nullptr);
    const Result<Attributes> like = from->Stat();
    if (!like.ok()) return task.report.Problem(path, like.error());
    CopyEntries(std::shared_ptr<Filling>(new Filling{task, from, to, *like, path, nullptr}));
  });
  task.pool.Run();
}

}  // namespace virtfs::frontend
