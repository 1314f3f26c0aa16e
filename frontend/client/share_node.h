// A Node of a share.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "frontend/client/node.h"
#include "frontend/p9_client.h"
#include "frontend/remote_file.h"

namespace virtfs::frontend {

// What lies along `path` (components separated by "/", ".." refused with EINVAL) from `root`. `client` must outlive it.
Result<std::unique_ptr<Node>> ShareNode(P9Client& client, p9::Fid root, std::string_view path,
                                        const Pipeline& pipeline);

}  // namespace virtfs::frontend
