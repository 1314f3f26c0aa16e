// Shares: the shares that one run of virtfs-client uses, each connected when it is first needed.
//
// Errors: absl::Status, a sentence for the user.
// Threads: Open and Close one at a time; IsOver from any.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/client/node.h"
#include "frontend/client/place.h"
#include "frontend/device.h"
#include "frontend/p9_client.h"
#include "frontend/remote_file.h"

namespace virtfs::frontend {

struct ShareOptions {
  uint32_t msize = 512 * 1024;
  uint32_t depth = 16;  // Requests in flight for one large file; files at once.
  std::chrono::milliseconds timeout{30'000};
};

struct ShareStatistics {
  RingStatistics ring;
  uint32_t msize = 0;
};

class Shares {
 public:
  explicit Shares(const ShareOptions& options) : options_(options) {}
  ~Shares();

  // The file at `place`, of a share or local. A local one need not exist.
  absl::StatusOr<std::shared_ptr<Node>> Open(const Place& place);

  // Whether the connection of any share has ended.
  bool IsOver() const;

  // What went through all rings together.
  ShareStatistics statistics() const;

  // Ends all connections. Says why if one had ended by itself.
  absl::Status Close();

 private:
  struct Share {
    std::unique_ptr<Device> device;
    std::unique_ptr<P9Client> client;
    RemoteFid root;
  };

  absl::StatusOr<Share*> Connect(const std::string& tag);

  const ShareOptions options_;
  std::map<std::string, Share> shares_;
};

}  // namespace virtfs::frontend
