#include "toolstack/attached_shares.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "toolstack/domain.h"
#include "toolstack/records/record.h"
#include "xen/io/virtfs.h"
#include "xenstore/number.h"

namespace virtfs::toolstack {
namespace {

using xenstore::State;

std::string ValueOf(xenstore::Store& store, const std::string& directory, const char* node) {
  Result<std::string> value = store.Read(absl::StrCat(directory, "/", node));
  return value.ok() ? *std::move(value) : std::string();
}

std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

State StateOf(const std::string& text) {
  return static_cast<State>(xenstore::ParseNumber(text, 0, static_cast<uint32_t>(State::kClosed)).value_or(0));
}

}  // namespace

std::vector<AttachedShare> AttachedShares(xenstore::Store& store, uint32_t guest) {
  std::vector<AttachedShare> shares;
  for (const Domain& backend : AllDomains(store)) {
    const Result<std::vector<std::string>> names = store.List(xenstore::PrivateRoot(backend.id, guest));
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      const auto named = xenstore::ParseShareName(name);
      if (!named) continue;
      const xenstore::SharePaths paths(backend.id, guest, named->first, named->second);
      AttachedShare share;
      share.backend = backend.id;
      share.type = named->first;
      share.devid = named->second;
      share.path = Printable(ValueOf(store, paths.private_dir, XEN_VIRTFS_NODE_PATH));
      share.mark = ValueOf(store, paths.private_dir, kMarkNode);
      share.error = Printable(ValueOf(store, paths.private_dir, XEN_VIRTFS_NODE_ERROR));
      share.state = StateOf(ValueOf(store, paths.backend_dir, XEN_VIRTFS_NODE_STATE));
      share.ready = share.state >= State::kInitWait && share.state <= State::kConnected &&
                    store.Exists(absl::StrCat(paths.frontend_dir, "/" XEN_VIRTFS_NODE_STATE));
      const size_t blank = share.mark.find(' ');
      share.tag = Printable(blank != share.mark.npos ? share.mark.substr(blank + 1)
                                                     : ValueOf(store, paths.frontend_dir, XEN_VIRTFS_NODE_TAG));
      shares.push_back(std::move(share));
    }
  }
  std::sort(shares.begin(), shares.end(),
            [](const AttachedShare& a, const AttachedShare& b) { return a.devid < b.devid; });
  return shares;
}

}  // namespace virtfs::toolstack
