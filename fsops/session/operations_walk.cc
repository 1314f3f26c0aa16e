// Tattach, Twalk, Tclunk: which fid stands for which file.

#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "fsops/session/operations.h"

namespace virtfs::session {
namespace {

// Tattach without n_uname names its user in words. The export's host may know no such name, and this process sees no
// passwd file anyway: decimal numbers and "root" are understood, everyone else is nobody. (Linux's client sends
// "nobody" for the mount itself and numbers for the users that come to it.)
uint32_t ParseUser(std::string_view uname) {
  if (uname == "root") return 0;
  uint32_t uid = 0;
  const char* const end = uname.data() + uname.size();
  const auto [parsed, error] = std::from_chars(uname.data(), end, uid);
  return error == std::errc() && parsed == end && uid != p9::kNoId ? uid : Ids::kNobody;
}

}  // namespace

p9::Qid Operations::QidOf(const host::Attributes& attributes) {
  return {.type = QidType(attributes.mode),
          .version = QidVersion(attributes),
          .path = qid_paths_.Path(attributes.dev, attributes.ino)};
}

Result<host::Node> Operations::Step(host::Inode& dir, std::string_view name) {
  if (name == "..") return tree_.Parent(dir);
  const Result<host::PathComponent> component = host::PathComponent::Parse(name);
  if (!component.ok()) return component.error();
  Result<host::Node> node = tree_.Lookup(dir, *component);
  if (!node.ok() || node->attributes.dev == tree_.root()->key().dev) return node;
  if (!qid_paths_.Allows(node->attributes.dev)) return Errno(ENODEV);
  if (on_foreign_device_ && !warned_of_devices_.exchange(true)) on_foreign_device_();
  return node;
}

Result<p9::Rattach> Operations::Do(const p9::Tattach& request, Context& /*context*/) {
  if (request.afid != p9::kNoFid) return Errno(EINVAL);
  const Result<uint32_t> uid =
      UserOfAttach(request.n_uname != p9::kNoUname ? request.n_uname : ParseUser(request.uname));
  if (!uid.ok()) return uid.error();
  if (Result<void> acting = ActFor(*uid); !acting.ok()) return acting.error();

  host::InodeRef inode = tree_.root();
  std::optional<host::Attributes> attributes;
  NameRef last_name;
  std::string_view rest = request.aname;
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (name.empty() || name == ".") continue;
    Result<host::Node> node = Step(*inode, name);
    if (!node.ok()) return node.error();
    last_name = name == ".." ? NameRef() : names_.Intern(inode, name);
    inode = std::move(node->inode);
    attributes = node->attributes;
  }
  if (!inode->is_directory()) return Errno(ENOTDIR);
  if (!attributes.has_value()) {
    const Result<host::Attributes> root = tree_.Stat(*inode);
    if (!root.ok()) return root.error();
    attributes = *root;
  }
  auto state = std::make_unique<FidState>(*uid, std::move(inode), std::move(last_name));
  if (Result<void> inserted = fids_.Insert(request.fid, std::move(state)); !inserted.ok()) return inserted.error();
  return p9::Rattach{.qid = QidOf(*attributes)};
}

Result<p9::Rwalk> Operations::Do(const p9::Twalk& request, Context& /*context*/) {
  Result<FidRef> found = fids_.Find(request.fid);
  if (!found.ok()) return found.error();
  const FidState& from = **found;
  // Cloning looks at nothing.
  if (!request.wname.empty()) {
    if (Result<void> acting = ActFor(from.uid); !acting.ok()) return acting.error();
  }
  const bool in_place = request.newfid == request.fid;
  if (in_place && request.wname.empty()) return p9::Rwalk{};
  if (in_place && from.opened != nullptr) return Errno(EINVAL);

  p9::Rwalk reply;
  host::InodeRef inode = from.inode;
  host::InodeRef dir;
  for (const std::string_view name : request.wname) {
    Result<host::Node> node = Step(*inode, name);
    if (!node.ok()) {
      if (reply.wqid.empty()) return node.error();
      return reply;
    }
    reply.wqid.push_back(QidOf(node->attributes));
    dir = std::exchange(inode, std::move(node->inode));
  }

  NameRef name;
  if (request.wname.empty()) {
    name = from.name;
  } else if (const std::string_view last = request.wname[request.wname.size() - 1]; last != "..") {
    name = names_.Intern(dir, last);
  }
  auto state = std::make_unique<FidState>(from.uid, std::move(inode), std::move(name));
  if (in_place) {
    Result<FidTable::Change> change = fids_.BeginChange(request.fid);
    if (!change.ok()) return change.error();
    std::move(*change).Commit(std::move(state));
  } else if (Result<void> inserted = fids_.Insert(request.newfid, std::move(state)); !inserted.ok()) {
    return inserted.error();
  }
  return reply;
}

Result<p9::Rclunk> Operations::Do(const p9::Tclunk& request, Context& /*context*/) {
  const Result<FidRef> removed = fids_.Remove(request.fid);
  if (!removed.ok()) return removed.error();
  const FidState& state = **removed;
  ReleaseLocks(request.fid, state);
  if (state.opened != nullptr && state.opened->xattr != nullptr) {
    if (Result<void> acting = ActFor(state.uid); !acting.ok()) return acting.error();
    if (Result<void> set = state.opened->xattr->Set(tree_, *state.inode, ids_); !set.ok()) return set.error();
  }
  return p9::Rclunk{};
}

}  // namespace virtfs::session
