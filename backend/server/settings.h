// Settings: what the keeper's Start comes to for each part of a server.
#pragma once

#include <optional>

#include "backend/link/messages.h"
#include "backend/server/pool.h"
#include "fsops/host/export.h"
#include "fsops/session/session.h"

namespace virtfs::backend {

struct Settings {
  host::ExportOptions tree;
  SessionOptions session;
  PoolOptions pool;
};

// Nothing: max_descriptors is too small to serve with.
std::optional<Settings> SettingsOf(const link::Start& start);

}  // namespace virtfs::backend
