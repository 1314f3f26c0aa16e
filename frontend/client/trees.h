// CopyTree, CompareTrees, RemoveTree: what is done to whole trees, with as many files at once as the pool has threads.
//
// Errors are told to the report, each with its file's name, and the rest goes on.
// Trust: a tree may be a hostile server's: names are single components, symlinks are copied and never followed, special
// files are named and left out.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "frontend/client/node.h"
#include "frontend/client/report.h"
#include "frontend/client/work_pool.h"

namespace virtfs::frontend {

// Called where the content of a tree cannot be had any more (its connection has ended); stops everything.
using IsOver = std::function<bool()>;

struct TreeTask {
  WorkPool& pool;
  Report& report;
  IsOver is_over;
};

// Copies `from` to the name `to_name` in the directory `to`: content, mode, times, symlinks. A directory that is there
// already is filled; a file is overwritten; a symlink is replaced. With an empty `to_name` (`from` is a directory) what
// is in `from` is copied into `to`. `path` is what `from` is called in messages.
void CopyTree(const TreeTask& task, const std::shared_ptr<Node>& from, const std::shared_ptr<Node>& to,
              const std::string& to_name, const std::string& path);

// Names everything in which two trees differ: kind, mode, size, mtime, content, a symlink's target, names that only one
// has. `differ` gets a path relative to the trees and what differs there, from any thread.
using Differ = std::function<void(const std::string& path, const std::string& what)>;
struct CompareOptions {
  // A device, FIFO or socket that only one has is no difference: CopyTree leaves them out.
  bool skip_special = false;
};
void CompareTrees(const TreeTask& task, const std::shared_ptr<Node>& one, const std::shared_ptr<Node>& other,
                  const CompareOptions& options, const Differ& differ);

// Removes `name` of `parent` and all that is in it. `path` is what it is called in messages.
void RemoveTree(const TreeTask& task, const std::shared_ptr<Node>& parent, const std::string& name,
                const std::string& path);

}  // namespace virtfs::frontend
