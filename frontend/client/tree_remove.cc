#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "frontend/client/trees.h"

namespace virtfs::frontend {
namespace {

// A directory that is being emptied. When the last job in it is over it is removed.
struct Emptying {
  ~Emptying() {
    if (task.is_over()) return;
    if (const Result<void> removed = parent->Remove(name, true); !removed.ok()) {
      task.report.Problem(path, removed.error());
    } else {
      task.report.Count(S_IFDIR);
    }
  }

  const TreeTask task;
  const std::shared_ptr<Node> parent;
  const std::string name;
  const std::string path;
  const std::shared_ptr<Emptying> outer;  // Removed after this.
  std::shared_ptr<Node> self;
};

void RemoveNode(const TreeTask& task, const std::shared_ptr<Node>& parent, const std::string& name,
                const std::string& path, const std::shared_ptr<Emptying>& outer) {
  const Result<void> removed = parent->Remove(name, false);
  if (removed.ok()) return task.report.Count(S_IFREG);
  if (removed.error() != Errno(EISDIR)) return task.report.Problem(path, removed.error());
  Result<std::unique_ptr<Node>> self = parent->Child(name);
  if (!self.ok()) return task.report.Problem(path, self.error());
  const Result<std::vector<std::string>> names = (*self)->List();
  if (!names.ok()) return task.report.Problem(path, names.error());
  task.report.found_entries += names->size();
  const std::shared_ptr<Emptying> emptying(new Emptying{task, parent, name, path, outer, *std::move(self)});
  for (const std::string& child : *names) {
    task.pool.Add([emptying, child] {
      if (emptying->task.is_over()) return emptying->task.pool.Stop();
      RemoveNode(emptying->task, emptying->self, child, emptying->path + "/" + child, emptying);
    });
  }
}

}  // namespace

void RemoveTree(const TreeTask& task, const std::shared_ptr<Node>& parent, const std::string& name,
                const std::string& path) {
  task.report.found_entries++;
  task.pool.Add([=] { RemoveNode(task, parent, name, path, nullptr); });
  task.pool.Run();
}

}  // namespace virtfs::frontend
