// A Node of the guest's own file system.
#pragma once

#include <memory>
#include <string>

#include "frontend/client/node.h"

namespace virtfs::frontend {

// Symlinks in `path` are followed but for the last component.
std::unique_ptr<Node> LocalNode(const std::string& path);

}  // namespace virtfs::frontend
