#include "frontend/client/shares.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "frontend/client/local_node.h"
#include "frontend/client/report.h"
#include "frontend/client/share_node.h"

namespace virtfs::frontend {

Shares::~Shares() { static_cast<void>(Close()); }

absl::StatusOr<Shares::Share*> Shares::Connect(const std::string& tag) {
  if (const auto found = shares_.find(tag); found != shares_.end()) return &found->second;
  Share share;
  absl::StatusOr<std::unique_ptr<Device>> device =
      Device::Connect({.tag = tag, .timeout = options_.timeout, .ninepfs = true});
  if (!device.ok()) return device.status();
  share.device = *std::move(device);
  share.client = std::make_unique<P9Client>(share.device->channel(), options_.timeout);
  if (const Result<void> version = share.client->Version(options_.msize); !version.ok()) {
    return absl::UnavailableError(absl::StrCat(tag, ": no session: ", version.error().message()));
  }
  Result<RemoteFid> root = share.client->Attach();
  if (!root.ok()) return absl::UnavailableError(absl::StrCat(tag, ": cannot attach: ", root.error().message()));
  share.root = *std::move(root);
  return &shares_.emplace(tag, std::move(share)).first->second;
}

absl::StatusOr<std::shared_ptr<Node>> Shares::Open(const Place& place) {
  if (!place.in_share()) return std::shared_ptr<Node>(LocalNode(place.path));
  const absl::StatusOr<Share*> share = Connect(place.tag);
  if (!share.ok()) return share.status();
  // As many pieces of a large file as are worth having on the way, beside other files.
  const Pipeline pipeline{.chunk = 128 * 1024, .depth = std::min<uint32_t>(options_.depth, 4)};
  Result<std::unique_ptr<Node>> node = ShareNode(*(*share)->client, (*share)->root.get(), place.path, pipeline);
  if (!node.ok()) {
    const std::string sentence = absl::StrCat(Printable(place.Text()), ": ", node.error().message());
    return node.error() == Errno(ENOENT) ? absl::NotFoundError(sentence) : absl::UnknownError(sentence);
  }
  return std::shared_ptr<Node>(*std::move(node));
}

bool Shares::IsOver() const {
  for (const auto& [tag, share] : shares_) {
    if (!share.device->channel().fault().empty()) return true;
  }
  return false;
}

ShareStatistics Shares::statistics() const {
  ShareStatistics sum;
  for (const auto& [tag, share] : shares_) {
    const RingStatistics ring = share.device->channel().statistics();
    sum.ring.calls += ring.calls;
    sum.ring.notifications += ring.notifications;
    sum.ring.sleeps += ring.sleeps;
    sum.ring.request_bytes += ring.request_bytes;
    sum.ring.reply_bytes += ring.reply_bytes;
    sum.msize = share.client->msize();
  }
  return sum;
}

absl::Status Shares::Close() {
  absl::Status status;
  for (auto& [tag, share] : shares_) {
    share.root.Reset();
    share.client.reset();
    if (absl::Status closed = share.device->Close(); !closed.ok() && status.ok()) {
      status = absl::Status(closed.code(), absl::StrCat(tag, ": ", closed.message()));
    }
  }
  shares_.clear();
  return status;
}

}  // namespace virtfs::frontend
